"""Rows from any iterator of blocks that can be started again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from softmaxes.sources.base import Block, Source, recut
from softmaxes.sources.encoding import codes_of


class Blocks(Source):
    """Rows that a function or a sequence yields in blocks of any size: tuples (X, y) or (X, y, weights).

    blocks: a function without arguments that returns a new iterator each time, or a list or other sequence. X is a
    2-D array or scipy.sparse matrix, y the labels, weights non-negative. One pass, when the source is made, counts the
    rows and finds the labels; every later pass must bring the same rows in the same order.

    classes: the labels found, sorted; targets of the blocks are positions in it. Raises TypeError for an iterator that
    can be run once only, and ValueError where blocks don't go together, or hold what is no finite number.

    >>> import numpy as np
    >>> source = Blocks(lambda: ((np.full((n, 1), n), ["abc"[n]] * n) for n in (1, 2)))
    >>> source.n_rows, source.classes.tolist(), [block.targets.tolist() for block in source.blocks(2)]
    (3, ['b', 'c'], [[0, 1], [1]])
    """

    def __init__(self, blocks: Callable[[], Iterable[Any]] | Iterable[Any], *, dtype: Any = None) -> None:
        if not callable(blocks) and iter(blocks) is blocks:
            raise TypeError(
                "this iterator can be run once only, but rows are passed over many times; pass a function that returns "
                "a new iterator each time, such as `lambda: make_blocks()`"
            )
        self._make: Any = blocks if callable(blocks) else lambda: blocks
        self.dtype = np.dtype(np.float64 if dtype is None else dtype)
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype={dtype!r}; float32 or float64 is needed")
        self.n_rows = 0
        classes = np.empty(0)
        narrow = dtype is None
        for features, labels, _ in self._raw():
            if self.n_rows == 0:
                self.n_features, self.is_sparse, classes = features.shape[1], _is_sparse(features), labels[:0]
            narrow = narrow and features.dtype == np.float32
            classes = np.union1d(classes, labels)
            self.n_rows += features.shape[0]
        if self.n_rows == 0:
            raise ValueError("there are no blocks, so no rows to learn from")
        self._labels = self.classes = classes
        if narrow:
            self.dtype = np.dtype(np.float32)

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield the rows in order, in blocks of `rows` rows, whatever the blocks were."""
        return recut(self._pieces(), rows)

    def _pieces(self) -> Iterator[Block]:
        seen = 0
        for features, labels, weights in self._raw():
            seen += features.shape[0]
            if seen > self.n_rows:
                break
            yield Block(features.astype(self.dtype, copy=False), codes_of(labels, self._labels), weights)
        if seen != self.n_rows:
            relation = "more than" if seen > self.n_rows else f"only {seen} of"
            raise ValueError(f"a later pass brought {relation} {self.n_rows} rows; every pass must bring the same ones")

    def _raw(self) -> Iterator[tuple[Any, np.ndarray, np.ndarray | None]]:
        """Yield what the user's blocks hold, checked."""
        first: tuple[Any, ...] | None = None
        seen = 0
        for place, block in enumerate(self._make()):
            features, labels, weights = _parts(block, place)
            shape = (features.shape[1], _is_sparse(features), weights is None)
            first = first or shape
            if shape != first:
                raise ValueError(
                    f"block {place} differs from block 0: (features, sparse, without weights) is {shape}, not {first}"
                )
            values = features if isinstance(features, np.ndarray) else features.data
            if not np.isfinite(values).all():
                where = ""
                if values.ndim == 2:
                    row, column = np.argwhere(~np.isfinite(values))[0]
                    where = f": row {seen + row}, feature {column} is {values[row, column]}"
                raise ValueError(f"block {place} holds NaN or infinity{where}; fill in what is missing first")
            seen += features.shape[0]
            if features.shape[0]:
                yield features, labels, weights


def _parts(block: Any, place: int) -> tuple[Any, np.ndarray, np.ndarray | None]:
    if isinstance(block, Block):
        block = (block.features, block.targets, block.weights)
    if not isinstance(block, tuple) or len(block) not in (2, 3):
        raise ValueError(f"block {place} is a {type(block).__name__}; a tuple (X, y) or (X, y, weights) is needed")
    features, labels = block[0], np.asarray(block[1])
    if _is_sparse(features):
        features = features.tocsr()
    else:
        features = np.asarray(features)
    if features.dtype not in (np.float32, np.float64):
        features = features.astype(np.float64)
    weights = None if len(block) == 2 or block[2] is None else np.asarray(block[2], dtype=np.float64)
    if features.ndim != 2 or labels.shape != features.shape[:1] or (weights is not None and weights.ndim != 1):
        raise ValueError(
            f"block {place} has X of shape {features.shape} and y of shape {labels.shape}; (rows, features) and "
            "(rows,) are needed"
        )
    if weights is not None and (len(weights) != len(labels) or not (np.isfinite(weights) & (weights >= 0)).all()):
        raise ValueError(f"block {place}: there must be one finite weight of at least 0 for each row")
    return features, labels, weights


def _is_sparse(features: Any) -> bool:
    return hasattr(features, "tocsr")
