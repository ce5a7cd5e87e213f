"""Means and spreads of the features, and the weight and the sums of each class: one pass, taken before all others."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from softmaxes.sources.base import Block, Source
from softmaxes.sources.passes import Plan, Workers
from softmaxes.sources.tiles import Scratch, tile_products

FEW_CLASSES = 16
"""Up to here a product with a dense matrix of the rows' classes is faster than one with a sparse matrix (measured)."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted mean and standard deviation of each feature, the weight of each class, and of all rows.

    class_sums: Σ s y_k (x - mean) of each class, (n_classes, n_features): with them the softmax's gradient at W = 0 is
    known without a pass.
    """

    mean: np.ndarray
    deviation: np.ndarray
    class_weight: np.ndarray
    class_sums: np.ndarray

    @property
    def total(self) -> float:
        """Return S, the sum of the rows' weights."""
        return float(self.class_weight.sum())

    @classmethod
    def of(cls, source: Source, n_classes: int, workers: Workers) -> Moments:
        """Return the moments in one pass."""
        plan = Plan.of(source, n_classes)
        origin = _origin(source)
        sums = workers.fold(source, plan, lambda: _MomentSums(origin, n_classes))
        total = sums.class_weight.sum()
        with np.errstate(invalid="ignore"):  # features that are not finite are found by their deviation
            offset = sums.first.sum(axis=0) / total
            variance = np.maximum(sums.second / total - offset * offset, 0.0)
            class_sums = sums.first
            for k, weight in enumerate(sums.class_weight):  # one class at a time: no copy of all
                class_sums[k] -= weight * offset
        deviation = np.sqrt(variance)
        mean = origin + offset
        # Below this the spread is rounding of a constant: dividing by it would blow up noise.
        deviation[deviation <= 8 * np.finfo(source.dtype).eps * np.abs(mean)] = 0.0
        return cls(mean, deviation, sums.class_weight, class_sums)


def _origin(source: Source) -> np.ndarray:
    """Return a point near the data (a row), from which sums of squares do not cancel; 0 for sparse features."""
    if source.is_sparse:
        return np.zeros(source.n_features)
    block = next(source.blocks(1))
    return np.asarray(block.features[0], dtype=np.float64).copy()


class ClassSums:
    """The weight of each class, from the targets alone."""

    def __init__(self, n_classes: int) -> None:
        self.weight = np.zeros(n_classes)

    def add(self, block: Block) -> None:
        weights = np.ones(len(block)) if block.weights is None else block.weights
        self.weight += _class_weight(block.targets, weights, len(self.weight))

    def merge(self, later: ClassSums) -> ClassSums:
        self.weight += later.weight
        return self


class _MomentSums:
    """Σ s y_k (x - origin) of each class, Σ s (x - origin)² and the weight of each class."""

    def __init__(self, origin: np.ndarray, n_classes: int) -> None:
        self.origin = origin
        self.first = np.zeros((n_classes, len(origin)))
        self.second = np.zeros(len(origin))
        self.class_weight = np.zeros(n_classes)

    def add(self, block: Block) -> None:
        features = block.features
        weights = np.ones(len(block)) if block.weights is None else block.weights
        if isinstance(features, np.ndarray):
            first, second = self._dense_sums(block, weights, features.dtype)
            if not np.isfinite(second).all():  # squares of float32 above 1e19
                first, second = self._dense_sums(block, weights, np.float64)
            self.first += first
            self.second += second
        else:
            self._add_sparse(block, weights)
        self.class_weight += _class_weight(block.targets, weights, len(self.class_weight))

    def _dense_sums(self, block: Block, weights: np.ndarray, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return Σ s y_k (x - origin) and Σ s (x - origin)² of a tile, in dtype."""
        features, n_classes = block.features, len(self.class_weight)
        of_classes = _of_classes(block.targets, weights.astype(dtype), n_classes, dense=n_classes <= FEW_CLASSES)
        with np.errstate(over="ignore", invalid="ignore"):
            centred = np.subtract(features, self.origin.astype(features.dtype), dtype=dtype)
            if isinstance(of_classes, np.ndarray):
                first = tile_products(of_classes, centred, Scratch())
            else:
                first = of_classes.T @ centred
            np.multiply(centred, centred, out=centred)
            return first, weights.astype(dtype) @ centred

    def _add_sparse(self, block: Block, weights: np.ndarray) -> None:
        features = block.features
        targets: Any = block.targets
        dense = targets.ndim == 2
        first = _of_classes(targets, weights, len(self.class_weight), dense=dense).T @ features
        if dense:
            self.first += first
        else:  # with no more entries than the features have
            first = first.tocsr()
            for k, (start, stop) in enumerate(itertools.pairwise(first.indptr)):
                self.first[k, first.indices[start:stop]] += first.data[start:stop]
        self.second += features.multiply(features).T @ weights

    def merge(self, later: _MomentSums) -> _MomentSums:
        self.first += later.first
        self.second += later.second
        self.class_weight += later.class_weight
        return self


def _of_classes(targets: Any, weights: np.ndarray, n_classes: int, *, dense: bool) -> Any:
    """Return s y of each row, (rows, n_classes), in the weights' dtype; dense: not as a sparse matrix."""
    if targets.ndim == 2:
        return (targets * weights[:, None]).astype(weights.dtype, copy=False)
    if dense:
        members: np.ndarray = np.eye(n_classes, dtype=weights.dtype)[targets]
        members *= weights[:, None]
        return members
    from scipy.sparse import csr_array

    return csr_array((weights, targets, np.arange(len(targets) + 1)), shape=(len(targets), n_classes))


def _class_weight(targets: Any, weights: np.ndarray, n_classes: int) -> np.ndarray:
    if targets.ndim == 2:
        return np.asarray(weights @ targets, dtype=np.float64)
    return np.bincount(targets, weights, n_classes)
