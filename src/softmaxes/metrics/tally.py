"""Exact, mergeable sums: the state that every metric keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Tally"]

_CHUNK_BITS = 32
# Every finite double is an integer times 2**-1074; the slack keeps the shift of the lowest chunk non-negative.
_BIAS = 1074 + _CHUNK_BITS
_UNIT = 1 << _BIAS
# A bincount adds chunks below 2**32 in float64: exact for 2**20 of them.
_BLOCK = 1 << 20


def exact_sums(values: NDArray[Any], groups: NDArray[Any], n_groups: int) -> list[int]:
    """Return the sum of the values of each group, exactly, in units of 2**-1106.

    values: (n,) finite float64; groups: (n,) integers in [0, n_groups). Each value is cut into chunks of 32 bits from
    the top; a chunk is a small integer, so that adding chunks in float64 rounds nothing.
    """
    totals = [0] * n_groups
    for start in range(0, len(values), _BLOCK):
        rest, where = values[start : start + _BLOCK], groups[start : start + _BLOCK]
        while rest.size:
            top = float(np.abs(rest).max())
            if top == 0.0:
                break
            exponent = int(np.frexp(top)[1]) - _CHUNK_BITS
            chunk = np.trunc(np.ldexp(rest, -exponent))
            sums = np.bincount(where, weights=chunk, minlength=n_groups)
            for group in np.flatnonzero(sums).tolist():
                totals[group] += int(sums[group]) << (exponent + _BIAS)
            rest = rest - np.ldexp(chunk, exponent)
            alive = rest != 0.0
            if not alive.all():
                rest, where = rest[alive], where[alive]
    return totals


def _numbered(groups: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the distinct integers in order, and for each entry its place among them: numpy.unique, mostly unsorted."""
    low = int(groups.min())
    span = int(groups.max()) - low + 1
    if span > 4 * len(groups) + 65_536:
        return np.unique(groups, return_inverse=True)
    shifted = groups - low
    present = np.bincount(shifted, minlength=span) > 0
    return np.flatnonzero(present) + low, (np.cumsum(present) - 1)[shifted]


@dataclass(frozen=True)
class Tally:
    """Exact sums of several columns of numbers, kept for each cell.

    A tally is a commutative monoid, to the bit: the empty tally is neutral, and rows may be tallied in any order and in
    any chunks, on any number of machines, and merge to equal tallies. The sums are integers (multiples of 2**-1106), so
    nothing is rounded before the quotient that is asked for at the end.

    Examples
    --------
    >>> import numpy as np
    >>> whole = Tally.of(None, np.array([1e16, 1.0, -1e16]))
    >>> parts = Tally.of(None, np.array([1.0])).merge(Tally.of(None, np.array([1e16, -1e16])))
    >>> whole == parts, float(whole.sums()[0])
    (True, 1.0)
    """

    cells: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @staticmethod
    def of(groups: NDArray[Any] | None, *columns: NDArray[Any]) -> Tally:
        """Tally (n,) columns of finite numbers by the (n,) integer cells of `groups`; None puts all rows in cell 0."""
        if not len(columns[0]):
            return Tally()
        if groups is None:
            keys, where = np.zeros(1, np.int64), np.zeros(len(columns[0]), np.int64)
        else:
            keys, where = _numbered(groups)
        # Without sample weights several columns are one and the same array: sum it once.
        distinct = {id(column): column for column in columns}
        sums = {key: exact_sums(column, where, len(keys)) for key, column in distinct.items()}
        rows = zip(*(sums[id(column)] for column in columns), strict=True)
        return Tally(dict(zip(keys.tolist(), rows, strict=True)))

    @staticmethod
    def disjoint(parts: Iterable[Tally]) -> Tally:
        """Merge tallies that have no cell in common, which is quicker."""
        cells: dict[int, tuple[int, ...]] = {}
        for part in parts:
            cells.update(part.cells)
        return Tally(cells)

    def merge(self, other: Tally) -> Tally:
        """Return the tally of both sets of rows."""
        merged = dict(self.cells)
        for key, sums in other.cells.items():
            mine = merged.get(key)
            merged[key] = sums if mine is None else tuple(a + b for a, b in zip(mine, sums, strict=True))
        return Tally(merged)

    def __hash__(self) -> int:
        return hash(frozenset(self.cells.items()))

    def __repr__(self) -> str:
        return f"<Tally of {len(self.cells)} cells>"

    def sums(self, cell: int = 0) -> tuple[Fraction, ...]:
        """Return the exact sums of one cell; () for a cell that no row fell in."""
        return tuple(Fraction(part, _UNIT) for part in self.cells.get(cell, ()))

    def table(self, n_columns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the cells in order and, row by row, their sums rounded once to float64: shape (cells, n_columns)."""
        keys = sorted(self.cells)
        rows = [[part / _UNIT for part in self.cells[key]] for key in keys]
        return np.array(keys, np.int64), np.array(rows, np.float64).reshape(len(keys), n_columns)
