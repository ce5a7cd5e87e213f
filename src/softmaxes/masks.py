"""Masks, and rows that have no possible class: what `where` and `empty` mean, the same for every function."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Literal, TypeAlias, get_args

import numpy as np

from softmaxes.arrays import Array, Layout

Empty: TypeAlias = Literal["nan", "zero", "uniform", "raise"]
"""What a row without a possible class becomes."""


def checked_empty(empty: str) -> None:
    """Raise ValueError if there is no such policy."""
    if empty not in get_args(Empty):
        raise ValueError(f"empty={empty!r}; known are {', '.join(map(repr, get_args(Empty)))}")


def checked_mask(where: Array, plan: Layout) -> Array:
    """Return `where` as booleans that broadcast to the plan's shape; raises TypeError or ValueError."""
    xp = plan.xp
    mask = xp.asarray(where)
    if not (mask.dtype == bool if xp is np else xp.isdtype(mask.dtype, "bool")):
        raise TypeError(f"where has dtype {mask.dtype}; booleans are needed, True where the class is possible")
    try:
        fits = np.broadcast_shapes(tuple(mask.shape), plan.shape) == plan.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"where has shape {tuple(mask.shape)}, which does not broadcast to {plan.shape}")
    return mask


def masked(rows: Array, plan: Layout, where: Array | None) -> Array:
    """Return rows with -inf where a class is impossible by `where`."""
    if where is None:
        return rows
    xp = plan.xp
    return xp.where(plan.to_rows(checked_mask(where, plan)), rows, xp.full_like(rows, -xp.inf))


def settled(result: Array, possible: Array, empty: str, uniform: float, xp: ModuleType, zero: float = 0.0) -> Array:
    """Return result with the rows that have no possible class set by the policy, or raise ValueError."""
    if empty == "raise":
        if not bool(xp.all(possible)):
            raise no_class(int(xp.argmin(xp.astype(xp.reshape(possible, (-1,)), xp.int8))))
        return result
    fill = {"nan": math.nan, "zero": zero, "uniform": uniform}[empty]
    return xp.where(possible, result, xp.full_like(result, fill))


def no_class(row: int) -> ValueError:
    """Return the error of empty="raise"."""
    return ValueError(
        f"row {row} has no possible class (all -inf or masked); "
        'pass empty="nan", "zero" or "uniform" to say what it becomes'
    )
