"""Sparsemax and alpha-entmax: argmax <p, z> + H_alpha(p) with Tsallis' entropy, exact zeros included.

H_alpha(p) = sum (p - p^alpha) / (alpha (alpha - 1)). With d = z - max z and e = alpha - 1,

    p_i = [1 + e (d_i - c)]_+^(1/e),    c >= 0 the root of sum p = 1

which is exp(d_i - c) with c = log sum exp d as e -> 0. With S = sum p, Newton's method on S^e (a norm: convex, and
linear where few entries change) is

    c += S (1 - S^-e) / (e sum p^(1-e))

At e = 1 (sparsemax) this is Michelot's algorithm, which ends exactly; at e -> 0 one step gives the logarithm.

Sources: Martins & Astudillo 2016; Peters, Niculae & Martins 2019; Correia, Niculae & Martins 2019.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import inf
from types import ModuleType
from typing import ClassVar

import numpy as np

from softmaxes import bridges, exponential, generic, native
from softmaxes.arrays import Array, is_plain
from softmaxes.maps.base import Properties
from softmaxes.maps.regularised import RegularisedArgmax, divergence

__all__ = ["Entmax", "Sparsemax"]

_MOST_STEPS = 100  # bisection alone needs about 60; Newton about 6


class _Tsallis(RegularisedArgmax):
    """What the two members share; a member gives its alpha."""

    @property
    @abstractmethod
    def _epsilon(self) -> float:
        """alpha - 1."""

    def properties(self) -> Properties:
        epsilon = self._epsilon
        return Properties(
            shift_invariant=True,
            scale_invariant=False,
            order_preserving=True,
            sparse=epsilon > 0,
            differentiable=epsilon < 1,
            strictly_positive=epsilon == 0,
            lipschitz=2.0 ** (epsilon - 1) if epsilon <= 1 else None,
        )

    def _solve(self, z: Array, xp: ModuleType) -> Array:
        if self._epsilon == 0:
            return exponential.softmax(z)
        if native.takes(z):
            p = native.empty_like(_rows(z))
            native.entmax_rows(_rows(z), 1 + self._epsilon, p)
            return p.reshape(z.shape)
        return probabilities(z, self._epsilon, xp)

    def _vjp(self, z: Array, u: Array, xp: ModuleType) -> Array:
        if self._epsilon == 0 or not (native.takes(z) and native.takes(u)):
            return super()._vjp(z, u, xp)
        p = self._solve(z, xp)
        native.entmax_product(_rows(p), _rows(u), 1 + self._epsilon, _rows(p))
        return p

    def _jvp(self, z: Array, v: Array, xp: ModuleType) -> Array:
        return self._vjp(z, v, xp)  # J is symmetric

    def _label_kernel(self, z: Array, labels: Array, losses: Array, gradient: Array | None) -> bool:
        if self._epsilon > 0:
            native.entmax_losses(z, labels, 1 + self._epsilon, losses, gradient)
        return self._epsilon > 0

    def _gain(self, p: Array, xp: ModuleType) -> tuple[Array, Array]:
        epsilon, nothing = self._epsilon, xp.zeros_like(p)
        if epsilon == 1:
            return xp.where(xp.isnan(p), p, xp.astype(p > 0, p.dtype)), nothing
        if epsilon == 0.5 and is_plain(p):
            return np.sqrt(p), 0.5 * (p > 0).astype(p.dtype)
        safe = xp.where(p > 0, p, xp.ones_like(p))
        gain, bent = safe ** (1 - epsilon), (1 - epsilon) * safe ** (1 - 2 * epsilon)
        gain, bent = xp.where(p > 0, gain, nothing), xp.where(p > 0, bent, nothing)
        return xp.where(xp.isnan(p), p, gain), bent

    def _divergence(self, z: Array, p: Array, q: Array, xp: ModuleType) -> Array:
        epsilon = self._epsilon
        log_p = exponential.log_softmax(z) if epsilon == 0 else xp.log(xp.where(p > 0, p, xp.ones_like(p)))
        terms = divergence(q, p, log_p, epsilon, xp)
        if epsilon > 0:
            # Off the support z is below what p = 0 asks for; the target pays for it where it wants that class.
            z = generic.limit_of_infinities(z, xp)
            short = -(z - xp.max(z, axis=-1, keepdims=True)) - xp.max(p, axis=-1, keepdims=True) ** epsilon / epsilon
            wanted = (q > 0) & (p == 0)
            terms = terms + xp.where(wanted, q * xp.where(wanted, short, xp.zeros_like(q)), xp.zeros_like(q))
        return xp.sum(terms, axis=-1)


@dataclass(frozen=True)
class Sparsemax(_Tsallis):
    """The Euclidean projection onto the simplex: p = argmin |p - z|^2 (Martins & Astudillo 2016).

    p_i = [z_i - tau]_+ with the tau that makes the sum 1. Its loss for a label is zero as soon as that logit leads
    by 1. At the boundary of a support J is one-sided; the support {p > 0} is taken.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.Sparsemax()([0.5, 0.0, -0.5])
    array([0.75, 0.25, 0.  ])
    """

    name: ClassVar[str] = "sparsemax"

    @property
    def _epsilon(self) -> float:
        return 1.0


@dataclass(frozen=True)
class Entmax(_Tsallis):
    """alpha-entmax (Peters, Niculae & Martins 2019): between softmax (alpha = 1) and sparsemax (alpha = 2), and beyond.

    p_i = [(alpha - 1) z_i - tau]_+^(1 / (alpha - 1)). Entries more than 1 / (alpha - 1) below the maximum are
    exactly 0; its loss for a label is zero as soon as that logit leads by as much.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.Entmax(1.5)([2.0, 0.0])
    array([1., 0.])
    >>> sm.Entmax(1.5)([1.0, 0.5, -3.0]).round(4)
    array([0.674, 0.326, 0.   ])
    """

    name: ClassVar[str] = "entmax"

    alpha: float = 1.5

    def __post_init__(self) -> None:
        if not 1 <= self.alpha < inf:
            raise ValueError(f"alpha={self.alpha!r}; needed is a finite alpha >= 1 (1 is softmax, 2 sparsemax)")

    @property
    def _epsilon(self) -> float:
        return self.alpha - 1

    def alpha_gradient(self, z: Array) -> Array:
        """Return dp/dalpha, (..., K), alpha = 1 included (Correia, Niculae & Martins 2019).

        With e = alpha - 1 and b = p (exp(-e log p) - 1 + e log p) / e^2 it is -b + g sum b / sum g.

        Examples
        --------
        >>> import softmaxes as sm
        >>> sm.Entmax(1.5).alpha_gradient([1.0, 0.5, -3.0]).round(4)
        array([ 0.1239, -0.1239,  0.    ])
        """
        return self._run(self._alpha_gradient, z)

    def _alpha_gradient(self, z: Array, xp: ModuleType) -> Array:
        p = self._argmax(z, xp)
        log_p = xp.where(p > 0, self._log(z, xp), xp.zeros_like(p))
        t = self._epsilon * log_p
        series = xp.zeros_like(t)
        for k in range(20, 1, -1):
            series = 1 / k * (1 - t * series) if k > 2 else 0.5 * (1 - t * series)
        direct = (xp.expm1(-t) + t) / xp.where(t == 0, xp.ones_like(t), t * t)
        b = p * log_p * log_p * xp.where(xp.abs(t) < 1, series, direct)
        g, _ = self._gain(p, xp)
        return g * (xp.sum(b, axis=-1, keepdims=True) / xp.sum(g, axis=-1, keepdims=True)) - b


def _rows(z: Array) -> Array:
    return np.ascontiguousarray(z).reshape(-1, z.shape[-1])


def probabilities(z: Array, epsilon: float, xp: ModuleType) -> Array:
    """Return the rows of alpha-entmax, alpha = 1 + epsilon > 1, in Array API words."""
    z = generic.limit_of_infinities(z, xp)
    d = z - xp.max(z, axis=-1, keepdims=True)
    p, _ = _powers(d - _threshold(d, epsilon, xp), epsilon, xp)
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
