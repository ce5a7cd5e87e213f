"""Which rows are held out of training: by a seed, and class by class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.errors import UserError

__all__ = ["held_out"]

STRETCH = 1 << 20
"""How many rows are dealt with at a time: what is made for them is small beside the order of all rows."""


def held_out(codes: NDArray[Any], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Return a mask of the rows to hold out: the same share of each class, as nearly as whole rows allow.

    Each class keeps at least one row for training; a class with a single row is not held out at all.

    Parameters
    ----------
    codes
        The class of each row.
    fraction
        The share to hold out, from 0 to less than 1.
    seed
        The rows depend on the seed, the codes and the fraction alone.

    Raises
    ------
    UserError
        If the fraction is out of range, or so small for this table that no row is held out.

    Examples
    --------
    >>> held_out(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.25, seed=1).sum()
    np.int64(2)
    """
    if not 0.0 <= fraction < 1.0:
        raise UserError(f"the share to hold out is {fraction:g}; it must be at least 0 and less than 1")
    mask = np.zeros(len(codes), dtype=np.bool_)
    if fraction == 0.0:
        return mask
    counts = class_counts(codes)
    shares = counts * fraction
    left = np.floor(shares).astype(np.int64)
    # What rounding down left over goes to the classes that lost most by it.
    over = round(float(shares.sum())) - int(left.sum())
    left[np.argsort(left - shares, kind="stable")[:over]] += 1
    left = np.minimum(left, np.maximum(counts - 1, 0))
    shuffled = np.arange(len(codes), dtype=np.min_scalar_type(len(codes)))
    np.random.default_rng(seed).shuffle(shuffled)
    for start in range(0, len(codes), STRETCH):
        rows = shuffled[start : start + STRETCH]
        own = codes[rows]
        order = np.argsort(own, kind="stable")
        here = class_counts(own, len(counts))
        rank = np.arange(len(rows)) - np.repeat(np.cumsum(here) - here, here)  # within the class, in this stretch
        mask[rows[order[rank < left[own[order]]]]] = True
        left = np.maximum(left - here, 0)
        if not left.any():
            break
    if not mask.any():
        raise UserError(
            f"{fraction:g} of {len(codes)} rows leaves none to hold out; pass a larger --holdout, or --holdout 0"
        )
    return mask


def class_counts(codes: NDArray[Any], n_classes: int = 0) -> NDArray[np.int64]:
    """Return how often each code occurs: `numpy.bincount`, which would make a copy of all codes as int64 at once."""
    counts = np.zeros(n_classes or int(codes.max(initial=0)) + 1, dtype=np.int64)
    for start in range(0, len(codes), STRETCH):
        counts += np.bincount(codes[start : start + STRETCH], minlength=len(counts))
    return counts
