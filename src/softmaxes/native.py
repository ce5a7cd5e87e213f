"""The one doorway to the compiled kernels.

Nothing here decides what a result means: a caller asks `takes` whether a kernel reads its array, and calls it. The
instruction set is the best that the processor runs; the environment variable SOFTMAXES_ISA forces another, and
SOFTMAXES_THREADS (or OMP_NUM_THREADS) bounds the number of threads.
"""

from __future__ import annotations

import operator
import os
from typing import Any

import numpy as np

from softmaxes import _native
from softmaxes.arrays import Array, is_bfloat16, is_plain

OPERATIONS = {"softmax": 0, "log_softmax": 1, "logsumexp": 2}
EMPTY = {"nan": 0, "zero": 1, "uniform": 2, "raise": 3}

_DIRECT = {np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)}


def _select_from_environment() -> None:
    name = os.environ.get("SOFTMAXES_ISA", "").strip().lower()
    if name and not _native.select(name):
        raise ImportError(
            f"SOFTMAXES_ISA={name!r} cannot run here; this processor runs {', '.join(_native.available())}"
        )


def _default_threads() -> int:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for variable in ("SOFTMAXES_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(variable, "").strip()
        if text.isdigit() and int(text) > 0:
            return min(int(text), processors)
    return processors


_select_from_environment()
_THREADS = _default_threads()


def threads_for(threads: int | None) -> int:
    """Return how many threads a call may use: the caller's bound, else the processors that this process has.

    Kernels use fewer where the work is not worth another thread, or while another call has the threads that wait.
    Raises ValueError for a bound below 1.
    """
    if threads is None:
        return _THREADS
    count = operator.index(threads)
    if count < 1:
        raise ValueError(f"threads={threads}; at least 1 is needed (None uses the processors that there are)")
    return count


def takes(x: object) -> bool:
    """Return whether the kernels read x as it is: a plain NumPy array of a native float type in native byte order."""
    return is_plain(x) and (x.dtype in _DIRECT or is_bfloat16(x.dtype))  # type: ignore[attr-defined]


def _bits(x: Array) -> Array:
    """Return x as the kernels' dtypes know it: bfloat16 travels as its bits."""
    return x if x.dtype in _DIRECT else x.view(np.uint16)


def rows(
    operation: str,
    x: Array,
    axis: int,
    beta: tuple[float, float],
    empty: str,
    out: Array,
    threads: int | None = None,
) -> int:
    """Write an operation along one axis of x into out; out may be x.

    axis: non-negative. beta: high and low part of the inverse temperature, positive and finite. out: x's shape and
    dtype, for logsumexp with length 1 along axis. Returns how many rows have no possible class, or -1 - the index of
    the first one under empty="raise".
    """
    high, low = beta
    return _native.rows(
        _bits(x), _bits(out), axis, OPERATIONS[operation], high, low, EMPTY[empty], threads_for(threads)
    )


def quick(operation: int, x: object, axis: object, out: object, threads: int | None) -> Array | None:
    """Return an operation on a plain array with every option at its default, or None if it is not one.

    The shortest way from a small array to its result, and from a large one to memory that is already warm.
    """
    return _native.quick(operation, x, axis, out, _THREADS if threads is None else threads_for(threads))


def cross_entropy_rows(
    logits: Array,
    target: Array,
    losses_out: Array,
    gradient_out: Array | None = None,
    row_scale: Array | None = None,
    threads: int | None = None,
) -> None:
    """Write losses_out[i] = -log softmax(logits[i])[target[i]] and, if asked, the scaled gradient rows.

    logits: (n, K) C-contiguous float32 or float64. target: (n,) int64, already checked. losses_out: (n,) float64.
    gradient_out: (n, K) like logits, or logits itself; row i becomes row_scale[i] (softmax(logits[i]) - onehot).
    row_scale: (n,) float64, default ones. A row without a possible class, or with NaN, gives NaN.
    """
    kernel = _native.losses_f32 if logits.dtype == np.float32 else _native.losses_f64
    kernel(logits, target, losses_out, gradient_out, row_scale, threads_for(threads))


def draw_rows(
    logits: Array,
    uniform: Array,
    classes_out: Array,
    beta: tuple[float, float],
    top_k: int,
    top_p: float,
    min_reach: float,
    threads: int | None = None,
) -> int:
    """Write classes drawn from softmax(beta * logits); return the first row without a draw, or -1.

    logits: (n, K) float32 or float64, entries of a row adjacent. uniform: (n, draws) uint64, C-contiguous: all 64 bits
    random; a draw is the inverse of the distribution function at uniform / 2^64. classes_out: (n, draws) int64.
    beta: 0 and inf are the limits. What stays: the top_k largest, of these the likeliest with share top_p, and of these
    those within -min_reach of the maximum. A row with NaN or without a possible class ends the work.
    """
    kernel = _native.draws_f32 if logits.dtype == np.float32 else _native.draws_f64
    return kernel(logits, uniform, classes_out, *beta, top_k, top_p, min_reach, threads_for(threads))


def empty_like(x: Array) -> Array:
    """Return a new array like x, in C order if x is; a large one lies in memory that is already warm."""
    return _native.empty_like(x)


def entmax_rows(
    logits: Array, alpha: float, out: Array, tau_out: Array | None = None, threads: int | None = None
) -> None:
    """Write alpha-entmax, alpha > 1, of every row: p_i = [(alpha - 1) z_i - tau]_+^(1 / (alpha - 1)).

    logits: (n, K) float32 or float64, entries of a row adjacent. out: like logits, or logits itself. tau_out: (n,)
    float64. A row with NaN, or without a possible class, gives NaN; one with +inf its limit, with tau = inf.
    """
    kernel = _native.sparse_f32 if logits.dtype == np.float32 else _native.sparse_f64
    kernel(logits, alpha - 1, out, tau_out, None, None, None, threads_for(threads))


def entmax_losses(
    logits: Array,
    target: Array,
    alpha: float,
    losses_out: Array,
    gradient_out: Array | None = None,
    threads: int | None = None,
) -> None:
    """Write the Fenchel-Young losses of alpha-entmax, alpha > 1, and their gradient p - onehot if asked.

    logits: (n, K) float32 or float64, entries of a row adjacent. target: (n,) int64, already checked. losses_out: (n,)
    float64. gradient_out: like logits, or logits itself. Rows without an answer give NaN as in `entmax_rows`.
    """
    kernel = _native.sparse_f32 if logits.dtype == np.float32 else _native.sparse_f64
    kernel(logits, alpha - 1, gradient_out, None, target, losses_out, None, threads_for(threads))


def entmax_vjp(logits: Array, v: Array, alpha: float, out: Array, threads: int | None = None) -> None:
    """Write J v for every row, J the symmetric Jacobian of alpha-entmax, alpha > 1, at these logits.

    What `entmax_rows` and then `entmax_product` give, while a row is at hand. All (n, K) of one float type; out may be
    the logits.
    """
    kernel = _native.sparse_f32 if logits.dtype == np.float32 else _native.sparse_f64
    kernel(logits, alpha - 1, out, None, None, None, v, threads_for(threads))


def entmax_product(probabilities: Array, v: Array, alpha: float, out: Array, threads: int | None = None) -> None:
    """Write J v for every row, J the symmetric Jacobian of alpha-entmax, alpha > 1, at these probabilities.

    J v = g (v - sum g v / sum g) with g = p^(2 - alpha) where p > 0, else 0; all (n, K) of one float type; out may
    be v. A row whose first probability is NaN gives NaN.
    """
    kernel = _native.sparse_product_f32 if v.dtype == np.float32 else _native.sparse_product_f64
    kernel(probabilities, v, alpha - 1, out, threads_for(threads))


def describe() -> dict[str, Any]:
    """Return what runs: the instruction set, the threads, and for every operation what is native and why or why not."""
    dtypes = "float16, bfloat16, float32 and float64 NumPy arrays, any axis and any strides"
    generic = "Array API text: longdouble and other libraries' arrays need their own arithmetic"
    kernels = {
        "softmax, log_softmax, softmin, logsumexp": f"native for {dtypes}; elsewhere {generic}",
        "cross_entropy, cross_entropy_and_gradient": (
            "native for float32 and float64 NumPy rows with integer targets; other options run on the Array API text"
        ),
        "sample": "native for float32 and float64 NumPy rows (narrower types widened); elsewhere the NumPy text",
        "sparsemax, entmax": (
            "native for float32 and float64 NumPy rows: probabilities, Jacobian products, losses; elsewhere " + generic
        ),
        "temperature 0 and inf, weights=, entropy, soft_argmax, kl_divergence": (
            "Array API text: limits and derived quantities have no kernel of their own yet"
        ),
    }
    return {
        "isa": _native.isa(),
        "available": list(_native.available()),
        "forced": bool(os.environ.get("SOFTMAXES_ISA", "").strip()),
        "threads": _THREADS,
        "kernels": kernels,
    }
