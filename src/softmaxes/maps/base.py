"""The two roads to the simplex; a member of the family gives its own scalar formulas and inherits the rest.

Normalised scores, p_k = phi(z_k) / sum phi(z_j): a member gives phi and its first two derivatives (as logarithm and
logarithmic slopes, or directly). Regularised argmax, p = argmax <p, z> - Omega(p): a member gives the argmax, the
gain g = 1 / omega''(p) with its own slope, and its divergence.

In the formulas ubar = sum p u; J is the Jacobian dp_i/dz_j; a second derivative is contracted to
(u^T H v)_j = sum_ik u_i v_k d2 p_i / dz_j dz_k, the derivative along v of the product J^T u. All of it is O(K).
A logit of -inf is an impossible class everywhere: probability 0, derivative exactly 0. A +inf entry means the limit.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from types import ModuleType
from typing import ClassVar

import array_api_compat
import numpy as np

from softmaxes import bridges, generic
from softmaxes.arrays import Array, Floating, as_floating, is_plain, namespace

__all__ = [
    "Member",
    "NormalisedScores",
    "Properties",
    "RegularisedArgmax",
    "Scores",
    "at_index",
    "divergence",
    "is_traced",
    "scores_of_logarithms",
    "scores_of_values",
    "sums_of_others",
    "surely",
]


@dataclass(frozen=True)
class Properties:
    """What is true of a member everywhere on its domain; a law checks each line by machine.

    shift_invariant: p(z + c) = p(z). scale_invariant: p(c z) = p(z) for c > 0. order_preserving: z_i > z_j implies
    p_i >= p_j. sparse: exact zeros occur. differentiable: everywhere. strictly_positive: p_i > 0 wherever z is finite
    (in real arithmetic). lipschitz: the l2 constant of the map if it is known and finite. domain: the open interval
    of logits, or closed at a finite end that the map accepts.
    """

    shift_invariant: bool
    scale_invariant: bool
    order_preserving: bool
    sparse: bool
    differentiable: bool
    strictly_positive: bool
    lipschitz: float | None = None
    domain: tuple[float, float] = (-inf, inf)


class Member(ABC):
    """A map from rows of logits (last axis) to probabilities, with its derivatives, its entropy and its loss.

    A member is a frozen value. Every method takes arrays of any Array API library with any leading axes, which
    broadcast against each other, and follows the dtype table of `softmaxes.arrays.as_floating`.
    """

    name: ClassVar[str]

    def __call__(self, z: Array) -> Array:
        """Return the probabilities p, (..., K)."""
        return self._run(self._value, z)

    def log(self, z: Array) -> Array:
        """Return log p, (..., K); -inf where p is 0."""
        return self._run(self._log, z)

    def jvp(self, z: Array, v: Array) -> Array:
        """Return J v, (..., K): the derivative of p along v."""
        return self._run(self._jvp, z, v)

    def vjp(self, z: Array, u: Array) -> Array:
        """Return J^T u, (..., K): the gradient of <u, p>."""
        return self._run(self._vjp, z, u)

    def second_derivative(self, z: Array, u: Array, v: Array) -> Array:
        """Return u^T H v, (..., K): the derivative along v of the gradient of <u, p>."""
        return self._run(self._second, z, u, v)

    def jacobian(self, z: Array) -> Array:
        """Return the dense Jacobian, (..., K, K) with [i, j] = dp_i/dz_j: for looking, not for work."""
        ready = as_floating(z, "logits")
        xp, size = ready.xp, int(ready.values.shape[-1])
        basis = xp.eye(size, dtype=ready.values.dtype, device=array_api_compat.device(ready.values))
        return ready.finish(self.vjp(ready.values[..., None, :], basis))

    def loss(self, z: Array, y: Array) -> Array:
        """Return the member's own loss for each row, (...); y holds labels (...) or distributions (..., K).

        For normalised scores it is -sum_k y_k log p_k; for a regularised argmax the Fenchel-Young loss
        Omega*(z) + Omega(y) - <z, y>, which is zero exactly where p = y.
        """
        return self._run(self._loss, z, target=y)

    def loss_and_gradient(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the loss of each row, (...), and its gradient with respect to the logits, (..., K)."""
        pair: tuple[Array, Array] = self._run(self._loss_and_gradient, z, target=y)
        return pair

    def loss_hessian_product(self, z: Array, y: Array, v: Array) -> Array:
        """Return the Hessian of each row's loss times v, (..., K)."""
        return self._run(self._loss_hessian, z, v, target=y)

    def entropy(self, z: Array) -> Array:
        """Return the Shannon entropy H = -sum p log p of each row in nats, (...)."""
        return self._run(self._entropy, z)

    def entropy_gradient(self, z: Array) -> Array:
        """Return dH/dz = -J^T log p, (..., K)."""
        return self._run(self._entropy_gradient, z)

    def entropy_hessian_product(self, z: Array, v: Array) -> Array:
        """Return the Hessian of the entropy times v, (..., K)."""
        return self._run(self._entropy_hessian, z, v)

    def entropy_expansion(self, z: Array, change: Array) -> Array:
        """Return the second-order expansion of H(z + change) around z, (...)."""
        ready, step = as_floating(z, "logits"), as_floating(change, "change")
        xp = ready.xp
        slope = self.entropy_gradient(ready.values) + 0.5 * self.entropy_hessian_product(ready.values, step.values)
        return ready.finish(self.entropy(ready.values) + xp.sum(slope * step.values, axis=-1))

    @abstractmethod
    def properties(self) -> Properties:
        """Return the property sheet."""

    # What a road or a member defines, on floating-point rows; `_domain` says which logits it refuses.

    @abstractmethod
    def _value(self, z: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _log(self, z: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _jvp(self, z: Array, v: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _vjp(self, z: Array, u: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _second(self, z: Array, u: Array, v: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _loss(self, z: Array, q: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _loss_gradient(self, z: Array, q: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _loss_and_gradient(self, z: Array, q: Array, xp: ModuleType) -> tuple[Array, Array]: ...

    @abstractmethod
    def _loss_hessian(self, z: Array, v: Array, q: Array, xp: ModuleType) -> Array: ...

    def _refuse(self, z: Array, xp: ModuleType) -> None:  # noqa: B027 - most members refuse nothing
        """Raise ValueError for logits outside the member's domain (where values can be looked at)."""

    def _surprise(self, z: Array, xp: ModuleType) -> Array:
        """Return -log p where it is finite, else 0 (p log p is 0 there)."""
        log_p = self._log(z, xp)
        return xp.where(xp.isinf(log_p), xp.zeros_like(log_p), -log_p)

    def _entropy(self, z: Array, xp: ModuleType) -> Array:
        # Both factors of every term are >= 0 and log p is accurate near p = 1: nothing cancels.
        return xp.sum(self._value(z, xp) * self._surprise(z, xp), axis=-1)

    def _entropy_gradient(self, z: Array, xp: ModuleType) -> Array:
        return self._vjp(z, self._surprise(z, xp), xp)

    def _entropy_hessian(self, z: Array, v: Array, xp: ModuleType) -> Array:
        p, moved = self._value(z, xp), self._jvp(z, v, xp)
        ratio = xp.where(p > 0, moved / xp.where(p > 0, p, xp.ones_like(p)), xp.zeros_like(p))
        return self._second(z, self._surprise(z, xp), v, xp) - self._vjp(z, ratio, xp)

    def _run(self, compute: Callable[..., Array], z: Array, *others: Array, target: Array | None = None) -> Array:
        """Validate, compute on floating-point rows of one shape, and round once."""
        ready = as_floating(z, "logits")
        xp, rows = ready.xp, ready.values
        if rows.ndim == 0:
            raise ValueError("logits are a single number; a row of them is needed: shape (..., K)")
        arguments = [rows, *(xp.astype(as_floating(_beside(o, rows, xp)).values, rows.dtype) for o in others)]
        if target is not None:
            arguments.append(distribution(target, rows, xp))
        if len(arguments) > 1:
            arguments = list(xp.broadcast_arrays(*arguments))
        if not rows.shape[-1]:
            none = ready.finish(xp.sum(arguments[0], axis=-1))
            if compute == self._loss_and_gradient:
                return none, ready.finish(arguments[0])
            return none if compute in (self._loss, self._entropy) else ready.finish(arguments[0])
        with np.errstate(all="ignore"):
            self._refuse(rows, xp)
            result = compute(*arguments, xp)
        if isinstance(result, tuple):
            return tuple(_finished(part, ready) for part in result)
        return _finished(result, ready)


def _finished(result: Array, ready: Floating) -> Array:
    """Return a result in the caller's dtype, one number as a NumPy scalar."""
    result = ready.finish(result)
    return result[()] if ready.xp is np and result.ndim == 0 else result


def is_traced(x: Array) -> bool:
    """Return whether x is a JAX tracer, whose values cannot be looked at."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(x, jax.core.Tracer)


def surely(condition: Array) -> bool:
    """Return the truth of a condition on values, and False for values that are only being traced."""
    return not is_traced(condition) and bool(condition)


def distribution(y: Array, rows: Array, xp: ModuleType) -> Array:
    """Return y as distributions (..., K) in the dtype of the rows: integers are labels and become e_y."""
    y = _beside(y, rows, xp)
    if not xp.isdtype(y.dtype, ("integral", "bool")):
        return xp.astype(y, rows.dtype)
    size = int(rows.shape[-1])
    if surely(xp.any((y < 0) | (y >= size))):
        raise ValueError(f"labels go from {int(xp.min(y))} to {int(xp.max(y))}; {size} classes need 0 to {size - 1}")
    classes = generic.positions(rows, xp)
    return xp.astype(classes == xp.astype(y, rows.dtype)[..., None], rows.dtype)


def _beside(x: Array, rows: Array, xp: ModuleType) -> Array:
    """Return x as an array of the rows' library, on their device."""
    if xp is np or namespace(x) is xp:
        return np.asarray(x) if xp is np else x
    return xp.asarray(x, device=array_api_compat.device(rows))


def at_index(index: Array, rows: Array, xp: ModuleType) -> Array:
    """Return a mask (..., K) that is True at index (..., 1)."""
    return generic.positions(rows, xp, dtype=index.dtype) == index


def sums_of_others(masses: Array, xp: ModuleType) -> Array:
    """Return for each entry >= 0 the sum of the others of its row, exact in relative terms where one dominates."""
    first = at_index(xp.argmax(masses, axis=-1, keepdims=True), masses, xp)
    rest = xp.sum(xp.where(first, xp.zeros_like(masses), masses), axis=-1, keepdims=True)
    return xp.where(first, rest, xp.sum(masses, axis=-1, keepdims=True) - masses)


def excess(p: Array, q: Array, xp: ModuleType) -> Array:
    """Return (sum q) p - q for a distribution p, as p (sum of the other q) - q (sum of the other p)."""
    if is_plain(p) and is_plain(q) and p.ndim == 2 and np.all(np.count_nonzero(q, axis=-1) <= 1):
        return _excess_over_labels(p, q)
    return p * sums_of_others(q, xp) - q * sums_of_others(p, xp)


def _excess_over_labels(p: Array, q: Array) -> Array:
    """Return the same where each row of q has one entry at most: only there are the others' sums needed."""
    label, row = np.argmax(q, axis=-1), np.arange(len(p))
    total = q[row, label]
    result = p * total[:, None]
    others = 1 - p[row, label]
    sure = np.flatnonzero(others < 0.5)
    rest = p[sure]
    rest[np.arange(len(sure)), label[sure]] = 0
    others[sure] = rest.sum(axis=-1)
    result[row, label] = -total * others
    return result


@dataclass(frozen=True, eq=False)
class Scores:
    """Rows of normalised scores: all that the calculus of the first road needs.

    p = phi / Z with its logarithm (None if the member gives it by itself); first = phi' / Z and second = phi'' / Z;
    slope s = phi' / phi and bend (log phi)'' = phi'' / phi - s^2, which may be infinite where phi is 0.
    """

    p: Array
    log_p: Array | None
    first: Array
    second: Array
    slope: Array
    bend: Array
    xp: ModuleType

    def centred(self, u: Array) -> Array:
        """Return u - ubar, seen from the entry that dominates, where the plain difference would cancel."""
        xp = self.xp
        top = at_index(xp.argmax(self.p, axis=-1, keepdims=True), self.p, xp)
        u = u - xp.sum(xp.where(top, u, xp.zeros_like(u)), axis=-1, keepdims=True)
        return u - xp.sum(self.p * u, axis=-1, keepdims=True)

    def tangent(self, g: Array) -> Array:
        """Return g - p sum g, seen from the entry that dominates."""
        xp = self.xp
        top = at_index(xp.argmax(self.p, axis=-1, keepdims=True), self.p, xp)
        ratio = xp.sum(xp.where(top, g / self.p, xp.zeros_like(g)), axis=-1, keepdims=True)
        g = xp.where(top, xp.zeros_like(g), g - ratio * self.p)
        return g - self.p * xp.sum(g, axis=-1, keepdims=True)


class NormalisedScores(Member):
    """The first road: p_k = phi(z_k) / sum phi(z_j); a member gives `_scores`."""

    @abstractmethod
    def _scores(self, z: Array, xp: ModuleType) -> Scores: ...

    def _value(self, z: Array, xp: ModuleType) -> Array:
        return self._scores(z, xp).p

    def _log(self, z: Array, xp: ModuleType) -> Array:
        return self._scores(z, xp).log_p

    def _jvp(self, z: Array, v: Array, xp: ModuleType) -> Array:
        scores = self._scores(z, xp)
        return scores.tangent(scores.first * v)

    def _vjp(self, z: Array, u: Array, xp: ModuleType) -> Array:
        scores = self._scores(z, xp)
        return scores.first * scores.centred(u)

    def _second(self, z: Array, u: Array, v: Array, xp: ModuleType) -> Array:
        scores = self._scores(z, xp)
        u = scores.centred(u)
        moved = scores.first * v
        along, across = (xp.sum(x, axis=-1, keepdims=True) for x in (moved, u * moved))
        return u * (scores.second * v - scores.first * along) - scores.first * across

    def _loss(self, z: Array, q: Array, xp: ModuleType) -> Array:
        log_p = self._log(z, xp)
        return xp.sum(xp.where(q > 0, -q * xp.where(q > 0, log_p, xp.zeros_like(q)), xp.zeros_like(q)), axis=-1)

    def _loss_gradient(self, z: Array, q: Array, xp: ModuleType) -> Array:
        scores = self._scores(z, xp)
        total = xp.sum(q, axis=-1, keepdims=True)
        hit = xp.where(q > 0, scores.slope, xp.zeros_like(q)) * excess(scores.p, q, xp)
        return xp.where(q > 0, hit, total * scores.first)

    def _loss_and_gradient(self, z: Array, q: Array, xp: ModuleType) -> tuple[Array, Array]:
        return self._loss(z, q, xp), self._loss_gradient(z, q, xp)

    def _loss_hessian(self, z: Array, v: Array, q: Array, xp: ModuleType) -> Array:
        scores = self._scores(z, xp)
        total = xp.sum(q, axis=-1, keepdims=True)
        moved = xp.sum(scores.first * v, axis=-1, keepdims=True)
        bend = xp.where(q > 0, q * xp.where(q > 0, scores.bend, xp.zeros_like(q)), xp.zeros_like(q))
        return total * (scores.second * v - scores.first * moved) - bend * v


def scores_of_logarithms(log_phi: Array, slope: Array, curvature: Array, possible: Array, xp: ModuleType) -> Scores:
    """Return the scores of phi given by log phi, s = phi'/phi and r = phi''/phi; impossible classes are left out."""
    nothing = xp.zeros_like(log_phi)
    log_phi = xp.where(possible, log_phi, xp.full_like(log_phi, -xp.inf))
    slope, curvature = (xp.where(possible, x, nothing) for x in (slope, curvature))
    frame = generic.frame(log_phi, 1.0, xp)
    any_class = generic.possible(log_phi, xp)
    p = xp.where(any_class, frame.terms / (1 + frame.others), xp.full_like(nothing, xp.nan))
    log_p = frame.difference - (xp.log1p(frame.others) - frame.correction)
    log_p = xp.where(any_class, log_p, xp.full_like(nothing, xp.nan))
    return Scores(p, log_p, p * slope, p * curvature, slope, curvature - slope * slope, xp)


def scores_of_values(phi: Array, first: Array, second: Array, possible: Array, xp: ModuleType) -> Scores:
    """Return the scores of phi >= 0 and its derivatives, given up to a common factor of the row.

    A row whose phi is 0 at every possible class is 0/0: it gets the uniform distribution and no derivative.
    """
    nothing = xp.zeros_like(phi)
    endless = possible & (phi == xp.inf)
    limit = xp.any(endless, axis=-1, keepdims=True)
    phi = xp.where(limit, xp.astype(endless, phi.dtype), phi)
    phi, first, second = (xp.where(possible, x, nothing) for x in (phi, first, second))
    flat = (xp.max(phi, axis=-1, keepdims=True) == 0) | limit
    phi = xp.where(flat & ~limit, xp.astype(possible, phi.dtype), phi)
    first, second = (xp.where(flat, nothing, x) for x in (first, second))
    top = xp.max(phi, axis=-1, keepdims=True)
    at_top = at_index(xp.argmax(phi, axis=-1, keepdims=True), phi, xp)
    ratio = phi / top
    others = xp.sum(xp.where(at_top, nothing, ratio), axis=-1, keepdims=True)
    total = xp.sum(phi, axis=-1, keepdims=True)
    log_p = xp.log(xp.where(ratio > 0, ratio, xp.ones_like(ratio))) - xp.log1p(others)
    log_p = xp.where(ratio == 0, xp.full_like(phi, -xp.inf), log_p)
    inverse = 1 / xp.where(phi > 0, phi, xp.ones_like(phi))
    slope = xp.where(phi > 0, first * inverse, xp.where(first == 0, nothing, first * xp.inf))
    bend = xp.where(phi > 0, second * inverse - slope * slope, -slope)
    return Scores(phi / total, log_p, first / total, second / total, slope, bend, xp)


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
