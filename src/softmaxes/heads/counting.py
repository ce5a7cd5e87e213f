"""Whole numbers, class indices and budgets as users give them, checked."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def whole(value: Any, name: str, least: int = 1) -> int:
    """Return value as an int of at least `least`; raises TypeError or ValueError that names it."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r}; a whole number is needed") from None
    if number < least:
        raise ValueError(f"{name}={value}; it must be at least {least}")
    return number


def class_indices(target: ArrayLike) -> NDArray[Any]:
    """Return class indices as an array; raises TypeError for numbers that are not whole by their dtype."""
    given = np.asarray(target)
    if not given.size:
        return given.astype(np.int64)  # an empty list is float64 to NumPy
    if given.dtype.kind == "f":
        raise TypeError(f"target has dtype {given.dtype}; class indices (integers) are needed")
    return given


def budget(max_bytes: Any) -> int:
    """Return a budget of bytes, which may be written as 64e6; raises TypeError for what is no number."""
    if not isinstance(max_bytes, int | float | np.number) or not np.isfinite(max_bytes):
        raise TypeError(f"max_bytes={max_bytes!r}; a number of bytes is needed, 64e6 for 64 MB")
    return int(max_bytes)
