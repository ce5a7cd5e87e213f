"""Exact answers of the exponential core, in mpmath with 300 bits, and the error of a result in ULP.

Equal entries of a row are computed once: a row of a million entries drawn from 4096 values costs 4096 exponentials.
Nothing here uses the library under test.
"""

from dataclasses import dataclass
from functools import cached_property

import ml_dtypes
import mpmath
import numpy as np
from mpmath import mpf

mpmath.mp.prec = 300
NEVER = mpf("-inf")
VANISHED = -30_000  # exp of less than this is 0 in every type the library knows, longdouble included


def exact(number):
    """Return a NumPy scalar or Python number as mpf, without rounding (longdouble in two parts)."""
    high = float(number)
    if not np.isfinite(high):
        return mpf(high)
    return mpf(high) + mpf(float(number - type(number)(high)))


@dataclass(frozen=True)
class ExactRow:
    """A row of finite or -inf logits: its distinct values in mpf, how often each occurs, and where."""

    values: tuple
    counts: tuple
    inverse: np.ndarray

    @classmethod
    def of(cls, row, beta=1):
        """Take beta * row; beta may be a number or mpf (1/T for a temperature T)."""
        distinct, inverse, counts = np.unique(
            np.asarray(row).astype(np.longdouble), return_inverse=True, return_counts=True
        )
        beta = exact(beta) if isinstance(beta, (int, float)) else beta
        scaled = tuple(exact(v) * beta if np.isfinite(v) else exact(v) for v in distinct)
        return cls(scaled, tuple(int(c) for c in counts), inverse.reshape(-1))

    @cached_property
    def maximum(self):
        return max(self.values)

    @cached_property
    def differences(self):
        return [v - self.maximum for v in self.values]

    @cached_property
    def terms(self):
        return [mpmath.exp(d) if d > VANISHED else mpf(0) for d in self.differences]

    @cached_property
    def others(self):
        """The sum of all terms but one at the maximum."""
        top = self.values.index(self.maximum)
        return mpmath.fsum(t * (c - (i == top)) for i, (t, c) in enumerate(zip(self.terms, self.counts, strict=True)))

    @cached_property
    def log_sum(self):
        return mpmath.log1p(self.others)

    @cached_property
    def softmax(self):
        return [t / (1 + self.others) for t in self.terms]

    @cached_property
    def log_softmax(self):
        return [d - self.log_sum for d in self.differences]

    @property
    def logsumexp(self):
        return self.maximum + self.log_sum

    @property
    def entropy(self):
        weighted = mpmath.fsum(
            c * t * d for c, t, d in zip(self.counts, self.terms, self.differences, strict=True) if t
        )
        return self.log_sum - weighted / (1 + self.others)

    @property
    def soft_argmax(self):
        return mpmath.fsum(i * self.terms[g] for i, g in enumerate(self.inverse)) / (1 + self.others)


def exact_kl(a, b):
    """Return KL(softmax a || softmax b) for rows of finite or -inf logits."""
    p, q = ExactRow.of(a), ExactRow.of(b)
    total = mpf(0)
    for i, j in zip(p.inverse, q.inverse, strict=True):
        if p.terms[i]:
            if q.values[j] == NEVER:
                return mpf("inf")
            total += p.softmax[i] * (p.log_softmax[i] - q.log_softmax[j])
    return total


def spacing(value, dtype):
    """Return the distance between neighbours of ``dtype`` at an exact value (in mpf)."""
    info = ml_dtypes.finfo(dtype) if np.dtype(dtype) != np.longdouble else np.finfo(np.longdouble)
    exponent = info.minexp if value == 0 else max(int(mpmath.floor(mpmath.log(abs(value), 2))), int(info.minexp))
    return mpmath.ldexp(mpf(1), exponent - int(info.nmant))


def ulp_error(got, want, dtype):
    """Return |got - want| in ULP of ``want``; infinite where an exact 0, an infinity or NaN is not met as it is."""
    got = exact(got)
    if mpmath.isnan(got) or mpmath.isnan(want):
        return 0.0 if mpmath.isnan(got) and mpmath.isnan(want) else np.inf
    if want == 0 or mpmath.isinf(want):
        return 0.0 if got == want else np.inf
    if mpmath.isinf(got):
        info = ml_dtypes.finfo(dtype) if np.dtype(dtype) != np.longdouble else np.finfo(np.longdouble)
        largest = exact(np.longdouble(info.max))
        rounds_to_infinity = abs(want) >= largest + spacing(largest, dtype) / 2 and (got > 0) == (want > 0)
        return 0.0 if rounds_to_infinity else np.inf
    return float(abs(got - want) / spacing(want, dtype))


def largest_ulp_error(got, row, function, dtype=None):
    """Return the largest error of one row of results against ``getattr(row, function)``, in ULP.

    Among equal inputs the worst result is the smallest or the largest, so two comparisons a value are enough.
    """
    got = np.asarray(got)
    dtype = got.dtype if dtype is None else dtype
    want = getattr(row, function)
    if not isinstance(want, list):
        return ulp_error(got[()], want, dtype)
    wide = got.reshape(-1).astype(np.longdouble)
    lowest = np.full(len(want), np.inf, np.longdouble)
    highest = np.full(len(want), -np.inf, np.longdouble)
    np.minimum.at(lowest, row.inverse, wide)  # NaN spreads
    np.maximum.at(highest, row.inverse, wide)
    return max(ulp_error(g, w, dtype) for ends in (lowest, highest) for g, w in zip(ends, want, strict=True))
