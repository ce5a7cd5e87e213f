"""The losses that come with a member of the family: its own, Fenchel-Young, with a margin, with priors."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite
from types import ModuleType
from typing import Unpack

import numpy as np

from softmaxes.arrays import Array, Axis
from softmaxes.losses.base import Problem, nonnegative
from softmaxes.losses.loss import Options, RowLoss
from softmaxes.maps import member
from softmaxes.maps.base import Member, checked_number, excess
from softmaxes.maps.hardmax import Hardmax
from softmaxes.maps.polynomial import Taylor
from softmaxes.maps.regularised import RegularisedArgmax
from softmaxes.maps.softmax import Softmax
from softmaxes.maps.spherical import Spherical

__all__ = [
    "FenchelYoung",
    "LogitAdjusted",
    "MapLoss",
    "SoftMargin",
    "fenchel_young",
    "log_spherical",
    "log_taylor",
    "logit_adjusted_cross_entropy",
    "perceptron",
    "soft_margin_cross_entropy",
]


def _shares(c: Array, xp: ModuleType) -> tuple[Array, Array]:
    """Return q = c / C and C, (..., 1); a row without mass has C = 0 and q = 0."""
    total = xp.sum(c, axis=-1, keepdims=True)
    return c / xp.where(total > 0, total, xp.ones_like(total)), total


@dataclass(frozen=True)
class MapLoss(RowLoss):
    """The member's own loss: -sum c log p for normalised scores, C times Fenchel-Young for a regularised argmax.

    MapLoss(Taylor(2)) is the log-Taylor softmax loss, MapLoss(Spherical(e)) the log-spherical softmax loss. Here and
    in the losses below the map may be given by its name: MapLoss("sparsemax").

    Examples
    --------
    >>> import softmaxes as sm
    >>> float(sm.losses.MapLoss(sm.Sparsemax())([[3.0, 0.0]], [0]))
    0.0
    """

    map: Member = field(default_factory=Softmax)

    def __post_init__(self) -> None:
        object.__setattr__(self, "map", member(self.map))

    def _label_losses(self, z: Array, labels: Array, *, gradient: bool) -> tuple[Array, Array | None] | None:
        return self.map._label_losses(z, labels, gradient=gradient)

    def _losses(self, z: Array, c: Array, xp: ModuleType) -> Array:
        self.map._refuse(z, xp)
        q, total = _shares(c, xp)
        return total[..., 0] * self.map._loss(z, q, xp)

    def _gradients(self, z: Array, c: Array, xp: ModuleType) -> Array:
        q, total = _shares(c, xp)
        return total * self.map._loss_gradient(z, q, xp)

    def _hessians(self, z: Array, c: Array, v: Array, xp: ModuleType) -> Array:
        q, total = _shares(c, xp)
        return total * self.map._loss_hessian(z, v, q, xp)


@dataclass(frozen=True)
class FenchelYoung(RowLoss):
    """l = C (Omega*(z) + Omega(q) - <z, q>), q = c / C: >= 0, zero exactly where p = q, with gradient C p - c.

    It is evaluated as a divergence between q and p, every term of which is >= 0, so tiny losses stay alive. For
    softmax it is KL(q || p): cross-entropy less the entropy of the target (times T at a temperature T).

    Examples
    --------
    >>> import softmaxes as sm
    >>> loss = sm.losses.FenchelYoung(sm.Entmax(1.5))
    >>> z = [[0.3, -1.0, 0.2]]
    >>> float(loss(z, sm.Entmax(1.5)(z))) < 1e-30
    True
    """

    map: RegularisedArgmax = field(default_factory=Softmax)

    def __post_init__(self) -> None:
        object.__setattr__(self, "map", member(self.map))
        if not isinstance(self.map, RegularisedArgmax):
            raise TypeError(f"{self.map!r} is no regularised argmax, so it has no Fenchel-Young loss; see MapLoss")

    def _label_losses(self, z: Array, labels: Array, *, gradient: bool) -> tuple[Array, Array | None] | None:
        return self.map._label_losses(z, labels, gradient=gradient)

    def _losses(self, z: Array, c: Array, xp: ModuleType) -> Array:
        q, total = _shares(c, xp)
        return total[..., 0] * self.map._fenchel_young(z, q, xp)

    def _gradients(self, z: Array, c: Array, xp: ModuleType) -> Array:
        return excess(self.map._argmax(z, xp), c, xp)

    def _hessians(self, z: Array, c: Array, v: Array, xp: ModuleType) -> Array:
        return xp.sum(c, axis=-1, keepdims=True) * self.map._jvp(z, v, xp)


@dataclass(frozen=True)
class SoftMargin(RowLoss):
    """The member's own loss at z - margin e_y: the target must lead by the margin to be as good as without it.

    With softmax it is log1p(e^m sum_{j != y} e^(z_j - z_y)) (Liang et al. 2017); with Taylor the SM-Taylor loss
    (Banerjee et al. 2020). Predict with the plain map. The margin is on the target alone: put on "the entry that is
    being evaluated" it would leave no distribution. Class indices only.

    Examples
    --------
    >>> import softmaxes as sm
    >>> round(float(sm.losses.SoftMargin(1.0)([[0.0, 0.0]], [0])), 6)
    1.313262
    """

    margin: float = 1.0
    map: Member = field(default_factory=Softmax)

    def __post_init__(self) -> None:
        nonnegative("margin", self.margin)
        object.__setattr__(self, "map", member(self.map))

    def _check(self, problem: Problem) -> None:
        if problem.target.labels is None:
            raise ValueError("a margin needs a target class; pass class indices, not distributions")

    def _label_losses(self, z: Array, labels: Array, *, gradient: bool) -> tuple[Array, Array | None] | None:
        moved, at = z.copy(), labels[..., None]
        np.put_along_axis(moved, at, np.take_along_axis(z, at, axis=-1) - z.dtype.type(self.margin), axis=-1)
        return self.map._label_losses(moved, labels, gradient=gradient)

    def _moved(self, z: Array, c: Array, xp: ModuleType) -> Array:
        return xp.where(c > 0, z - self.margin, z)

    def _losses(self, z: Array, c: Array, xp: ModuleType) -> Array:
        return MapLoss(self.map)._losses(self._moved(z, c, xp), c, xp)

    def _gradients(self, z: Array, c: Array, xp: ModuleType) -> Array:
        return MapLoss(self.map)._gradients(self._moved(z, c, xp), c, xp)

    def _hessians(self, z: Array, c: Array, v: Array, xp: ModuleType) -> Array:
        return MapLoss(self.map)._hessians(self._moved(z, c, xp), c, v, xp)


@dataclass(frozen=True)
class LogitAdjusted(RowLoss):
    """Cross-entropy of z + tau log(prior): the classifier learns what the class frequencies do not tell (Menon 2020).

    Predict with the plain logits. prior: one positive number a class (any scale).

    Examples
    --------
    >>> import softmaxes as sm
    >>> round(float(sm.losses.LogitAdjusted((0.9, 0.1))([[0.0, 0.0]], [1])), 6)
    2.302585
    """

    prior: tuple[float, ...]
    tau: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "prior", tuple(checked_number(p, "a prior") for p in self.prior))
        if not all(0 < p < inf for p in self.prior) or not isfinite(checked_number(self.tau, "tau")):
            raise ValueError(f"prior={self.prior!r}, tau={self.tau!r}; needed are finite priors > 0 and a finite tau")

    def _check(self, problem: Problem) -> None:
        if len(self.prior) != problem.rows.shape[-1]:
            raise ValueError(f"the prior has {len(self.prior)} classes, the logits have {problem.rows.shape[-1]}")

    def _label_losses(self, z: Array, labels: Array, *, gradient: bool) -> tuple[Array, Array | None] | None:
        return Softmax()._label_losses(self._moved(z, np), labels, gradient=gradient)

    def _moved(self, z: Array, xp: ModuleType) -> Array:
        return z + self.tau * xp.log(xp.asarray(self.prior, dtype=z.dtype, device=getattr(z, "device", None)))

    def _losses(self, z: Array, c: Array, xp: ModuleType) -> Array:
        return MapLoss()._losses(self._moved(z, xp), c, xp)

    def _gradients(self, z: Array, c: Array, xp: ModuleType) -> Array:
        return MapLoss()._gradients(self._moved(z, xp), c, xp)

    def _hessians(self, z: Array, c: Array, v: Array, xp: ModuleType) -> Array:
        return MapLoss()._hessians(self._moved(z, xp), c, v, xp)


def fenchel_young(map: RegularisedArgmax | str) -> FenchelYoung:
    """Return the Fenchel-Young loss of a regularised argmax, or of the one with this name.

    Examples
    --------
    >>> import softmaxes as sm
    >>> float(sm.losses.fenchel_young(sm.Sparsemax())([[0.5, 0.0, -0.5]], [[0.75, 0.25, 0.0]]))
    0.0
    """
    return FenchelYoung(member(map))  # type: ignore[arg-type]  # anything else is refused there


def perceptron(logits: Array, target: Array, axis: Axis = -1, **options: Unpack[Options]) -> Array:
    """Return the perceptron's loss max z - z_y, the limit of cross-entropy / beta for beta -> infinity.

    Examples
    --------
    >>> import softmaxes as sm
    >>> float(sm.losses.perceptron([[0.25, 1.5, -0.25]], [0]))
    1.25
    """
    return FenchelYoung(Hardmax())(logits, target, axis, **options)


def soft_margin_cross_entropy(
    logits: Array,
    target: Array,
    axis: Axis = -1,
    *,
    margin: float = 1.0,
    map: Member | str = "softmax",
    **options: Unpack[Options],
) -> Array:
    """Return the loss of a map with a margin on the target logit; see `SoftMargin` and `Options`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> round(float(sm.losses.soft_margin_cross_entropy([[0.0, 0.0]], [0], margin=0.0)), 6)
    0.693147
    """
    return SoftMargin(margin, member(map))(logits, target, axis, **options)


def logit_adjusted_cross_entropy(
    logits: Array, target: Array, prior: Array, axis: Axis = -1, *, tau: float = 1.0, **options: Unpack[Options]
) -> Array:
    """Return the cross-entropy of z + tau log(prior); see `LogitAdjusted` and `Options`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> round(float(sm.losses.logit_adjusted_cross_entropy([[0.0, 0.0]], [1], [0.9, 0.1])), 6)
    2.302585
    """
    return LogitAdjusted(tuple(prior), tau)(logits, target, axis, **options)


def log_taylor(logits: Array, target: Array, axis: Axis = -1, *, order: int = 2, **options: Unpack[Options]) -> Array:
    """Return the mean of -log of Taylor softmax at the target; see `softmaxes.Taylor` and `Options`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> round(float(sm.losses.log_taylor([[-1.0, 0.0, -2.0]], [0])), 6)
    1.609438
    """
    return MapLoss(Taylor(order))(logits, target, axis, **options)


def log_spherical(
    logits: Array, target: Array, axis: Axis = -1, *, epsilon: float = 0.0, **options: Unpack[Options]
) -> Array:
    """Return the mean of -log of spherical softmax at the target; see `softmaxes.Spherical` and `Options`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> round(float(sm.losses.log_spherical([[1.0, -2.0, 0.0]], [0])), 6)
    1.609438
    """
    return MapLoss(Spherical(epsilon))(logits, target, axis, **options)
