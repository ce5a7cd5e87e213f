"""Means and spreads of the features, and the weight of each class: one pass, taken before all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from softmaxes.sources.base import Block, Source
from softmaxes.sources.passes import Plan, Workers


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted mean and standard deviation of each feature, the weight of each class, and of all rows."""

    mean: np.ndarray
    deviation: np.ndarray
    class_weight: np.ndarray

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
        offset = sums.first / total
        variance = np.maximum(sums.second / total - offset * offset, 0.0)
        deviation = np.sqrt(variance)
        mean = origin + offset
        # Below this the spread is rounding of a constant: dividing by it would blow up noise.
        deviation[deviation <= 8 * np.finfo(source.dtype).eps * np.abs(mean)] = 0.0
        return cls(mean, deviation, sums.class_weight)


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
    """Σ s, Σ s (x - origin), Σ s (x - origin)² and the weight of each class."""

    def __init__(self, origin: np.ndarray, n_classes: int) -> None:
        self.origin = origin
        self.first = np.zeros(len(origin))
        self.second = np.zeros(len(origin))
        self.class_weight = np.zeros(n_classes)

    def add(self, block: Block) -> None:
        features = block.features
        weights = np.ones(len(block)) if block.weights is None else block.weights
        if isinstance(features, np.ndarray):
            first, second = _dense_sums(features, weights, self.origin, features.dtype)
            if not np.isfinite(second).all():  # squares of float32 above 1e19
                first, second = _dense_sums(features, weights, self.origin, np.float64)
            self.first += first
            self.second += second
        else:
            self.first += features.T @ weights
            self.second += features.multiply(features).T @ weights
        self.class_weight += _class_weight(block.targets, weights, len(self.class_weight))

    def merge(self, later: _MomentSums) -> _MomentSums:
        self.first += later.first
        self.second += later.second
        self.class_weight += later.class_weight
        return self


def _dense_sums(features: np.ndarray, weights: np.ndarray, origin: np.ndarray, dtype: Any) -> tuple[Any, Any]:
    with np.errstate(over="ignore", invalid="ignore"):
        centred = np.subtract(features, origin.astype(features.dtype), dtype=dtype)
        row = weights.astype(dtype)
        first = row @ centred
        np.multiply(centred, centred, out=centred)
        return first, row @ centred


def _class_weight(targets: Any, weights: np.ndarray, n_classes: int) -> np.ndarray:
    if targets.ndim == 2:
        return np.asarray(weights @ targets, dtype=np.float64)
    return np.bincount(targets, weights, n_classes)
