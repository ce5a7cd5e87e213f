"""The linear sums: dividing scores by their sum, and what subtracting the minimum first does to that."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from types import ModuleType
from typing import ClassVar

from softmaxes.arrays import Array
from softmaxes.maps.base import Member, Properties, surely
from softmaxes.maps.normalised import NormalisedScores, Scores, scores_of_values

__all__ = ["Linear", "MinShift"]


@dataclass(frozen=True)
class Linear(NormalisedScores):
    """p = z / sum z: phi is the identity, so the scores must be >= 0 and not all 0.

    With mixed signs the quotient leaves the simplex ([-2, 0, 1] would give [2, 0, -1]) and with sum 0 it does not
    exist: both raise ValueError. The loss of a class with score 0 is infinite.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.Linear()([2.0, 4.0, 2.0, 1.0]).round(4)
    array([0.2222, 0.4444, 0.2222, 0.1111])
    """

    name: ClassVar[str] = "linear"

    def properties(self) -> Properties:
        return Properties(
            shift_invariant=False,
            scale_invariant=True,
            order_preserving=True,
            sparse=True,
            differentiable=True,
            strictly_positive=False,
            domain=(0.0, inf),
        )

    def _refuse(self, z: Array, xp: ModuleType) -> None:
        counted = z != -xp.inf
        if surely(xp.any(counted & (z < 0))):
            worst = float(xp.min(xp.where(counted, z, xp.zeros_like(z))))
            raise ValueError(
                f"linear sums divide scores >= 0 by their sum, but a score is {worst:g}; "
                "subtract the minimum first (MinShift, shift='min') or use softmax"
            )
        total = xp.sum(xp.where(counted, z, xp.zeros_like(z)), axis=-1)
        if surely(xp.any((total == 0) & xp.any(counted, axis=-1))):
            raise ValueError("linear sums divide by the sum of the scores, and a row of scores is all 0")

    def _scores(self, z: Array, xp: ModuleType) -> Scores:
        possible = z != -xp.inf
        # Only scores whose sum would overflow are scaled, so that all others are divided exactly once.
        top = xp.max(z, axis=-1, keepdims=True)
        scaled = (top > xp.finfo(z.dtype).max / z.shape[-1]) & (top < xp.inf)
        unit = xp.where(scaled, 1 / xp.where(scaled, top, xp.ones_like(top)), xp.ones_like(top))
        nothing = xp.zeros_like(z)
        return scores_of_values(z * unit, nothing + unit, nothing, possible, xp)


@dataclass(frozen=True)
class MinShift(Member):
    """p = y / sum y with y = z - min z: no shift and no positive scale changes it, and the minimum gets exactly 0.

    The derivative of the minimum is shared equally among ties (an element of Clarke's generalised Jacobian). A row
    without differences is 0/0: it gets the uniform distribution and derivative 0. The loss of the class with the
    smallest score is infinite.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.MinShift()([5.0, 7.0, 8.0])
    array([0. , 0.4, 0.6])
    """

    name: ClassVar[str] = "min_shift"

    def properties(self) -> Properties:
        return Properties(
            shift_invariant=True,
            scale_invariant=True,
            order_preserving=True,
            sparse=True,
            differentiable=False,
            strictly_positive=False,
        )

    def _lifted(self, z: Array, xp: ModuleType) -> tuple[Array, Array]:
        """Return y = z - min z, and the weights lambda with which the minimum follows the logits."""
        possible = z != -xp.inf
        least = xp.min(xp.where(possible, z, xp.full_like(z, xp.inf)), axis=-1, keepdims=True)
        lowest = xp.astype(possible & (z == least), z.dtype)
        return xp.where(possible, z - least, z), lowest / xp.sum(lowest, axis=-1, keepdims=True)

    def _forward(self, weights: Array, v: Array, xp: ModuleType) -> Array:
        """Return dy along v: v - <lambda, v>."""
        return v - xp.sum(weights * v, axis=-1, keepdims=True)

    def _backward(self, weights: Array, u: Array, xp: ModuleType) -> Array:
        """Return the transpose: u - lambda sum u."""
        return u - weights * xp.sum(u, axis=-1, keepdims=True)

    def _value(self, z: Array, xp: ModuleType) -> Array:
        return _SUM._value(self._lifted(z, xp)[0], xp)

    def _log(self, z: Array, xp: ModuleType) -> Array:
        return _SUM._log(self._lifted(z, xp)[0], xp)

    def _jvp(self, z: Array, v: Array, xp: ModuleType) -> Array:
        y, weights = self._lifted(z, xp)
        return _SUM._jvp(y, self._forward(weights, v, xp), xp)

    def _vjp(self, z: Array, u: Array, xp: ModuleType) -> Array:
        y, weights = self._lifted(z, xp)
        return self._backward(weights, _SUM._vjp(y, u, xp), xp)

    def _second(self, z: Array, u: Array, v: Array, xp: ModuleType) -> Array:
        y, weights = self._lifted(z, xp)
        return self._backward(weights, _SUM._second(y, u, self._forward(weights, v, xp), xp), xp)

    def _loss(self, z: Array, q: Array, xp: ModuleType) -> Array:
        return _SUM._loss(self._lifted(z, xp)[0], q, xp)

    def _loss_gradient(self, z: Array, q: Array, xp: ModuleType) -> Array:
        y, weights = self._lifted(z, xp)
        return self._backward(weights, _SUM._loss_gradient(y, q, xp), xp)

    def _loss_and_gradient(self, z: Array, q: Array, xp: ModuleType) -> tuple[Array, Array]:
        return self._loss(z, q, xp), self._loss_gradient(z, q, xp)

    def _loss_hessian(self, z: Array, v: Array, q: Array, xp: ModuleType) -> Array:
        y, weights = self._lifted(z, xp)
        return self._backward(weights, _SUM._loss_hessian(y, self._forward(weights, v, xp), q, xp), xp)


_SUM = Linear()
