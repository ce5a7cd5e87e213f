"""The mergeable log-partition state: softmax of a row that is seen in parts, in any order, on any machine.

A state knows log Z = log sum e^x of the logits it has seen, and the entropy, mean, variance and expected index under
softmax. States of parts merge into the state of the whole. The arithmetic of the state is exact, so that it is the
SAME STATE, bit for bit, however the row was cut and in whatever order the parts were merged:

- e^x = e^j g with j = floor x and g = e^(x - j) in [1, e]: j is exact for every x, and nothing is ever rescaled.
- g is computed by additions and multiplications of float64 alone (the same bits on every machine), and is a whole
  multiple of 2^-52. So are (x - j) g and (x - j)^2 g after one rounding each, which depends on x alone.
- The sums of these whole numbers, one a moment and a cell j, are Python integers: they never round or overflow, and
  adding integers is associative and commutative.
- Cells 800 or more below that of the maximum are dropped, whenever that is noticed: the maximum only rises, so what is
  dropped early would have been dropped at the end. (Beside e^m all of them together are below 2^-1074.)

Logarithms are natural (nats). -inf is an impossible class: counted, and nothing else. With +inf the state has its
limit: the +inf entries share everything. NaN makes every read-out NaN. A single state may stand for many rows.

Sources: Milakov & Gimelshein 2018 (merging); Demmel & Nguyen 2015 (sums over an absolute grid).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from functools import cache, reduce
from math import inf, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.arrays import Array, as_floating, normalise_axes

__all__ = ["LogZ"]

_DEPTH = 800  # cells below the maximum that can still be seen: e^-800 times 2^60 entries is below 2^-1074
_UNIT = 52  # fraction bits of a whole number
_WORD = 26  # bits in the lower word of a whole number while a piece is summed
_PIECE = 4096  # entries of a row summed at a time: index (12 bits) x upper word (28) x entries (12) stays below 2^53
_AT_ONCE = 16  # pieces summed at a time, to keep what is computed on them in the cache
_PARTS = 32  # of the unit interval, each with its power of e in a table
_DIGIT = 48  # bits of a whole number in an entry of `to_array`
_DIGITS = 4
_FORMAT = 1.0  # the first entry of `to_array`
_MOMENTS = 4  # mass g, first moment r g, second moment r^2 g, index times g


def _nothing() -> NDArray[Any]:
    return np.zeros((0, _MOMENTS), dtype=object)


@dataclass(frozen=True, eq=False, repr=False)
class LogZ:
    """The log-partition state of the logits seen so far; `LogZ()` has seen none, and is neutral.

    Make one with `LogZ.of`; merge with `a.merge(b)`, `a + b` or `LogZ.reduce(states)`. States of rows (shape (n,))
    merge row by row, and broadcast. Merging is associative and commutative to the last bit.

    Attributes
    ----------
    maximum : array of shape (...)
        The largest logit: -inf if there is no possible class yet.
    count : array of shape (...)
        How many entries were seen, impossible ones (-inf) too.

    Examples
    --------
    >>> import numpy as np
    >>> import softmaxes as sm
    >>> row = np.array([1.0, 2.0, -np.inf, 3.0])
    >>> first, second = sm.LogZ.of(row[:2]), sm.LogZ.of(row[2:], offset=2)
    >>> state = first + second
    >>> state == sm.LogZ.of(row)
    True
    >>> float(state.log_z), int(state.count)
    (3.40760596444438, 4)

    A row that does not fit in memory: one pass for the state, one for the probabilities.

    >>> chunks = lambda: (np.arange(start, start + 1000) / 1e4 for start in range(0, 5000, 1000))
    >>> state = sm.LogZ.reduce(sm.LogZ.of(chunk, offset=1000 * i) for i, chunk in enumerate(chunks()))
    >>> round(float(sum(np.exp(chunk - state.log_z).sum() for chunk in chunks())), 12)
    1.0
    """

    maximum: NDArray[np.float64] = field(default_factory=lambda: np.asarray(-inf))
    count: NDArray[np.int64] = field(default_factory=lambda: np.asarray(0))
    # (..., cells, moments) whole numbers: cell d is e^(floor(maximum) - d), trimmed to the last cell with any mass
    _sums: NDArray[Any] = field(default_factory=_nothing)

    @classmethod
    def of(cls, x: Array, axis: int | None = -1, offset: int = 0) -> LogZ:
        """Return the state of logits along an axis (None: all of them), one for each row.

        Parameters
        ----------
        x : array of real numbers
            Read as float64 (longdouble is rounded to it); other libraries' arrays are copied to NumPy.
        axis : int or None, default -1
            The state keeps four integers a row and nat between a row's largest logit and its smallest (at most 800).
        offset : int, default 0
            The index of the first entry in the whole row: what `soft_argmax` counts from.

        Raises
        ------
        TypeError, ValueError
            For what is not real numbers, an axis that is not there, or a negative offset.

        Examples
        --------
        >>> LogZ.of([[0.0, 0.0], [1.0, 1.0]]).log_z
        array([0.69314718, 1.69314718])
        """
        if offset != int(offset) or offset < 0:
            raise ValueError(f"offset={offset!r}; needed is the index of the first entry, a whole number >= 0")
        values = as_floating(x).values
        values = np.asarray(values.detach() if hasattr(values, "detach") else values).astype(np.float64, copy=False)
        if axis is None:
            values = values.reshape(-1)
        else:
            (at,) = normalise_axes(axis, values.ndim) or (0,)
            values = np.moveaxis(np.atleast_1d(values), at, -1)
        shape, classes = values.shape[:-1], values.shape[-1]
        rows = values.reshape(int(np.prod(shape)), classes)
        states = [_of_rows(block, int(offset)) for block in _blocks_of_rows(rows)]
        return _stacked(states, shape) if states else cls(np.full(shape, -inf), np.zeros(shape, np.int64))

    @classmethod
    def reduce(cls, states: Iterable[LogZ]) -> LogZ:
        """Return the merger of all states, in whatever order they come; `LogZ()` of none."""
        return reduce(cls.merge, states, cls())

    def merge(self, other: LogZ) -> LogZ:
        """Return the state of everything that either has seen.

        Indices are not moved: give each part its `offset`. Raises TypeError for anything but a state, and ValueError
        if the shapes of the states do not broadcast.

        Examples
        --------
        >>> (LogZ.of([0.0]).merge(LogZ()) == LogZ.of([0.0]), float(LogZ().log_z))
        (True, -inf)
        """
        if not isinstance(other, LogZ):
            raise TypeError(f"a LogZ merges with a LogZ, not with {type(other).__name__}: make one with LogZ.of")
        try:
            maximum = np.asarray(np.maximum(self.maximum, other.maximum))
        except ValueError:
            raise ValueError(f"states of shapes {self.shape} and {other.shape} do not broadcast") from None
        one, two = self._seen_from(maximum), other._seen_from(maximum)
        cells = max(one.shape[-2], two.shape[-2])
        return LogZ(maximum, np.asarray(self.count + other.count), _trimmed(_padded(one, cells) + _padded(two, cells)))

    __add__ = merge

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the rows that this state stands for; () for one row."""
        return self.maximum.shape

    @property
    def log_z(self) -> Any:
        """log sum e^x = m + log1p(sum of the others / e^m), shape (...); -inf without a possible class."""
        others, _, _, _ = self._above_maximum()
        with np.errstate(invalid="ignore"):
            return (self.maximum + np.where(np.isneginf(self.maximum), 0.0, np.log1p(others)))[()]

    @property
    def entropy(self) -> Any:
        """-sum p log p = log1p(others) + E[m - x], shape (...): two terms of one sign. NaN without a possible class."""
        others, first, _, _ = self._above_maximum()
        return self._if_any(np.log1p(others) - first / (1 + others))

    @property
    def mean(self) -> Any:
        """E[x] = sum p x, shape (...), within 2^-50 max(1, |m|); NaN without a possible class."""
        others, first, _, _ = self._above_maximum()
        return self._if_any(self.maximum + first / (1 + others))

    @property
    def variance(self) -> Any:
        """E[(x - E x)^2] under softmax, shape (...): the derivative of the mean by the inverse temperature."""
        others, first, second, _ = self._above_maximum()
        mean = first / (1 + others)
        return self._if_any(np.maximum(second / (1 + others) - mean * mean, 0.0))

    @property
    def soft_argmax(self) -> Any:
        """E[index] = sum p_i i, shape (...), indices counted with each part's offset."""
        return self._if_any(self._above_maximum()[3])

    def to_array(self) -> NDArray[np.float64]:
        """Return the state as float64 numbers, shape (..., 4 + 16 cells): what crosses files and machines.

        Format 1, count, maximum, number of cells; then for every cell and each of its four sums four digits of 48
        bits, lowest first. (A state of logits that lie within 30 nats takes 4 kB.)

        Examples
        --------
        >>> state = LogZ.of([1.0, 2.0])
        >>> LogZ.from_array(state.to_array()) == state
        True
        """
        cells = self._sums.shape[-2]
        array = np.empty((*self.shape, 4 + cells * _MOMENTS * _DIGITS))
        array[..., 0] = _FORMAT
        array[..., 1] = self.count
        array[..., 2] = self.maximum
        array[..., 3] = cells
        left = self._sums.reshape(*self.shape, cells * _MOMENTS)
        for digit in range(_DIGITS):
            array[..., 4 + digit :: _DIGITS] = left & ((1 << _DIGIT) - 1)
            left = left >> _DIGIT
        if np.any(left != 0):
            raise OverflowError("the state has seen more entries than its array form can count (2^192 units of mass)")
        return array

    @classmethod
    def from_array(cls, array: Array) -> LogZ:
        """Return the state that `to_array` wrote. Raises ValueError for anything else."""
        array = np.asarray(array, dtype=np.float64)
        width = array.shape[-1] if array.ndim else 0
        cells, rest = divmod(width - 4, _MOMENTS * _DIGITS)
        heads = array[..., :4] if not rest and cells >= 0 else np.zeros(4)
        if not np.all((heads[..., 0] == _FORMAT) & (heads[..., 3] == cells) & (heads[..., 1] >= 0)):
            raise ValueError(f"an array of shape {array.shape} is not a LogZ of format {_FORMAT:g} (see LogZ.to_array)")
        digits = array[..., 4:].reshape(*array.shape[:-1], cells, _MOMENTS, _DIGITS)
        if not np.all((digits >= 0) & (digits < 2.0**_DIGIT) & (digits == np.floor(digits))):
            raise ValueError("the array's digits are not whole numbers of 48 bits: it was changed on its way")
        sums = sum(digits[..., i].astype(np.int64).astype(object) << (_DIGIT * i) for i in range(_DIGITS))
        return cls(array[..., 2].copy(), array[..., 1].astype(np.int64), _trimmed(np.asarray(sums, dtype=object)))

    def __eq__(self, other: object) -> bool:
        """Return whether two states are the same to the last bit (NaN equals NaN)."""
        if not isinstance(other, LogZ):
            return NotImplemented
        mine, others = self.to_array(), other.to_array()
        return mine.shape == others.shape and mine.tobytes() == others.tobytes()

    def __hash__(self) -> int:
        return hash(self.to_array().tobytes())

    def __repr__(self) -> str:
        return f"LogZ(log_z={self.log_z}, count={self.count})"

    def _seen_from(self, maximum: NDArray[np.float64]) -> NDArray[Any]:
        """Return the sums with their cells counted from those of new maxima, (*maximum.shape, cells, moments)."""
        with np.errstate(invalid="ignore", over="ignore"):
            # (NaN, which a NaN maximum leads to, is not below the depth either)
            shift = np.where(self.maximum == maximum, 0.0, np.floor(maximum) - np.floor(self.maximum))
        moves = np.where(shift < _DEPTH, shift, _DEPTH).astype(np.int64)
        cells = self._sums.shape[-2]
        kept = moves < _DEPTH
        deepest = int(moves.max(where=kept, initial=0)) if kept.any() else 0
        source = np.arange(min(cells + deepest, _DEPTH)) - moves[..., None]
        source = np.where((source < 0) | (source >= cells), cells, source)  # one more cell holds nothing
        sums = np.broadcast_to(_padded(self._sums, cells + 1), (*maximum.shape, cells + 1, _MOMENTS))
        return np.take_along_axis(sums, source[..., None], axis=-2)

    def _above_maximum(self) -> tuple[NDArray[np.float64], ...]:
        """Return sums over all entries but one at the maximum m, in units of e^m, and the expected index.

        sum e^(x-m), sum (x-m) e^(x-m), sum (x-m)^2 e^(x-m), each without cancellation: the entry at the maximum, which
        would swallow the others, is taken away in whole numbers.
        """
        cells = self._sums.shape[-2]
        shape = self.shape
        if not cells:
            empty = np.zeros(shape)
            return empty, empty, empty, np.full(shape, nan)
        r = _fraction(np.where(np.isfinite(self.maximum), self.maximum, 0.0))
        own = _moments(r)
        whole = np.where(self._sums[..., 0, 0] > 0, 1, 0).astype(object)
        sums = self._sums.copy()
        for k in range(3):
            sums[..., 0, k] -= own[k].astype(np.int64).astype(object) * whole
        mass, first, second = (sums[..., k].astype(np.float64) * 2.0**-_UNIT for k in range(3))
        weight = _powers(cells) / (own[0] * 2.0**-_UNIT)[..., None]
        d = -np.arange(cells) - r[..., None]  # a logit of the cell, at its floor, less the maximum
        first_all = d * mass + first
        second_all = d * d * mass + 2 * d * first + second
        index = self._sums[..., 3].astype(np.float64) * 2.0**-_UNIT
        # added one after the other: empty cells, which a row may have beside others, then change nothing
        totals = [np.cumsum(part * weight, axis=-1)[..., -1] for part in (mass, first_all, second_all, index)]
        return totals[0], totals[1], totals[2], totals[3] / (1 + totals[0])

    def _if_any(self, value: NDArray[np.float64]) -> Any:
        """Return value where there is a possible class, NaN elsewhere."""
        return np.where(np.isneginf(self.maximum) | np.isnan(self.maximum), nan, value)[()]


