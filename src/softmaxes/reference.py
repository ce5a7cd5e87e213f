"""The exponential core in decimal arithmetic with 60 digits: the exact answers that errors are measured against.

It needs the standard library and NumPy only, so that anyone can check any implementation anywhere, and it shares no
rounding with the kernels. Equal entries of a row are computed once: a row of a million entries drawn from 4096 values
costs 4096 exponentials.
"""

from __future__ import annotations

import decimal
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from softmaxes.arrays import Array

__all__ = ["ExactRow", "error_of", "exact_row", "largest_ulp", "ulp_error"]

_CONTEXT = decimal.Context(prec=60, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN, traps=[])
_NEVER = Decimal("-Infinity")
_VANISHED = Decimal(-20_000)  # below this an exponential is 0 in float64 and narrower, by thousands of orders
_TINY = Decimal("1e-20")


@dataclass(frozen=True)
class ExactRow:
    """The exact answers for one row: probabilities and their logarithms for each distinct logit, and log Z.

    inverse[i] says which distinct logit entry i of the row is.
    """

    softmax: tuple[Decimal, ...]
    log_softmax: tuple[Decimal, ...]
    logsumexp: Decimal
    inverse: np.ndarray[Any, Any]


def exact_row(row: Array) -> ExactRow:
    """Return the exact softmax, log_softmax and logsumexp of a 1-D row by the library's rules.

    row: any real NumPy type up to float64, at least one entry; -inf is impossible, +inf the limit. Rows with NaN or
    without a possible class have no exact answer: ValueError.

    Examples
    --------
    >>> exact = exact_row(np.array([0.0, -40.0]))
    >>> float(exact.log_softmax[exact.inverse[0]])
    -4.248354255291589e-18
    """
    distinct, inverse, counts = np.unique(np.asarray(row), return_inverse=True, return_counts=True)
    with decimal.localcontext(_CONTEXT):
        logits = [Decimal(float(v)) if distinct.dtype.kind == "f" else Decimal(int(v)) for v in distinct]
        if not logits or any(v.is_nan() for v in logits) or max(logits) == _NEVER:
            raise ValueError("an exact answer needs a row without NaN and with at least one possible class")
        top = max(logits)
        if top.is_infinite():  # the limit: the +inf entries share everything
            differences = [Decimal(0) if v == top else _NEVER for v in logits]
        else:
            differences = [v - top for v in logits]
        terms = [d.exp() if d > _VANISHED else Decimal(0) for d in differences]
        repeated = [int(n) - (d == 0) for n, d in zip(counts, differences, strict=True)]
        others = sum((t * n for t, n in zip(terms, repeated, strict=True)), Decimal(0))
        log_sum = _log1p(others)
        return ExactRow(
            tuple(t / (1 + others) for t in terms),
            tuple(d - log_sum for d in differences),
            top + log_sum,
            inverse.reshape(-1),
        )


def _log1p(r: Decimal) -> Decimal:
    if r > _TINY:
        return (1 + r).ln()
    return r - r * r / 2 + r * r * r / 3


def ulp_error(got: float, want: Decimal, dtype: Any) -> float:
    """Return |got - want| in units of the spacing of ``dtype`` at ``want`` (see `softmaxes.contracts`).

    An exact 0, an infinity or NaN must be met as it is: otherwise the error is infinite.

    Examples
    --------
    >>> ulp_error(1.0, Decimal(1) + Decimal(2) ** -24, "float32")
    0.5
    """
    info = np.finfo(dtype)
    with decimal.localcontext(_CONTEXT):
        if want.is_infinite() or want == 0:
            return 0.0 if got == float(want) else np.inf
        if not np.isfinite(got):
            beyond = abs(want) >= Decimal(float(info.max)) * (1 + Decimal(2) ** (-info.nmant - 2))
            return 0.0 if got == np.copysign(np.inf, float(want)) and beyond else np.inf
        # The binary exponent of the exact number, from its nearest double where it has one.
        near = float(abs(want))
        exponent = int(np.frexp(near)[1]) - 1 if near else int(info.minexp)
        if Decimal(2) ** exponent > abs(want):  # the nearest double was the next power of two
            exponent -= 1
        spacing = Decimal(2) ** (max(exponent, int(info.minexp)) - int(info.nmant))
        return float(abs(Decimal(float(got)) - want) / spacing)


def largest_ulp(function: str, row: Array, got: Array) -> float:
    """Return the largest error of ``got = function(row)``, in ULP of the type that ``got`` came back in.

    function: "softmax", "log_softmax" or "logsumexp". Infinite where something is wrong altogether: NaN, a shape that
    is not the row's, a type that is not floating.
    """
    return error_of(function, exact_row(row), got)


def error_of(function: str, exact: ExactRow, got: Array) -> float:
    """Return the error of a result against exact answers that are already there (see `largest_ulp`)."""
    got = np.asarray(got)
    if got.dtype.kind != "f":
        return np.inf
    if function == "logsumexp":
        return ulp_error(float(got), exact.logsumexp, got.dtype) if got.size == 1 else np.inf
    want = getattr(exact, function)
    if got.shape != exact.inverse.shape or np.isnan(got).any():
        return np.inf
    # Among equal logits the worst result is the smallest or the largest.
    low, high = np.full(len(want), np.inf), np.full(len(want), -np.inf)
    np.minimum.at(low, exact.inverse, got.astype(np.float64))
    np.maximum.at(high, exact.inverse, got.astype(np.float64))
    ends = ((float(g), w) for side in (low, high) for g, w in zip(side, want, strict=True))
    return max(ulp_error(g, w, got.dtype) for g, w in ends)
