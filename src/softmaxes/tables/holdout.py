"""Which rows are held out of training, all together or fold by fold: by a seed, and class by class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.errors import UserError

__all__ = ["folds_of", "held_out"]

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
    taken = np.floor(shares).astype(np.int64)
    # What rounding down left over goes to the classes that lost most by it.
    left = round(float(shares.sum())) - int(taken.sum())
    taken[np.argsort(taken - shares, kind="stable")[:left]] += 1
    taken = np.minimum(taken, np.maximum(counts - 1, 0))
    for rows, places in places_in_class(codes, seed):
        mask[rows[places < taken[codes[rows]]]] = True
    if not mask.any():
        raise UserError(
            f"{fraction:g} of {len(codes)} rows leaves none to hold out; pass a larger --holdout, or --holdout 0"
        )
    return mask


def folds_of(codes: NDArray[Any], n_folds: int, seed: int) -> NDArray[np.uint8]:
    """Return the fold of each row, 0 to n_folds - 1: rows are dealt out in the order of their classes.

    >>> folds_of(np.array([0, 0, 1, 1, 1, 1]), 2, seed=0)[:2].sum()
    np.uint64(1)
    """
    folds = np.empty(len(codes), dtype=np.uint8)
    counts = class_counts(codes)
    starts = np.cumsum(counts) - counts
    for rows, places in places_in_class(codes, seed):
        folds[rows] = (starts[codes[rows]] + places) % n_folds
    return folds


def places_in_class(codes: NDArray[Any], seed: int) -> Iterator[tuple[NDArray[Any], NDArray[np.int64]]]:
    """Yield all rows in random order, some at a time, and how many rows of its own class came before each."""
    shuffled = np.arange(len(codes), dtype=np.min_scalar_type(len(codes)))
    np.random.default_rng(seed).shuffle(shuffled)
    seen = np.zeros(int(codes.max(initial=0)) + 1, dtype=np.int64)
    for start in range(0, len(codes), STRETCH):
        rows = shuffled[start : start + STRETCH]
        rows = rows[np.argsort(codes[rows], kind="stable")]
        here = class_counts(codes[rows], len(seen))
        yield rows, np.arange(len(rows)) + np.repeat(seen - (np.cumsum(here) - here), here)
        seen += here


def class_counts(codes: NDArray[Any], n_classes: int = 0) -> NDArray[np.int64]:
    """Return how often each code occurs: `numpy.bincount`, which would make a copy of all codes as int64 at once."""
    counts = np.zeros(n_classes or int(codes.max(initial=0)) + 1, dtype=np.int64)
    for start in range(0, len(codes), STRETCH):
        counts += np.bincount(codes[start : start + STRETCH], minlength=len(counts))
    return counts