def _blocks_of_rows(rows: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Yield groups of rows of about as many entries as are summed at a time."""
    step = max(1, _AT_ONCE * _PIECE // max(rows.shape[-1], 1))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _of_rows(rows: NDArray[np.float64], offset: int) -> LogZ:
    """Return the state of rows (n, K), piece by piece."""
    state = LogZ(np.full(len(rows), -inf), np.zeros(len(rows), np.int64))
    whole = rows.shape[-1] // _PIECE if len(rows) == 1 else 0
    for start in range(0, whole, _AT_ONCE):
        # a long row as several short ones
        stop = min(start + _AT_ONCE, whole)
        pieces = rows[0, start * _PIECE : stop * _PIECE].reshape(stop - start, _PIECE)
        parts = _of_piece(pieces, offset + _PIECE * np.arange(start, stop).astype(object))
        for i in range(stop - start):
            state = state + LogZ(parts.maximum[i : i + 1], parts.count[i : i + 1], _trimmed(parts._sums[i : i + 1]))
    for first in range(whole * _PIECE, rows.shape[-1], _PIECE):
        state = state + _of_piece(rows[:, first : first + _PIECE], np.full(len(rows), offset + first, dtype=object))
    return state


def _of_piece(x: NDArray[np.float64], first_index: NDArray[Any]) -> LogZ:
    """Return the state of rows (n, k) with 0 < k <= _PIECE, whose indices start at first_index (n,)."""
    n, k = x.shape
    x = x + 0.0  # -0.0 becomes 0.0: which of the two is the maximum would depend on the order
    maximum = x.max(axis=-1)
    maximum[np.isnan(maximum)] = nan  # one NaN for all
    counts = np.full(n, k, np.int64)
    infinite = np.isposinf(maximum)[:, None]
    if infinite.any():
        # the limit: entries at +inf weigh the same, and nothing else counts
        x = np.where(infinite, np.where(np.isposinf(x), 0.0, -inf), x)
    with np.errstate(invalid="ignore", over="ignore"):
        depth = np.floor(np.where(infinite[:, 0], 0.0, maximum))[:, None] - np.floor(x)
        row, column = np.nonzero(depth < _DEPTH)  # neither -inf nor a row with NaN
    depth = depth[row, column].astype(np.int64)
    deep = int(depth.max(initial=-1)) + 1
    cell = row * deep + depth

    def totals(whole: NDArray[np.float64], times: NDArray[Any] | float = 1.0) -> NDArray[Any]:
        """Return the sums by row and cell of whole numbers, taken apart into two words so that no sum rounds."""
        upper = np.floor(whole * 2.0**-_WORD)
        lower = whole - upper * 2.0**_WORD
        sums = [np.bincount(cell, word * times, n * deep).astype(np.int64).astype(object) for word in (upper, lower)]
        return np.asarray((sums[0] << _WORD) + sums[1]).reshape(n, deep)

    moments = _moments(_fraction(x[row, column]))
    sums = np.empty((n, deep, _MOMENTS), dtype=object)
    for m in range(3):
        sums[..., m] = totals(moments[m])
    sums[..., 3] = totals(moments[0], column) + first_index[:, None] * sums[..., 0]
    return LogZ(maximum, counts, _trimmed(sums))


def _fraction(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x - floor(x) in [0, 1], within 2^-54: exact for x >= 0, rounded where x < 0 has more digits than it."""
    return np.asarray(x - np.floor(x))


def _moments(r: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return e^r, r e^r, r^2 e^r for r in [0, 1] as whole multiples of 2^-52, below 2^54.

    e^r = T (1 + p), T the power of e at the nearest 1/32 below, p = e^s - 1 for what is left, s < 1/32: additions
    and multiplications only, each rounded alike everywhere. The errors are below 1.3, 2.7 and 4 units of 2^-52.
    """
    high, low = _table()
    part = np.floor(r * _PARTS).astype(np.int64)
    s = r - part / _PARTS
    p = np.full_like(s, 1 / 40320)
    for n in (5040, 720, 120, 24, 6, 2):
        p = p * s + 1 / n
    p = s + s * s * p
    top = high[part]
    g = top + (top * p + low[part])
    scale = 2.0**_UNIT
    return np.rint(g * scale), np.rint(r * g * scale), np.rint(r * (r * g) * scale)


@cache
def _table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return e^(i/32), i = 0 .. 32, as unevaluated sums of two float64."""
    with localcontext() as context:
        context.prec = 50
        exact = [(Decimal(i) / _PARTS).exp() for i in range(_PARTS + 1)]
        high = [float(e) for e in exact]
        low = [float(e - Decimal(h)) for e, h in zip(exact, high, strict=True)]
    return np.array(high), np.array(low)


@cache
def _powers(n: int) -> NDArray[np.float64]:
    """Return e^-d for d = 0 .. n - 1, correctly rounded."""
    with localcontext() as context:
        context.prec = 30
        return np.array([float(Decimal(-d).exp()) for d in range(n)])


def _padded(sums: NDArray[Any], cells: int) -> NDArray[Any]:
    """Return sums with empty cells after theirs, `cells` in all."""
    more = np.zeros((*sums.shape[:-2], cells - sums.shape[-2], _MOMENTS), dtype=object)
    return np.concatenate([sums, more], axis=-2)


def _trimmed(sums: NDArray[Any]) -> NDArray[Any]:
    """Return sums without the cells after the last one that has any mass: one form for one state."""
    used = (sums[..., 0] != 0).astype(bool).any(axis=tuple(range(sums.ndim - 2)))
    return sums[..., : int(used.nonzero()[0].max(initial=-1)) + 1, :]


def _stacked(states: list[LogZ], shape: tuple[int, ...]) -> LogZ:
    """Return states of rows (n,) one after the other, as a state of the given shape."""
    cells = max(state._sums.shape[-2] for state in states)
    sums = np.concatenate([_padded(state._sums, cells) for state in states])
    return LogZ(
        np.concatenate([state.maximum for state in states]).reshape(shape),
        np.concatenate([state.count for state in states]).reshape(shape),
        sums.reshape(*shape, cells, _MOMENTS),
    )
