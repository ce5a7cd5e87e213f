"""What a source of rows is: blocks of features, targets and weights, in one order, as often as asked.

A solver passes over the data many times. A source therefore is a recipe for passes, not an iterator: each call
of `blocks` starts again at row 0 and yields the same rows in the same order. The caller names the number of
rows of a block, because sums are merged block by block and a sum must not depend on how the rows happen to be
stored. A source whose storage comes in other portions cuts them with `recut`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive rows of a source.

    Attributes
    ----------
    features : (rows, n_features), a NumPy array or a scipy.sparse CSR matrix.
    targets : (rows,) labels as the source has them, int64 class codes once encoded, or (rows, n_classes)
        probabilities; None where the source has no target.
    weights : (rows,) non-negative float64, or None where every row counts once.
    """

    features: Any
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self.features.shape[0])

    def rows(self, start: int, stop: int) -> Block:
        """Return rows start, ..., stop - 1, as views; the block itself if they are all of its rows."""
        if start == 0 and stop >= len(self):
            return self
        rows = slice(start, stop)
        return Block(
            self.features[rows],
            None if self.targets is None else self.targets[rows],
            None if self.weights is None else self.weights[rows],
        )


class Source(ABC):
    """Rows that can be passed over again and again.

    n_rows and n_features are known before the first pass (a source that has to count rows does so when it is
    made). dtype: float32 or float64, the type of the features in every block. is_sparse: whether the features are
    CSR matrices. classes: the labels, sorted, if targets are positions in it; None if targets are labels themselves.
    """

    n_rows: int
    n_features: int
    dtype: np.dtype[Any]
    is_sparse: bool = False
    classes: np.ndarray | None = None

    @abstractmethod
    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield all rows from the first to the last, in blocks of exactly `rows` rows (the last may be shorter).

        Every call starts again and yields the same blocks; blocks may be reused buffers, valid until the next.
        """


class StridedSource(Source):
    """A source that lends every so-manieth of its rows without a pass over all."""

    @abstractmethod
    def every(self, stride: int) -> StridedSource:
        """Return a source of rows at even distances."""


class IndexedSource(StridedSource):
    """A source that also reaches any of its rows at once, so that threads can share a pass and samples be drawn."""

    @abstractmethod
    def block(self, start: int, stop: int) -> Block:
        """Return rows start, ..., stop - 1 without copying features where that is possible."""

    @abstractmethod
    def take(self, rows: np.ndarray) -> IndexedSource:
        """Return a source of the rows with these numbers, in this order, copied."""

    def every(self, stride: int) -> IndexedSource:
        """Return a source of rows 0, stride, 2 stride, ..., without copying features where that is possible."""
        return self.take(np.arange(0, self.n_rows, stride))

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield the rows in order, in blocks of `rows` rows."""
        for start in range(0, self.n_rows, rows):
            yield self.block(start, min(start + rows, self.n_rows))


def recut(pieces: Iterable[Block], rows: int) -> Iterator[Block]:
    """Yield the rows of pieces of any length in blocks of exactly `rows` rows (the last may be shorter).

    Pieces are cut as views; only a block that spans two or more pieces is copied. At most one block and one piece
    are held at a time.

    >>> import numpy as np
    >>> pieces = (Block(np.full((n, 1), n)) for n in (3, 1, 4))
    >>> [block.features[:, 0].tolist() for block in recut(pieces, 4)]
    [[3, 3, 3, 1], [4, 4, 4, 4]]
    """
    waiting: list[Block] = []
    held = 0
    for piece in pieces:
        start = 0
        while held + len(piece) - start >= rows:
            stop = start + rows - held
            waiting.append(piece.rows(start, stop))
            yield _join(waiting)
            waiting, held, start = [], 0, stop
        if start < len(piece):
            waiting.append(piece.rows(start, len(piece)))
            held += len(piece) - start
    if waiting:
        yield _join(waiting)


def _join(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    first = blocks[0]
    if isinstance(first.features, np.ndarray):
        features = np.concatenate([block.features for block in blocks])
    else:
        import scipy.sparse

        features = scipy.sparse.vstack([block.features for block in blocks], format="csr")
    return Block(
        features,
        None if first.targets is None else np.concatenate([block.targets for block in blocks]),
        None if first.weights is None else np.concatenate([block.weights for block in blocks]),
    )


def check_lengths(n_rows: int, targets: np.ndarray | None, weights: np.ndarray | None) -> None:
    """Raise ValueError unless targets and weights, where given, have one entry for each of n_rows rows."""
    for name, array in (("targets", targets), ("weights", weights)):
        if array is not None and len(array) != n_rows:
            raise ValueError(f"{name} has {len(array)} entries, but there are {n_rows} rows; one entry a row is needed")
