"""The search for alpha-entmax's probabilities in Array API words: the specification of the kernels.

With d = z - max z and e = alpha - 1,

    p_i = [1 + e (d_i - c)]_+^(1/e),    c >= 0 the root of sum p = 1

which is exp(d_i - c) with c = log sum exp d as e -> 0. With S = sum p, Newton's method on S^e (a norm: convex, and
linear where few entries change) is

    c += S (1 - S^-e) / (e sum p^(1-e))

At e = 1 (sparsemax) this is Michelot's algorithm, which ends exactly; at e -> 0 one step gives the logarithm.
Beyond alpha = 2 rounding 1 + e (d_i - c) would lose the small probabilities, and another unknown takes the place of c.
"""

from __future__ import annotations

from types import ModuleType

import array_api_compat.numpy as numpy_words
import numpy as np

from softmaxes import bridges, generic
from softmaxes.arrays import Array

__all__ = ["probabilities"]

_MOST_STEPS = 100  # bisection alone needs about 60; Newton about 6


def probabilities(z: Array, epsilon: float, xp: ModuleType) -> Array:
    """Return the rows of alpha-entmax, alpha = 1 + epsilon > 1, in Array API words."""
    z = generic.limit_of_infinities(z, xp)
    d = z - xp.max(z, axis=-1, keepdims=True)
    p = _steep(d, epsilon, xp) if epsilon > 1 else _powers(d - _threshold(d, epsilon, xp), epsilon, xp)[0]
    return p if epsilon == 1 else p / xp.sum(p, axis=-1, keepdims=True)


def _threshold(d: Array, epsilon: float, xp: ModuleType) -> Array:
    """Return c, (..., 1), for rows whose maximum is 0."""
    low, high = xp.zeros_like(d[..., :1]), xp.full_like(d[..., :1], (1 - d.shape[-1] ** -epsilon) / epsilon)

    def step(state: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array]:
        p, slope = _powers(d - state[0], epsilon, xp)
        total, slopes = xp.sum(p, axis=-1, keepdims=True), xp.sum(slope, axis=-1, keepdims=True)
        state = _step(state, total, slopes, epsilon, xp)
        return state, xp.all(state[3])

    c: Array = bridges.iterate(step, (low, low, high, low < 0), _MOST_STEPS, d)[0]
    return c


def _powers(x: Array, epsilon: float, xp: ModuleType) -> tuple[Array, Array]:
    """Return p = [1 + e x]_+^(1/e) and p^(1 - e), both 0 off the support."""
    inside = 1 + epsilon * x
    kept = ~(inside <= 0)
    nothing = xp.zeros_like(inside)
    if epsilon == 1:
        return xp.where(kept, inside, nothing), xp.where(kept, xp.ones_like(inside), nothing)
    if epsilon == 0.5:
        root = xp.where(kept, inside, nothing)
        return root * root, root
    root = xp.where(kept, inside, xp.ones_like(inside))
    p = xp.exp(xp.log1p(xp.where(kept, epsilon * x, nothing)) / epsilon)
    return xp.where(kept, p, nothing), xp.where(kept, p / root, nothing)


def _step(state: tuple[Array, ...], total: Array, slopes: Array, epsilon: float, xp: ModuleType) -> tuple[Array, ...]:
    """Return the next (c, low, high, settled).

    c takes Newton's step, or goes to the middle of the bracket where that step leaves it. A row is settled when the
    step stays where it is or leads back to an end of the bracket; then it rests, so that no row depends on others.
    """
    c, low, high, settled = state
    low = xp.where(total >= 1, c, low)
    high = xp.where(total <= 1, c, high)
    if epsilon == 1:
        rise = (total - 1) / slopes
    else:
        rise = -total * xp.expm1(-epsilon * xp.log(total)) / (epsilon * slopes)
    new = c + rise
    outside = (new < low) | (new > high)
    new = xp.where(settled, c, xp.where(outside, 0.5 * (low + high), new))
    return new, low, high, settled | (new == c) | (new == low) | (new == high) | xp.isnan(new)


def _steep(d: Array, epsilon: float, xp: ModuleType) -> Array:
    """Return p for alpha > 2, where p leaves 0 steeply, seen from the smallest entry a of the support.

    An entry a takes part iff sum [e (d_i - a)]_+^(1/e) < 1. With its share v the others have
    p_i = (e (d_i - a) + v^e)^(1/e), and their sum is convex in v: Newton's method comes down from v = 1 / n, n of them.
    """
    words = numpy_words if xp is np else xp
    ordered = words.sort(d, axis=-1, descending=True)
    index = generic.positions(d, xp, dtype=xp.int32)
    last = xp.zeros_like(xp.sum(index, axis=-1, keepdims=True))  # the maximum always takes part

    def entry(place: Array) -> Array:
        return xp.sum(xp.where(index == place, ordered, xp.zeros_like(d)), axis=-1, keepdims=True)

    def shares(a: Array, v: Array) -> Array:
        above = d > a
        gap = xp.where(above, d, xp.zeros_like(d)) - xp.where(above, a, xp.zeros_like(d))
        log_w = xp.log(xp.where(above, epsilon * gap + v**epsilon, xp.ones_like(d)))
        return xp.where(above, xp.exp(log_w / epsilon), xp.where(d == a, v, xp.zeros_like(d)))

    reach = 1 << max(int(d.shape[-1]) - 1, 1).bit_length()
    while reach := reach // 2:
        further = last + reach
        there = further < d.shape[-1]
        a = entry(xp.where(there, further, last))
        taken = there & (xp.sum(shares(a, xp.zeros_like(a)), axis=-1, keepdims=True) < 1)
        last = xp.where(taken, further, last)
    a = entry(last)

    def step(state: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array]:
        v, settled = state
        p = shares(a, v)
        slope = xp.sum(
            xp.where(p > 0, (v / xp.where(p > 0, p, xp.ones_like(p))) ** (epsilon - 1), p), axis=-1, keepdims=True
        )
        new = v - (xp.sum(p, axis=-1, keepdims=True) - 1) / slope
        settled = settled | ~((new < v) & (new > 0))
        return (xp.where(settled, v, new), settled), xp.all(settled)

    v = 1 / xp.sum(xp.astype(d >= a, d.dtype), axis=-1, keepdims=True)
    v = bridges.iterate(step, (v, v < 0), _MOST_STEPS, d)[0]
    return xp.where(xp.any(xp.isnan(d), axis=-1, keepdims=True), xp.full_like(d, xp.nan), shares(a, v))
