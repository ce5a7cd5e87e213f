"""The first road: p_k = phi(z_k) / sum phi(z_j), with the calculus that follows from phi and its two derivatives.

A member gives phi as its logarithm with the slopes phi'/phi and phi''/phi, or phi, phi' and phi'' themselves.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from types import ModuleType

from softmaxes import generic
from softmaxes.arrays import Array
from softmaxes.maps.base import Member, at_index, excess

__all__ = ["NormalisedScores", "Scores", "scores_of_logarithms", "scores_of_values"]


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
