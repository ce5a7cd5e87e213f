"""Rows of a scipy.sparse CSR matrix in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from softmaxes.sources.base import Block, IndexedSource, check_lengths


@dataclass(frozen=True, eq=False)
class Sparse(IndexedSource):
    """Rows of a float32 or float64 CSR matrix; blocks share its data and column numbers.

    features: (n_rows, n_features), scipy.sparse.csr_matrix or csr_array; other formats are the caller's to convert
    (`X.tocsr()`). targets: (n_rows,) or (n_rows, n_classes) or None. weights: (n_rows,) or None.
    classes: the labels, if targets are positions in them.

    >>> import numpy as np, scipy.sparse
    >>> source = Sparse(scipy.sparse.eye(3, format="csr"), targets=np.array([0, 1, 2]))
    >>> [block.features.toarray().tolist() for block in source.blocks(2)]
    [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]
    """

    features: Any
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None
    classes: np.ndarray | None = None
    n_rows: int = field(init=False)
    n_features: int = field(init=False)
    dtype: np.dtype[Any] = field(init=False)
    is_sparse: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        if getattr(self.features, "format", None) != "csr":
            raise TypeError("features must be a scipy.sparse CSR matrix; convert other formats with .tocsr()")
        if self.features.dtype not in (np.float32, np.float64):
            raise TypeError(f"features has dtype {self.features.dtype}; float32 or float64 is needed")
        check_lengths(self.features.shape[0], self.targets, self.weights)
        object.__setattr__(self, "n_rows", self.features.shape[0])
        object.__setattr__(self, "n_features", self.features.shape[1])
        object.__setattr__(self, "dtype", self.features.dtype)

    def block(self, start: int, stop: int) -> Block:
        """Return rows start, ..., stop - 1; only their row pointers are new."""
        features = self.features
        pointers = features.indptr[start : stop + 1]
        entries = slice(pointers[0], pointers[-1])
        rows = type(features)(
            (features.data[entries], features.indices[entries], pointers - pointers[0]),
            shape=(stop - start, self.n_features),
            copy=False,
        )
        return Block(
            rows,
            None if self.targets is None else self.targets[start:stop],
            None if self.weights is None else self.weights[start:stop],
        )

    def take(self, rows: np.ndarray) -> Sparse:
        """Return the rows with these numbers as a new source."""
        return Sparse(
            self.features[rows],
            None if self.targets is None else self.targets[rows],
            None if self.weights is None else self.weights[rows],
        )

    def every(self, stride: int) -> Sparse:
        """Return rows 0, stride, 2 stride, ... as a new source."""
        return Sparse(
            self.features[::stride],
            None if self.targets is None else self.targets[::stride],
            None if self.weights is None else self.weights[::stride],
        )
