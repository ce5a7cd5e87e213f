"""The specification: the exponential core in Array API words.

Every function takes rows of logits on the last axis, already floating point, and keeps that dtype. No kernel ever
replaces this text: where a kernel exists it must agree with it, and every array library that has no kernel runs it.
There is no branch on values, so that autograd, jit and devices keep working.

One stabilisation serves all. With m the maximum of a row, d = beta (z - m) <= 0 and e = exp d:

- the difference is carried with its rounding error, because an error of d is a RELATIVE error of exp d;
- the sum leaves out one entry at the maximum, r = the sum of the others, so that log(1 + r) keeps a tiny r;
- a +inf entry means the limit: the +inf entries become 0 and all others -inf;
- a row without a possible class is settled by the caller's `empty` policy, after the arithmetic.

Source: Blanchard, Higham & Higham 2021, IMA J. Numer. Anal. 41(4), with the error-free difference added.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from softmaxes.arrays import Array


@dataclass(frozen=True)
class Frame:
    """Rows seen from their maxima: all that the exponential core needs, computed once.

    difference: (..., K), d = beta (z - m) <= 0. correction: (..., K), its rounding error, so that d + correction is
    exact. terms: (..., K), exp(d + correction), 1 at the maxima. others: (..., 1), the sum of all terms but the
    first one at the maximum. first: (..., 1), the index of that one.
    """

    difference: Array
    correction: Array
    terms: Array
    others: Array
    first: Array


def possible(z: Array, xp: ModuleType) -> Array:
    """Return (..., 1): whether a row has a class at all (an entry above -inf, or a NaN)."""
    return xp.any(z != -xp.inf, axis=-1, keepdims=True)


def limit_of_infinities(z: Array, xp: ModuleType) -> Array:
    """Replace rows with +inf by their limit: 0 at the +inf entries, -inf elsewhere; rows with NaN stay as they are."""
    top = z == xp.inf
    has_limit = xp.any(top, axis=-1, keepdims=True) & ~xp.any(xp.isnan(z), axis=-1, keepdims=True)
    return xp.where(has_limit, xp.where(top, xp.zeros_like(z), xp.full_like(z, -xp.inf)), z)


def limit_of_temperature(z: Array, beta: float, xp: ModuleType) -> Array:
    """Return logits whose softmax at beta = 1 is the limit for beta = inf (hardmax) or beta = 0 (uniform)."""
    if beta == 0:
        chosen = z != -xp.inf
    else:
        chosen = (z == xp.max(z, axis=-1, keepdims=True)) & (z != -xp.inf)
    limit = xp.where(chosen, xp.zeros_like(z), xp.full_like(z, -xp.inf))
    return xp.where(xp.any(xp.isnan(z), axis=-1, keepdims=True), xp.full_like(z, xp.nan), limit)


def frame(z: Array, beta: float, xp: ModuleType) -> Frame:
    """Return the frame of rows with at least one entry, at a finite beta > 0 or one of its limits 0 and inf."""
    if beta in (0.0, float("inf")):
        z, beta = limit_of_temperature(z, beta, xp), 1.0
    z = limit_of_infinities(z, xp)
    top = xp.max(z, axis=-1, keepdims=True)
    top = xp.where(top == -xp.inf, xp.zeros_like(top), top)
    difference = z - top
    # Infinities have no correction, and a lazy library computes it where no one listens to warnings.
    finite = xp.where(xp.isinf(z), top, z)
    rounded = finite - top
    back = rounded - finite
    correction = (finite - (rounded - back)) - (top + back)
    correction = xp.where(xp.isfinite(correction), correction, xp.zeros_like(correction))
    if beta != 1.0:
        difference, correction = difference * beta, correction * beta
    terms = xp.exp(difference)
    terms = terms + terms * correction
    first = xp.argmax(z, axis=-1, keepdims=True)
    others = xp.sum(xp.where(_at(first, z, xp), xp.zeros_like(terms), terms), axis=-1, keepdims=True, dtype=terms.dtype)
    return Frame(difference, correction, terms, others, first)


def _at(index: Array, z: Array, xp: ModuleType) -> Array:
    """Return a mask (..., K) that is True at index (..., 1)."""
    return positions(z, xp, dtype=index.dtype) == index


def positions(z: Array, xp: ModuleType, dtype: object = None) -> Array:
    """Return 0, 1, ... K-1 where z lives."""
    return xp.arange(z.shape[-1], dtype=dtype if dtype is not None else z.dtype, device=_device(z))


def _device(z: Array) -> object:
    return getattr(z, "device", None)


def softmax(z: Array, beta: float, xp: ModuleType) -> Array:
    """Return e_i / (1 + r)."""
    f = frame(z, beta, xp)
    return f.terms / (1 + f.others)


def log_softmax(z: Array, beta: float, xp: ModuleType) -> Array:
    """Return d_i - log(1 + r): a sum of two numbers of one sign, so nothing cancels."""
    f = frame(z, beta, xp)
    return f.difference - (xp.log1p(f.others) - f.correction)


def logsumexp(z: Array, xp: ModuleType) -> Array:
    """Return m + log(1 + r), shape (...)."""
    top = xp.max(z, axis=-1)
    return top + xp.log1p(frame(z, 1.0, xp).others[..., 0])


def weighted_logsumexp(z: Array, weights: Array, xp: ModuleType) -> tuple[Array, Array]:
    """Return log |sum_i w_i exp z_i| and the sign of the sum; an entry of weight 0 does not take part at all."""
    z = xp.where(weights == 0, xp.full_like(z, -xp.inf), z)
    top = xp.max(z, axis=-1, keepdims=True)
    f = frame(z, 1.0, xp)
    leading = xp.sum(xp.where(_at(f.first, z, xp), weights, xp.zeros_like(weights)), axis=-1)
    terms = xp.where(_at(f.first, z, xp), xp.zeros_like(f.terms), f.terms)
    rest = xp.sum(xp.where(terms == 0, terms, terms * weights), axis=-1)
    total = leading + rest
    # log|w0 + rest| through log1p of their ratio keeps a tiny rest, as for the plain sum
    ratio = xp.where(leading == 0, xp.zeros_like(rest), rest / xp.where(leading == 0, xp.ones_like(leading), leading))
    close = xp.log(xp.abs(leading)) + xp.log1p(xp.where(ratio > -0.5, ratio, xp.zeros_like(ratio)))
    magnitude = xp.where((ratio > -0.5) & (leading != 0), close, xp.log(xp.abs(total)))
    sign = xp.where(top[..., 0] == -xp.inf, xp.zeros_like(total), xp.sign(total))
    return xp.where(sign == 0, xp.full_like(total, -xp.inf), top[..., 0] + magnitude), sign


def entropy(z: Array, beta: float, xp: ModuleType) -> Array:
    """Return log(1 + r) - sum d e / (1 + r), shape (...): both parts are >= 0, so nothing cancels."""
    f = frame(z, beta, xp)
    weighted = xp.where(f.terms > 0, f.difference, xp.zeros_like(f.terms)) * f.terms
    return (xp.log1p(f.others) - xp.sum(weighted, axis=-1, keepdims=True) / (1 + f.others))[..., 0]


def soft_argmax(z: Array, beta: float, xp: ModuleType) -> Array:
    """Return sum_i i p_i, shape (...), summed as offsets from the first maximum so that the offsets stay accurate."""
    f = frame(z, beta, xp)
    first = xp.astype(f.first, z.dtype)
    offsets = positions(z, xp) - first
    return (first + xp.sum(offsets * f.terms, axis=-1, keepdims=True) / (1 + f.others))[..., 0]


def kl_divergence(a: Array, b: Array, beta: float, xp: ModuleType) -> Array:
    """Return KL(softmax beta a || softmax beta b), shape (...).

    Where beta (a - b) varies by less than one, t = log p - log q is taken from the difference of the logits,
    t = x - log1p(sum q expm1 x), and KL = sum p h(t), h(t) = expm1(-t) + t >= 0: the leading terms, which cancel in
    sum p t, are never formed. Elsewhere KL = sum p t.
    """
    fa, fb = frame(a, beta, xp), frame(b, beta, xp)
    p, q = fa.terms / (1 + fa.others), fb.terms / (1 + fb.others)
    zero = xp.zeros_like(p)
    both = (p > 0) & (q > 0)
    log_p = fa.difference - (xp.log1p(fa.others) - fa.correction)
    log_q = fb.difference - (xp.log1p(fb.others) - fb.correction)
    ratio = xp.where(p > 0, log_p, zero) - xp.where(p > 0, log_q, zero)
    far = xp.sum(p * ratio, axis=-1)

    gap = xp.where(both, beta * (xp.where(both, a, zero) - xp.where(both, b, zero)), zero)
    gap = xp.where(both, gap - xp.sum(q * gap, axis=-1, keepdims=True), zero)
    near = xp.max(xp.abs(gap), axis=-1) < 1
    same_support = ~xp.any((p > 0) != (q > 0), axis=-1)
    tame = xp.where(xp.abs(gap) < 2, gap, zero)
    t = tame - xp.log1p(xp.sum(q * xp.expm1(tame), axis=-1, keepdims=True))
    close = xp.sum(xp.where(both, p * _excess(t, xp), p), axis=-1)
    return xp.where(near & same_support, close, far)


def _excess(t: Array, xp: ModuleType) -> Array:
    """Return h(t) = expm1(-t) + t >= 0 without cancellation: its series for small t."""
    series = xp.zeros_like(t)
    for order in range(14, 1, -1):
        series = (1 - t * series) / order if order > 2 else (1 - t * series) * (t * t) / 2
    return xp.where(xp.abs(t) < 0.5, series, xp.expm1(-t) + t)
