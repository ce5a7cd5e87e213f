"""Taylor softmax: the exponential's Taylor polynomial in place of the exponential."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial, inf
from types import ModuleType
from typing import ClassVar

from softmaxes.arrays import Array
from softmaxes.maps.base import Properties, checked_number, surely
from softmaxes.maps.normalised import NormalisedScores, Scores, scores_of_values

__all__ = ["Taylor"]

# The real zero z* of f_n for odd n (to all digits of a float64); f_n > 0 exactly to the right of it.
_ZEROS = {
    1: -1.0,
    3: -1.596071637983322,
    5: -2.180607124035126,
    7: -2.759002709962272,
    9: -3.333551485269049,
}


@dataclass(frozen=True)
class Taylor(NormalisedScores):
    """p_k = f_n(z_k) / sum f_n(z_j) with f_n(z) = sum_{i<=n} z^i / i! (de Brebisson & Vincent 2016).

    Even orders are positive everywhere, but f_n falls to the left of the zero of f_{n-1}: very negative logits
    regain probability. Odd orders rise everywhere and are a map only where all logits lie to the right of their
    zero z*: others raise ValueError. The loss, -log p_y, is the log-Taylor softmax loss. Nothing is shift invariant
    here, so no maximum is subtracted.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.Taylor(2)([-1.0, 0.0, -2.0])
    array([0.2, 0.4, 0.4])
    """

    name: ClassVar[str] = "taylor"

    order: int = 2

    def __post_init__(self) -> None:
        order = checked_number(self.order, "order")
        if not 1 <= order <= 10 or order != int(order):
            raise ValueError(f"order={self.order!r}; needed is a whole number from 1 to 10")

    def properties(self) -> Properties:
        odd = self.order % 2 == 1
        return Properties(
            shift_invariant=False,
            scale_invariant=False,
            order_preserving=odd,
            sparse=False,
            differentiable=True,
            strictly_positive=True,
            domain=(_ZEROS[self.order], inf) if odd else (-inf, inf),
        )

    def _refuse(self, z: Array, xp: ModuleType) -> None:
        if self.order % 2 == 0:
            return
        bad = (z <= _ZEROS[self.order]) & (z != -xp.inf)
        if surely(xp.any(bad)):
            worst = float(xp.min(xp.where(bad, z, xp.zeros_like(z))))
            raise ValueError(
                f"Taylor softmax of the odd order {self.order} needs logits above {_ZEROS[self.order]:.6g}, "
                f"where its polynomial is positive, but a logit is {worst:g}; use an even order"
            )

    def _scores(self, z: Array, xp: ModuleType) -> Scores:
        n = self.order
        possible = z != -xp.inf
        endless = z == xp.inf
        y = xp.where(possible & ~endless, z, xp.zeros_like(z))
        # f_n(z) / M^n with M = 1, unless the powers of the row's largest logit would overflow
        size = xp.max(xp.abs(y), axis=-1, keepdims=True)
        wide = size > float(xp.finfo(z.dtype).max) ** (1 / (n + 2))
        unit = xp.where(wide, 1 / xp.where(wide, size, xp.ones_like(size)), xp.ones_like(size))
        y = y * unit
        phi = xp.where(endless, xp.full_like(y, xp.inf), _polynomial(n, y, unit))
        first = unit * _polynomial(n - 1, y, unit)
        second = unit * unit * _polynomial(n - 2, y, unit)
        return scores_of_values(phi, first, second, possible, xp)


def _polynomial(n: int, y: Array, unit: Array) -> Array:
    """Return u^n f_n(y / u); the orders 2 and 4 as sums of squares, without cancellation."""
    if n < 0:
        return 0 * y
    if n == 2:
        return 0.5 * (unit * unit + (unit + y) * (unit + y))
    if n == 4:
        square = (unit + y) * (unit + y) + unit * unit
        low = unit * (y + 2 * unit)
        return (square * square + 4 * low * low + 4 * unit**4) / 24
    value, power = 0 * y + 1 / factorial(n), 1.0
    for k in range(n - 1, -1, -1):
        power = power * unit
        value = value * y + power / factorial(k)
    return value
