"""What every loss shares: reading logits, target and weights once, and reducing the rows to one number.

With s_i the sample weight of row i (0 where the row is ignored), w_c the class weight and q_i the target's
distribution (e_y for a label y), a loss is a number l_i for each row, linear in the masses c_i = w * q_i, and

    reduction="none":  s_i l_i for each row
    reduction="sum":   sum_i s_i l_i
    reduction="mean":  sum_i s_i l_i / D,   D = sum_i s_i w_{y_i} for class indices,  D = sum_i s_i for distributions

A row whose s_i is 0 contributes exactly 0 whatever its logits are. Where D is 0 (an empty batch, nothing but
ignored rows) the mean is 0 and so is the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, prod
from types import ModuleType
from typing import Literal, TypeAlias

import numpy as np

from softmaxes.arrays import Array, Axis, Floating, Layout, as_floating, checked_out, layout
from softmaxes.maps.base import checked_number
from softmaxes.masks import masked
from softmaxes.targets import Target, read_class_weight, read_row_weight, read_target

__all__ = ["Problem", "Reduction", "nonnegative"]

Reduction: TypeAlias = Literal["mean", "sum", "none"]


@dataclass(frozen=True, eq=False)
class Problem:
    """Logits as rows with their target and weights, all validated.

    rows: (..., K) logits, -inf where `where` was False. class_weight: (K,) or None. row_weight: (...) or None.
    """

    rows: Array
    target: Target
    class_weight: Array | None
    row_weight: Array | None
    floating: Floating
    layout: Layout
    reduction: Reduction

    @classmethod
    def read(
        cls,
        logits: Array,
        target: Array,
        axis: Axis,
        *,
        reduction: Reduction = "mean",
        class_weight: Array | None = None,
        sample_weight: Array | None = None,
        ignore_index: int | None = None,
        where: Array | None = None,
    ) -> Problem:
        """Validate everything that was given; nothing has been computed or written when this raises."""
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction={reduction!r}; it is one of 'mean', 'sum', 'none'")
        floating = as_floating(logits, "logits")
        xp = floating.xp
        plan = layout(floating.values, axis, xp)
        rows = masked(plan.to_rows(floating.values), plan, where)
        read = read_target(target, rows, plan, ignore_index=ignore_index)
        row_weight = read_row_weight(sample_weight, rows, xp)
        if read.kept is not None:
            kept = xp.astype(read.kept, rows.dtype)
            row_weight = kept if row_weight is None else row_weight * kept
        return cls(rows, read, read_class_weight(class_weight, rows, xp), row_weight, floating, plan, reduction)

    @property
    def xp(self) -> ModuleType:
        return self.layout.xp

    def masses(self, smoothing: float = 0.0) -> Array:
        """Return c = w * q for every row, (..., K), with q smoothed over the possible classes of the row."""
        q = self.target.smoothed(smoothing, self.rows != -self.xp.inf, self.rows.dtype, self.xp)
        return q if self.class_weight is None else q * self.class_weight

    def label_weight(self) -> Array | None:
        """Return s_i w_{y_i} for every row of class indices, or s_i for distributions; None if all are 1."""
        if self.class_weight is None or self.target.labels is None:
            return self.row_weight
        weight = self.target.of_label(self.class_weight, self.xp)
        return weight if self.row_weight is None else weight * self.row_weight

    def divisor(self) -> Array | float:
        """Return what the reduction divides by: D for the mean (1 where D is 0), else 1."""
        if self.reduction != "mean":
            return 1.0
        weight = self.label_weight()
        if weight is None:
            return float(max(prod(self.rows.shape[:-1]), 1))
        total = self.xp.sum(weight)
        return self.xp.where(total > 0, total, self.xp.ones_like(total))

    def reduced(self, losses: Array) -> Array:
        """Return the reduction of the rows' losses l_i in the caller's dtype."""
        weighted = self._weighted(losses, self.row_weight)
        return self.finished(weighted if self.reduction == "none" else self.xp.sum(weighted) / self.divisor())

    def gradient(self, rows: Array) -> Array:
        """Return the gradient of the reduction, in the caller's shape and dtype, from the gradients of the l_i."""
        weight = None if self.row_weight is None else self.row_weight[..., None]
        return self.returned(self._weighted(rows, weight) / self.divisor())

    def finished(self, value: Array) -> Array:
        """Return a loss, or one a row, rounded to the caller's dtype (a NumPy scalar where it is one number)."""
        value = self.floating.finish(value)
        return np.asarray(value)[()] if self.xp is np else value

    def returned(self, rows: Array) -> Array:
        """Return rows in the caller's layout and dtype."""
        return self.floating.finish(self.layout.from_rows(rows))

    def _weighted(self, values: Array, weight: Array | None) -> Array:
        """Return weight * values, and exactly 0 where the weight is 0, whatever is there."""
        if weight is None:
            return values
        return self.xp.where(weight > 0, weight * values, self.xp.zeros_like(values))

    def checked_gradient_out(self, gradient_out: Array | None, logits: Array) -> Array | None:
        """Return gradient_out if the gradient can be written there (the logits themselves, or disjoint memory)."""
        if gradient_out is None:
            return None
        return checked_out(gradient_out, self.layout.shape, self.floating.result_dtype, logits)


def nonnegative(name: str, value: float, most: float = inf) -> float:
    """Return value as a float if it is finite and in [0, most], else raise ValueError (TypeError for no number)."""
    number = checked_number(value, name)
    if not 0.0 <= number <= most or number == inf:
        needed = "a finite number >= 0" if most == inf else f"a number from 0 to {most:g}"
        raise ValueError(f"{name}={value!r}; needed is {needed}")
    return number
