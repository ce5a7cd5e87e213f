"""The accuracy promises, as data: read by the tests, the documentation and ``softmaxes certify``.

Errors are in ULP of the exact result: the distance between the returned and the exact number, divided by the spacing of
the result's type at the exact number (below the smallest normal number: the subnormal spacing). A correctly rounded
result has an error of at most 0.5. An exact result of 0, an infinity or NaN must be met as it is.

Each promise holds for NumPy rows of 1 to 10^7 entries and finite logits of any size, with -inf entries among them, at
temperature 1; for logsumexp also where the maximum and the logarithm of the sum cancel.
"""

from dataclasses import dataclass

__all__ = ["PROMISES", "Promise", "promised_ulp"]


@dataclass(frozen=True)
class Promise:
    """The largest error of one function in one type, in ULP."""

    function: str
    dtype: str
    ulp: float


PROMISES: tuple[Promise, ...] = (
    # A half type is computed in float32 and rounded once: half a unit, and what float32 leaves behind of it.
    *(Promise(f, half, 0.51) for f in ("softmax", "log_softmax", "logsumexp") for half in ("float16", "bfloat16")),
    Promise("softmax", "float32", 2.0),
    Promise("softmax", "float64", 4.0),
    Promise("log_softmax", "float32", 2.0),
    Promise("log_softmax", "float64", 2.0),
    Promise("logsumexp", "float32", 1.0),
    Promise("logsumexp", "float64", 1.0),
)


def promised_ulp(function: str, dtype: str) -> float:
    """Return the promised bound of ``function`` in ``dtype``, in ULP.

    Raises KeyError where nothing is promised.

    Examples
    --------
    >>> promised_ulp("softmax", "float32")
    2.0
    """
    for promise in PROMISES:
        if (promise.function, promise.dtype) == (function, dtype):
            return promise.ulp
    raise KeyError(f"no accuracy is promised for {function} in {dtype}")
