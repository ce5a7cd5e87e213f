"""Spherical softmax: squares in place of exponentials."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt
from types import ModuleType
from typing import ClassVar

from softmaxes.arrays import Array
from softmaxes.maps.base import Properties, checked_number
from softmaxes.maps.normalised import NormalisedScores, Scores, scores_of_values

__all__ = ["Spherical"]


@dataclass(frozen=True)
class Spherical(NormalisedScores):
    """p_k = (z_k^2 + epsilon) / sum (z_j^2 + epsilon) (Vincent, de Brebisson & Bouthillier 2015).

    Loss, gradient and update of an output layer can be exact without ever forming the K scores (softmaxes.heads).
    Even in z, so the order of the logits is that of their sizes. With epsilon = 0 it is scale invariant, 0/0 for a
    row of zeros (uniform here, derivative 0), and the loss of a class with logit 0 is infinite.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.Spherical()([1.0, -2.0, 0.0])
    array([0.2, 0.8, 0. ])
    """

    name: ClassVar[str] = "spherical"

    epsilon: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= checked_number(self.epsilon, "epsilon") < inf:
            raise ValueError(f"epsilon={self.epsilon!r}; needed is a finite number >= 0")

    def properties(self) -> Properties:
        floor = self.epsilon > 0
        return Properties(
            shift_invariant=False,
            scale_invariant=not floor,
            order_preserving=False,
            sparse=not floor,
            differentiable=floor,
            strictly_positive=floor,
        )

    def _scores(self, z: Array, xp: ModuleType) -> Scores:
        possible = z != -xp.inf
        endless = z == xp.inf
        y = xp.where(possible & ~endless, z, xp.zeros_like(z))
        # Squares overflow and underflow early; both are kept away by dividing by the size of the row.
        size = xp.max(xp.abs(y), axis=-1, keepdims=True)
        size = xp.where(size > sqrt(self.epsilon), size, xp.full_like(size, sqrt(self.epsilon)))
        size = xp.where(size > 0, size, xp.ones_like(size))
        y, floor = y / size, self.epsilon / size / size
        phi = xp.where(endless, xp.full_like(y, xp.inf), y * y + floor)
        return scores_of_values(phi, 2 * y / size, 0 * y + 2 / size / size, possible, xp)
