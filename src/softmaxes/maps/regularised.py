"""The second road: p = argmax <p, z> - Omega(p), with the calculus that follows from the argmax and its gain.

A member gives the argmax, the gain g = 1 / omega''(p) with its own slope, and its divergence.
"""

from __future__ import annotations

from abc import abstractmethod
from types import ModuleType

from softmaxes import bridges
from softmaxes.arrays import Array
from softmaxes.maps.base import Member, at_index, excess, sums_of_others

__all__ = ["RegularisedArgmax", "divergence"]


class RegularisedArgmax(Member):
    """The second road: p = argmax <p, z> - Omega(p), for a separable convex Omega.

    J = diag g - g g^T / sum g with the gain g = 1 / omega''(p) on the support (0 off it), so that J v =
    g (v - vbar) with vbar = sum g v / sum g; along v the gain moves by bent * (v - vbar), bent = g dg/dp.
    """

    @abstractmethod
    def _solve(self, z: Array, xp: ModuleType) -> Array:
        """Return p, by whatever search; it need not be differentiable by the array's library."""

    @abstractmethod
    def _gain(self, p: Array, xp: ModuleType) -> tuple[Array, Array]:
        """Return g and bent = g dg/dp, both 0 where p is 0."""

    @abstractmethod
    def _divergence(self, z: Array, p: Array, q: Array, xp: ModuleType) -> Array:
        """Return Omega*(z) + Omega(q) - <z, q>, (...), without cancellation near p = q."""

    def fenchel_young(self, z: Array, y: Array) -> Array:
        """Return the Fenchel-Young loss Omega*(z) + Omega(y) - <z, y> >= 0 of each row, (...); gradient p - y."""
        return self._run(self._fenchel_young, z, target=y)

    def _fenchel_young(self, z: Array, q: Array, xp: ModuleType) -> Array:
        return bridges.potential(
            lambda z, q: self._divergence(z, self._solve(z, xp), q, xp),
            lambda z, q: excess(self._argmax(z, xp), q, xp),
            z,
            q,
        )

    def _argmax(self, z: Array, xp: ModuleType) -> Array:
        """Return p, with a derivative that autograd libraries follow to any order."""
        return bridges.implicit(lambda z: self._solve(z, xp), lambda p, v: self._product(p, v, xp), z)

    def _value(self, z: Array, xp: ModuleType) -> Array:
        return self._argmax(z, xp)

    def _log(self, z: Array, xp: ModuleType) -> Array:
        p = self._argmax(z, xp)
        # log p = log1p(-(sum of the others)) near 1, where the logarithm of the rounded p has few digits
        others = sums_of_others(p, xp)
        close = xp.where(p > 0.5, xp.log1p(-xp.where(p > 0.5, others, xp.zeros_like(p))), xp.zeros_like(p))
        far = xp.log(xp.where((p > 0) & (p <= 0.5), p, xp.ones_like(p)))
        log_p = xp.where(p > 0.5, close, far)
        log_p = xp.where(p == 0, xp.full_like(p, -xp.inf), log_p)
        return xp.where(xp.isnan(p), p, log_p)

    def _mean(self, g: Array, v: Array, xp: ModuleType) -> Array:
        """Return sum g v / sum g, (..., 1), or 0 where there is no gain at all."""
        total = xp.sum(g, axis=-1, keepdims=True)
        safe = xp.where(total == 0, xp.ones_like(total), total)
        return xp.sum(g * v, axis=-1, keepdims=True) / safe

    def _product(self, p: Array, v: Array, xp: ModuleType) -> Array:
        """Return J v from p alone."""
        g, _ = self._gain(p, xp)
        top = at_index(xp.argmax(g, axis=-1, keepdims=True), g, xp)
        v = v - xp.sum(xp.where(top, v, xp.zeros_like(v)), axis=-1, keepdims=True)
        return g * (v - self._mean(g, v, xp))

    def _jvp(self, z: Array, v: Array, xp: ModuleType) -> Array:
        return self._product(self._argmax(z, xp), v, xp)

    def _vjp(self, z: Array, u: Array, xp: ModuleType) -> Array:
        return self._product(self._argmax(z, xp), u, xp)

    def _second(self, z: Array, u: Array, v: Array, xp: ModuleType) -> Array:
        g, bent = self._gain(self._argmax(z, xp), xp)
        moved = bent * (v - self._mean(g, v, xp)) * (u - self._mean(g, u, xp))
        total = xp.sum(g, axis=-1, keepdims=True)
        share = g / xp.where(total == 0, xp.ones_like(total), total)
        return moved - share * xp.sum(moved, axis=-1, keepdims=True)

    def _loss(self, z: Array, q: Array, xp: ModuleType) -> Array:
        return self._fenchel_young(z, q, xp)

    def _loss_gradient(self, z: Array, q: Array, xp: ModuleType) -> Array:
        return excess(self._argmax(z, xp), q, xp)

    def _loss_and_gradient(self, z: Array, q: Array, xp: ModuleType) -> tuple[Array, Array]:
        p = self._argmax(z, xp)
        return self._divergence(z, p, q, xp), excess(p, q, xp)

    def _loss_hessian(self, z: Array, v: Array, q: Array, xp: ModuleType) -> Array:
        return xp.sum(q, axis=-1, keepdims=True) * self._jvp(z, v, xp)


def divergence(q: Array, p: Array, log_p: Array, epsilon: float, xp: ModuleType) -> Array:
    """Return the terms >= 0, (..., K), of the Bregman divergence of sum (t^a - t) / (a (a - 1)) between q and p.

    Here a = 1 + epsilon; at epsilon = 0 these are q log(q/p) - q + p, the terms of KL(q || p). Close to p, with
    t = q/p - 1, the term is p^a ((1+t)^a - 1 - a t) / (a (a - 1)) by its series; elsewhere it is
    (q (q^e - p^e) / e - p^e (q - p)) / a. The cases a = 2 and a = 3/2 have closed forms.
    """
    gap = -excess(p, q, xp)
    if epsilon == 1:
        return 0.5 * gap * gap
    if epsilon == 0.5:
        root_q, root_p = xp.sqrt(q), xp.sqrt(p)
        total = root_q + root_p
        apart = gap / xp.where(total > 0, total, xp.ones_like(total))
        return apart * apart * (root_q + 0.5 * root_p) / 0.75
    nothing, one = xp.zeros_like(p), xp.ones_like(p)
    close = (p > 0) & (xp.abs(gap) < 0.25 * p)
    t = xp.where(close, gap / xp.where(p > 0, p, one), nothing)
    series, coefficient = nothing, 0.5
    coefficients = [coefficient]
    for k in range(2, 32):
        coefficient *= (1 + epsilon - k) / (k + 1)
        coefficients.append(coefficient)
    for c in reversed(coefficients):
        series = series * t + c
    log_q = xp.log(xp.where(q > 0, q, one))
    log_p = xp.where(xp.isinf(log_p), nothing, log_p)
    if epsilon:
        to_q, to_p = xp.expm1(epsilon * log_q) / epsilon, xp.expm1(epsilon * log_p) / epsilon
        power = 1 + epsilon * to_p
        to_p, power = (xp.where(p > 0, x, full) for x, full in ((to_p, -one / epsilon), (power, nothing)))
    else:
        to_q, to_p, power = log_q, log_p, one
    far = xp.where(q > 0, q * (to_q - to_p), nothing) - power * gap
    scale = power * p
    return xp.where(close, scale * series * t * t, far / (1 + epsilon))
