"""Rows of a dense NumPy array in memory (or of a memory map that somebody else opened)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from softmaxes.sources.base import Block, IndexedSource, check_lengths


@dataclass(frozen=True, eq=False)
class Arrays(IndexedSource):
    """Rows of a 2-D float32 or float64 array of any strides; blocks are views, nothing is copied.

    features: (n_rows, n_features). targets: (n_rows,) or (n_rows, n_classes) or None. weights: (n_rows,) or None.
    classes: the labels, if targets are positions in them.

    >>> import numpy as np
    >>> source = Arrays(np.arange(6.0).reshape(3, 2), targets=np.array([0, 1, 0]))
    >>> [block.targets.tolist() for block in source.blocks(2)]
    [[0, 1], [0]]
    """

    features: np.ndarray
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None
    classes: np.ndarray | None = None
    n_rows: int = field(init=False)
    n_features: int = field(init=False)
    dtype: np.dtype[Any] = field(init=False)

    def __post_init__(self) -> None:
        if self.features.ndim != 2:
            raise ValueError(f"features has {self.features.ndim} dimensions; two are needed: (n_rows, n_features)")
        if self.features.dtype not in (np.float32, np.float64):
            raise TypeError(f"features has dtype {self.features.dtype}; float32 or float64 is needed")
        check_lengths(len(self.features), self.targets, self.weights)
        object.__setattr__(self, "n_rows", self.features.shape[0])
        object.__setattr__(self, "n_features", self.features.shape[1])
        object.__setattr__(self, "dtype", self.features.dtype)

    def block(self, start: int, stop: int) -> Block:
        """Return views of rows start, ..., stop - 1."""
        rows = slice(start, stop)
        return Block(
            self.features[rows],
            None if self.targets is None else self.targets[rows],
            None if self.weights is None else self.weights[rows],
        )

    def take(self, rows: np.ndarray) -> Arrays:
        """Return the rows with these numbers as a new source."""
        return Arrays(
            self.features[rows],
            None if self.targets is None else self.targets[rows],
            None if self.weights is None else self.weights[rows],
        )

    def every(self, stride: int) -> Arrays:
        """Return rows 0, stride, 2 stride, ... as a new source; views, nothing is copied."""
        return Arrays(
            self.features[::stride],
            None if self.targets is None else self.targets[::stride],
            None if self.weights is None else self.weights[::stride],
        )
