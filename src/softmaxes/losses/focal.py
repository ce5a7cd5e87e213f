"""Focal loss: cross-entropy that cares less about what is already right."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Unpack

from softmaxes import exponential
from softmaxes.arrays import Array, Axis
from softmaxes.losses.base import nonnegative
from softmaxes.losses.loss import Options, RowLoss
from softmaxes.maps.base import excess, sums_of_others
from softmaxes.maps.softmax import Softmax

__all__ = ["Focal", "focal"]

_SOFTMAX = Softmax()


@dataclass(frozen=True)
class Focal(RowLoss):
    """l = sum_k c_k (1 - p_k)^gamma (-log p_k), p = softmax(z) (Lin et al. 2017); gamma = 0 is cross-entropy.

    With o = 1 - p (the sum of the others), rho = log p / o and b = o^gamma (1 - gamma p rho) >= 0 the gradient is
    (sum c b) p - c b. Class weights are the alpha of the paper.

    Examples
    --------
    >>> import softmaxes as sm
    >>> round(float(sm.losses.Focal(gamma=2.0)([[2.0, 0.0]], [0])), 6)
    0.001804
    """

    gamma: float = 2.0

    def __post_init__(self) -> None:
        nonnegative("gamma", self.gamma)

    def _parts(self, z: Array, xp: ModuleType) -> tuple[Array, Array, Array, Array]:
        """Return p, log p (0 where it is -inf), o and rho = log p / o (its limit -1 at o = 0)."""
        p, log_p = exponential.softmax(z), exponential.log_softmax(z)
        log_p = xp.where(xp.isinf(log_p), xp.zeros_like(p), log_p)
        others = sums_of_others(p, xp)
        safe = xp.where(others > 0, others, xp.ones_like(p))
        return p, log_p, others, xp.where(others > 0, log_p / safe, -xp.ones_like(p))

    def _losses(self, z: Array, c: Array, xp: ModuleType) -> Array:
        _, _, others, _ = self._parts(z, xp)
        surprise = xp.where(c > 0, -exponential.log_softmax(z), xp.zeros_like(c))
        return xp.sum(xp.where(c > 0, c * others**self.gamma * surprise, xp.zeros_like(c)), axis=-1)

    def _gradients(self, z: Array, c: Array, xp: ModuleType) -> Array:
        p, _, others, rho = self._parts(z, xp)
        return excess(p, c * others**self.gamma * (1 - self.gamma * p * rho), xp)

    def _hessians(self, z: Array, c: Array, v: Array, xp: ModuleType) -> Array:
        gamma = self.gamma
        p, log_p, others, rho = self._parts(z, xp)
        moved = _SOFTMAX._jvp(z, v, xp)
        pull = c * others**gamma * (1 - gamma * p * rho)
        # d(o^gamma)/dp = -gamma o^(gamma-1): the missing o is in the movement of p
        share = xp.where(others > 0, moved / xp.where(others > 0, others, xp.ones_like(p)), xp.zeros_like(p))
        bend = gamma * others**gamma * ((gamma - 1) * p * rho - (2 + log_p)) * share * c
        total, bent = (xp.sum(x, axis=-1, keepdims=True) for x in (pull, bend))
        return bent * p - bend + total * moved


def focal(logits: Array, target: Array, axis: Axis = -1, *, gamma: float = 2.0, **options: Unpack[Options]) -> Array:
    """Return the focal loss, the mean of (1 - p_y)^gamma (-log p_y); see `Focal` and `Options`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> round(float(sm.losses.focal([[2.0, 0.0]], [0], gamma=0.0)), 6)
    0.126928
    """
    return Focal(gamma)(logits, target, axis, **options)
