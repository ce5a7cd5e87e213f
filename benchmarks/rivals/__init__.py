"""The contenders, one file each: PACKAGE, and prepare(task, logits, target) -> a call to time, or None if it cannot.

What is not the operation itself (conversion of the input, compilation, a session) is done in prepare. A "warm" task
writes into one output again and again where the library can; where it cannot, prepare returns None for it.
"""

from importlib import import_module

NAMES = ("softmaxes", "scipy", "torch", "jax", "onnxruntime", "entmax", "entmax_k100")


def load(name):
    """Return the contender's module, or None if its library is not installed."""
    try:
        return import_module(f"benchmarks.rivals.{name}")
    except ImportError:
        return None
