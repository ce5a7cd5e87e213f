"""A loss as a frozen value: its value, its gradient and its Hessian product, for any axis, weights and reduction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import ModuleType
from typing import TypedDict, Unpack

import numpy as np

from softmaxes.arrays import Array, Axis, as_floating
from softmaxes.losses.base import Problem, Reduction

__all__ = ["Loss", "Options", "RowLoss"]


class Options(TypedDict, total=False):
    """What every loss takes besides logits, target and axis (see `softmaxes.losses.base` for the formulas).

    reduction: "mean" (the default), "sum" or "none". class_weight: (K,), finite and >= 0. sample_weight: one finite
    number >= 0 a row. ignore_index: the label of rows that do not count. where: False marks impossible classes.
    """

    reduction: Reduction
    class_weight: Array | None
    sample_weight: Array | None
    ignore_index: int | None
    where: Array | None


class Loss(ABC):
    """A loss of logits against labels or distributions; never of probabilities.

    Call it for the value. Every method takes the `Options`.
    """

    def __call__(self, logits: Array, target: Array, axis: Axis = -1, **options: Unpack[Options]) -> Array:
        """Return the reduced loss, or one a row for reduction="none"."""
        with np.errstate(all="ignore"):
            return self._value(Problem.read(logits, target, axis, **options))

    def value_and_gradient(
        self, logits: Array, target: Array, axis: Axis = -1, **options: Unpack[Options]
    ) -> tuple[Array, Array]:
        """Return the reduced loss and its gradient with respect to the logits, in their shape."""
        with np.errstate(all="ignore"):
            return self._value_and_gradient(Problem.read(logits, target, axis, **options))

    def hessian_product(
        self, logits: Array, target: Array, direction: Array, axis: Axis = -1, **options: Unpack[Options]
    ) -> Array:
        """Return the Hessian of the reduced loss (for reduction="none": of each row's) times a direction."""
        problem = Problem.read(logits, target, axis, **options)
        xp = problem.xp
        along = as_floating(direction, "direction").values
        if tuple(along.shape) != problem.layout.shape:
            raise ValueError(f"direction has shape {tuple(along.shape)}; the logits have {problem.layout.shape}")
        with np.errstate(all="ignore"):
            return self._hessian_product(problem, xp.astype(problem.layout.to_rows(along), problem.rows.dtype))

    @abstractmethod
    def _value(self, problem: Problem) -> Array: ...

    @abstractmethod
    def _value_and_gradient(self, problem: Problem) -> tuple[Array, Array]: ...

    @abstractmethod
    def _hessian_product(self, problem: Problem, v: Array) -> Array: ...


class RowLoss(Loss):
    """A loss given by three formulas for rows z, (..., K), with masses c = w * q, (..., K)."""

    @abstractmethod
    def _losses(self, z: Array, c: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _gradients(self, z: Array, c: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _hessians(self, z: Array, c: Array, v: Array, xp: ModuleType) -> Array: ...

    def _check(self, problem: Problem) -> None:
        """Raise ValueError for a problem that this loss does not fit."""

    def _label_losses(self, z: Array, labels: Array, *, gradient: bool) -> tuple[Array, Array | None] | None:
        """Return the losses of rows with mass 1 at their label, and the gradients if asked; None without a kernel."""
        return None

    def _by_labels(self, problem: Problem, *, gradient: bool) -> tuple[Array, Array | None] | None:
        """Return the value, and the gradient if asked, straight from labels; None where no kernel knows the losses."""
        if problem.xp is not np or problem.target.labels is None:
            return None
        found = self._label_losses(problem.rows, problem.target.labels, gradient=gradient)
        if found is None:
            return None
        losses, slopes = found
        weight, divisor = problem.label_weight(), problem.divisor()
        if weight is not None:
            losses = np.where(weight > 0, weight * losses, 0.0)
        value = problem.finished(losses if problem.reduction == "none" else losses.sum() / divisor)
        if slopes is None:
            return value, None
        if weight is not None or divisor != 1:
            scale = np.broadcast_to((1.0 if weight is None else weight) / divisor, losses.shape)
            slopes *= scale.astype(slopes.dtype)[..., None]
            slopes[scale == 0] = 0
        return value, problem.returned(slopes)

    def _value(self, problem: Problem) -> Array:
        self._check(problem)
        if (found := self._by_labels(problem, gradient=False)) is not None:
            return found[0]
        z, c, xp = problem.rows, problem.masses(), problem.xp
        if not z.shape[-1]:
            return problem.reduced(xp.sum(z, axis=-1))
        losses = self._losses(z, c, xp)
        counted = xp.sum(c, axis=-1) > 0
        return problem.reduced(xp.where(counted, losses, xp.zeros_like(losses)))

    def _value_and_gradient(self, problem: Problem) -> tuple[Array, Array]:
        self._check(problem)
        if (found := self._by_labels(problem, gradient=True)) is not None:
            return found
        return self._value(problem), self._returned(problem, self._gradients)

    def _hessian_product(self, problem: Problem, v: Array) -> Array:
        self._check(problem)
        return self._returned(problem, lambda z, c, xp: self._hessians(z, c, v, xp))

    def _returned(self, problem: Problem, compute: Array) -> Array:
        z, c, xp = problem.rows, problem.masses(), problem.xp
        if not z.shape[-1]:
            return problem.gradient(z)
        rows = compute(z, c, xp)
        counted = xp.sum(c, axis=-1, keepdims=True) > 0
        return problem.gradient(xp.where(counted, rows, xp.zeros_like(rows)))
