"""The formulas of one row, from what a sweep over its classes leaves of it: in Array API words, for NumPy and torch.

With the target y (nobody, for a distribution), M the largest of the OTHER logits and S = sum exp(z_k - M) over them,

    delta = M + log S - z_y,     -log p_y = log(1 + exp delta),     1 - p_y = 1 / (1 + exp -delta),
    p_k = (1 - p_y) exp(z_k - M) / S

so that a confident row keeps its relative accuracy. With c_k what class k counts, C = sum c, L = log Z:

    loss = sum_k c_k (L - z_k) + z_loss L^2          G_k = a p_k - c_k,  a = C + 2 z_loss L
    Hessian times v:  p_k (a (v_k - <p, v>) + 2 z_loss <p, v>)
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from softmaxes.arrays import Array


@dataclass(frozen=True)
class Kind:
    """What the options of cross-entropy make of a row: c_k = per_log w_k ((1 - smoothing) q_k + smoothing u_k)."""

    per_log: float
    smoothing: float
    z_loss: float
    labelled: bool


@dataclass(eq=False)
class Sums:
    """Sums over the classes of each row, (n,) in double precision.

    top, rest: M and S over the others. target_logit: -inf for distributions. target_mass: w_y, or sum w q.
    mass_times_logits: sum w q z of a distribution. The last three, for smoothing: how many classes are possible, the
    sum of their weights, and that of their weights times logits.
    """

    top: Array
    rest: Array
    target_logit: Array
    target_mass: Array
    mass_times_logits: Array
    n_possible: Array
    weight_possible: Array
    weight_times_logits: Array

    @classmethod
    def empty(cls, n_rows: int, xp: Any, **where: Any) -> Sums:
        """Return the sums over no class at all; where: dtype and device."""
        minus_infinity = {"top", "target_logit"}
        return cls(*(xp.full(n_rows, -xp.inf if f.name in minus_infinity else 0.0, **where) for f in fields(cls)))

    def of(self, rows: Any) -> Sums:
        """Return the sums of some rows."""
        return Sums(*(getattr(self, f.name)[rows] for f in fields(self)))

    def merge(self, maxima: Array, part: Array, xp: Any) -> None:
        """Add other classes, with the largest logit of each row and the sum of their exponentials below it."""
        top = xp.maximum(self.top, maxima)
        self.rest = self.rest * ratio(self.top, top, xp) + part * ratio(maxima, top, xp)
        self.top = top

    def log_z(self, xp: Any) -> Array:
        """Return log Z of all classes."""
        return xp.logaddexp(self.top + xp.log(self.rest), self.target_logit)

    def delta(self, xp: Any) -> Array:
        """Return log sum of the others' exponentials minus the target's logit."""
        others = self.top + xp.log(self.rest)
        both_infinite = (self.top == xp.inf) & (self.target_logit == xp.inf)
        return xp.where(both_infinite, xp.log(self.rest), others - self.target_logit)

    def losses(self, kind: Kind, xp: Any) -> Array:
        """Return the loss of each row, before its weight."""
        log_z, nothing = self.log_z(xp), xp.zeros_like(self.top)
        mass = (1 - kind.smoothing) * self.target_mass
        if kind.labelled:
            losses = _times(mass, xp.logaddexp(nothing, self.delta(xp)), xp)
        else:
            losses = _times(mass, log_z, xp) - (1 - kind.smoothing) * self.mass_times_logits
        if kind.smoothing:
            share = self._share(kind, xp)
            losses = losses + share * (_times(self.weight_possible, log_z, xp) - self.weight_times_logits)
            mass = mass + share * self.weight_possible
        losses = xp.where(log_z == -xp.inf, xp.full_like(losses, xp.nan), losses * kind.per_log)
        if kind.z_loss:
            return losses + kind.z_loss * log_z * log_z
        return xp.where(mass > 0, losses, nothing)

    def coefficients(self, kind: Kind, row_weight: Array, xp: Any) -> Coefficients:
        """Return what turns exponentials into derivatives of the losses, each times the weight of its row."""
        nothing = xp.zeros_like(self.top)
        sharp, share = kind.per_log * (1 - kind.smoothing) * self.target_mass, nothing
        if kind.smoothing:
            share = kind.per_log * self._share(kind, xp)
        pull = share * self.weight_possible
        if kind.z_loss:
            pull = pull + 2 * kind.z_loss * self.log_z(xp)
        others, at_target = xp.ones_like(self.top), nothing
        if kind.labelled:
            delta = self.delta(xp)
            others, at_target = 1 / (1 + xp.exp(-delta)), 1 / (1 + xp.exp(delta))
        a, scale = sharp + pull, row_weight
        if not kind.z_loss:
            scale = xp.where((a > 0) | xp.isnan(a), scale, nothing)
        rest = xp.where(self.rest != 0, self.rest, xp.ones_like(self.rest))
        return Coefficients(
            scale=scale,
            a=a,
            per_term=xp.where(self.rest != 0, others / rest, nothing),
            at_target=at_target,
            target=scale * (at_target * pull - sharp * others),
            target_mass=sharp if kind.labelled else nothing,
            share=share,
            sharp=xp.full_like(self.top, kind.per_log * (1 - kind.smoothing)),
        )

    def _share(self, kind: Kind, xp: Any) -> Array:
        """Return what smoothing gives to each class that is possible."""
        return kind.smoothing / xp.where(self.n_possible > 1, self.n_possible, xp.ones_like(self.n_possible))


@dataclass(frozen=True, eq=False)
class Coefficients:
    """For each row, with e_k = exp(z_k - M) of the others: p_k = per_term e_k, p_y = at_target,

    c_k = share w_k + sharp w_k q_k (and target_mass at a label), G_k = scale (a p_k - c_k), target = G_y.
    """

    scale: Array
    a: Array
    per_term: Array
    at_target: Array
    target: Array
    target_mass: Array
    share: Array
    sharp: Array


def ratio(a: Array, b: Array, xp: Any) -> Array:
    """Return exp(a - b), which is 1 where the two are the same infinity."""
    return xp.where(a == b, xp.ones_like(b), xp.exp(a - b))


def _times(mass: Array, values: Array, xp: Any) -> Array:
    """Return the product in which a mass of 0 silences even an infinite value."""
    return xp.where(mass > 0, mass * values, xp.zeros_like(values))
