"""Which rows are held out of training: by a seed, and class by class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softmaxes.errors import UserError

__all__ = ["held_out"]


def held_out(codes: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.bool_]:
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
    shuffled = np.random.default_rng(seed).permutation(len(codes))
    by_class = shuffled[np.argsort(codes[shuffled], kind="stable")]
    counts = np.bincount(codes)
    shares = counts * fraction
    taken = np.floor(shares).astype(np.int64)
    # What rounding down left over goes to the classes that lost most by it.
    left = round(float(shares.sum())) - int(taken.sum())
    taken[np.argsort(taken - shares, kind="stable")[:left]] += 1
    taken = np.minimum(taken, np.maximum(counts - 1, 0))
    starts = np.cumsum(counts) - counts
    for start, count in zip(starts, taken, strict=True):
        mask[by_class[start : start + count]] = True
    if not mask.any():
        raise UserError(
            f"{fraction:g} of {len(codes)} rows leaves none to hold out; pass a larger --holdout, or --holdout 0"
        )
    return mask
