"""Squares and counts of the probabilities' errors: Brier, mean squared error, zero-one."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import Unpack

from softmaxes import exponential
from softmaxes.arrays import Array, Axis
from softmaxes.losses.loss import Options, RowLoss
from softmaxes.maps import member
from softmaxes.maps.base import Member, excess, sums_of_others
from softmaxes.maps.softmax import Softmax

__all__ = ["Brier", "SquaredError", "ZeroOne", "brier", "squared_error", "zero_one"]


@dataclass(frozen=True)
class Brier(RowLoss):
    """l = sum_k c_k |p - e_k|^2: the Brier score of a label, its expectation under a distribution (a proper score).

    |p - e_k|^2 is formed as (1 - p_k)^2 + sum of the other p_j^2. map: any member of the family.

    Examples
    --------
    >>> import softmaxes as sm
    >>> float(sm.losses.Brier()([[0.0, 0.0]], [0]))
    0.5
    """

    map: Member = field(default_factory=Softmax)

    def __post_init__(self) -> None:
        object.__setattr__(self, "map", member(self.map))

    def _losses(self, z: Array, c: Array, xp: ModuleType) -> Array:
        self.map._refuse(z, xp)
        p = self.map._value(z, xp)
        others = sums_of_others(p, xp)
        return xp.sum(c * (others * others + sums_of_others(p * p, xp)), axis=-1)

    def _gradients(self, z: Array, c: Array, xp: ModuleType) -> Array:
        return self.map._vjp(z, 2 * excess(self.map._value(z, xp), c, xp), xp)

    def _hessians(self, z: Array, c: Array, v: Array, xp: ModuleType) -> Array:
        error = 2 * excess(self.map._value(z, xp), c, xp)
        moved = 2 * xp.sum(c, axis=-1, keepdims=True) * self.map._jvp(z, v, xp)
        return self.map._second(z, error, v, xp) + self.map._vjp(z, moved, xp)


@dataclass(frozen=True)
class SquaredError(RowLoss):
    """l = C mean_k (p_k - q_k)^2 with q = c / C, C = sum c: zero exactly where p is the target distribution.

    Examples
    --------
    >>> import softmaxes as sm
    >>> float(sm.losses.SquaredError()([[0.0, 0.0]], [[0.5, 0.5]]))
    0.0
    """

    map: Member = field(default_factory=Softmax)

    def __post_init__(self) -> None:
        object.__setattr__(self, "map", member(self.map))

    def _losses(self, z: Array, c: Array, xp: ModuleType) -> Array:
        self.map._refuse(z, xp)
        error = excess(self.map._value(z, xp), c, xp)
        return xp.sum(error * error, axis=-1) / (z.shape[-1] * xp.sum(c, axis=-1))

    def _gradients(self, z: Array, c: Array, xp: ModuleType) -> Array:
        return self.map._vjp(z, 2 / z.shape[-1] * excess(self.map._value(z, xp), c, xp), xp)

    def _hessians(self, z: Array, c: Array, v: Array, xp: ModuleType) -> Array:
        error = excess(self.map._value(z, xp), c, xp)
        moved = xp.sum(c, axis=-1, keepdims=True) * self.map._jvp(z, v, xp)
        return 2 / z.shape[-1] * (self.map._second(z, error, v, xp) + self.map._vjp(z, moved, xp))


@dataclass(frozen=True)
class ZeroOne(RowLoss):
    """l = sum_k c_k (1 - hardmax_k): the share of wrong predictions, a tie of n maxima counting 1 - 1/n.

    Piecewise constant: the gradient is 0 almost everywhere and is returned as 0.

    Examples
    --------
    >>> import softmaxes as sm
    >>> float(sm.losses.ZeroOne()([[0.0, 1.0], [3.0, 1.0]], [0, 0]))
    0.5
    """

    def _losses(self, z: Array, c: Array, xp: ModuleType) -> Array:
        return xp.sum(c * sums_of_others(exponential.hardmax(z), xp), axis=-1)

    def _gradients(self, z: Array, c: Array, xp: ModuleType) -> Array:
        return xp.zeros_like(z)

    def _hessians(self, z: Array, c: Array, v: Array, xp: ModuleType) -> Array:
        return xp.zeros_like(z)


def brier(logits: Array, target: Array, axis: Axis = -1, **options: Unpack[Options]) -> Array:
    """Return the Brier score of softmax(logits), the mean of |p - e_y|^2; see `Brier` and `Options`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> float(sm.losses.brier([[0.0, 0.0]], [0]))
    0.5
    """
    return Brier()(logits, target, axis, **options)


def squared_error(logits: Array, target: Array, axis: Axis = -1, **options: Unpack[Options]) -> Array:
    """Return the mean squared error of softmax(logits) over classes and rows; see `SquaredError` and `Options`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> float(sm.losses.squared_error([[0.0, 0.0]], [0]))
    0.25
    """
    return SquaredError()(logits, target, axis, **options)


def zero_one(logits: Array, target: Array, axis: Axis = -1, **options: Unpack[Options]) -> Array:
    """Return the share of rows whose largest logit is not the target's; see `ZeroOne` and `Options`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> float(sm.losses.zero_one([[0.0, 1.0], [3.0, 1.0]], [0, 0]))
    0.5
    """
    return ZeroOne()(logits, target, axis, **options)
