"""Hardmax: all probability on the maximum."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from softmaxes import exponential
from softmaxes.arrays import Array
from softmaxes.maps.base import Properties
from softmaxes.maps.regularised import RegularisedArgmax

__all__ = ["Hardmax"]


@dataclass(frozen=True)
class Hardmax(RegularisedArgmax):
    """p = argmax <p, z> with no regulariser at all: the maxima share the probability equally.

    Piecewise constant: the derivative is 0 wherever it exists. Its Fenchel-Young loss max z - z_y is the
    perceptron's, with subgradient p - e_y.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.Hardmax()([2.0, 4.0, 4.0, 1.0])
    array([0. , 0.5, 0.5, 0. ])
    """

    name: ClassVar[str] = "hardmax"

    def properties(self) -> Properties:
        return Properties(
            shift_invariant=True,
            scale_invariant=True,
            order_preserving=True,
            sparse=True,
            differentiable=False,
            strictly_positive=False,
        )

    def _solve(self, z: Array, xp: ModuleType) -> Array:
        return exponential.hardmax(z)

    def _gain(self, p: Array, xp: ModuleType) -> tuple[Array, Array]:
        return xp.zeros_like(p), xp.zeros_like(p)

    def _divergence(self, z: Array, p: Array, q: Array, xp: ModuleType) -> Array:
        gap = xp.max(z, axis=-1, keepdims=True) - z
        return xp.sum(xp.where(q > 0, q * xp.where(q > 0, gap, xp.zeros_like(q)), xp.zeros_like(q)), axis=-1)
