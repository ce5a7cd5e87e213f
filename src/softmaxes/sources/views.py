"""The same rows with other weights, and what a function says of some of them: wherever the rows are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from softmaxes.sources.base import Block, IndexedSource, Source
from softmaxes.sources.distributed import Part, Partitions, each

BLOCK_ROWS = 4096
"""How many rows a function is given at a time."""


def weighted(source: Source, weights: np.ndarray) -> Source:
    """Return the rows with their weights times these, (n_rows,); rows are not copied, and weight 0 leaves one out.

    >>> from softmaxes.sources import Arrays
    >>> rows = weighted(Arrays(np.eye(3), np.array([0, 1, 1])), np.array([1.0, 0.0, 2.0]))
    >>> rows.block(1, 3).weights.tolist()
    [0.0, 2.0]
    """
    if isinstance(source, Partitions):
        return source.weighted(_given, cut(weights, source))
    if isinstance(source, IndexedSource):
        own = source.weights  # type: ignore[attr-defined]
        return replace(source, weights=weights if own is None else own * weights)  # type: ignore[type-var]
    return Weighted(source, weights)


def applied(function: Callable[[Any], np.ndarray], source: Source, wanted: np.ndarray) -> np.ndarray:
    """Return function(features) of the wanted rows, in their order; on a cluster by the workers.

    wanted: a mask over the rows, of which at least one is True.

    >>> from softmaxes.sources import Arrays
    >>> applied(lambda X: 10 * X, Arrays(np.eye(3)), np.array([True, False, True])).tolist()
    [[10.0, 0.0, 0.0], [0.0, 0.0, 10.0]]
    """
    if isinstance(source, Partitions):
        calls = [(part, function, mask) for part, mask in zip(source.parts, cut(wanted, source), strict=True)]
        found = each(source.client, _applied, calls, source.names)
        return np.concatenate([one for one in found if one is not None])
    results, start = [], 0
    for block in source.blocks(BLOCK_ROWS):
        mask = wanted[start : start + len(block)]
        start += len(block)
        if mask.any():
            results.append(function(block.features[mask]))
    return np.concatenate(results)


def cut(array: np.ndarray, source: Partitions) -> list[np.ndarray]:
    """Return the entries of an array with one for each row, partition by partition."""
    return [array[start:stop] for start, stop in pairwise(accumulate(source.rows, initial=0))]


@dataclass(frozen=True, eq=False)
class Weighted(Source):
    """A source that can only be read from its first row to its last, with its weights times others, (n_rows,)."""

    source: Source
    factor: np.ndarray
    n_rows: int = field(init=False)
    n_features: int = field(init=False)
    dtype: np.dtype[Any] = field(init=False)
    is_sparse: bool = field(init=False)
    classes: np.ndarray | None = field(init=False)

    def __post_init__(self) -> None:
        for name in ("n_rows", "n_features", "dtype", "is_sparse", "classes"):
            object.__setattr__(self, name, getattr(self.source, name))

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield the source's blocks with the other weights."""
        start = 0
        for block in self.source.blocks(rows):
            own = self.factor[start : start + len(block)]
            start += len(block)
            yield replace(block, weights=own if block.weights is None else own * block.weights)


def _given(codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights


def _applied(part: Part, function: Callable[[Any], np.ndarray], wanted: np.ndarray) -> np.ndarray | None:
    return function(part[0][wanted]) if wanted.any() else None
