"""Labels as class codes: what stands between a source as users have it and an objective."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from softmaxes.sources.base import Block, IndexedSource, Source
from softmaxes.sources.distributed import Partitions


def classes_of(source: Source, block_rows: int = 65536) -> np.ndarray:
    """Return the distinct labels of a source, sorted: known to the source, at hand in memory, or found in one pass.

    Raises ValueError if the source has no targets.
    """
    if source.classes is not None:
        return source.classes
    if isinstance(getattr(source, "targets", None), np.ndarray):
        return np.unique(source.targets)  # type: ignore[attr-defined]
    found: list[np.ndarray] = []
    for block in source.blocks(block_rows):
        if block.targets is None:
            raise ValueError("this source has no targets; name its target column, or pass y as an array")
        found = [np.unique(np.concatenate([*found, np.unique(block.targets)]))]
    return found[0] if found else np.empty(0)


def codes_of(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the position of each label in classes (sorted), int64. Raises ValueError for a label that is not there."""
    codes = np.searchsorted(classes, labels)
    known = classes[np.minimum(codes, len(classes) - 1)] == labels
    if not np.all(known):
        unknown = np.asarray(labels)[~known][0]
        raise ValueError(f"label {str(unknown)!r} is not one of the {len(classes)} known classes")
    return codes.astype(np.int64, copy=False)


def encoded(source: Source, classes: np.ndarray, class_weight: np.ndarray | None = None) -> Source:
    """Return a source with codes for labels and weights times the classes', reaching any row at once if it does."""
    if source.classes is not None:
        if class_weight is None:
            return source
        if isinstance(source, Partitions):
            return source.class_weighted(class_weight)
        classes = np.arange(len(classes))
    targets = getattr(source, "targets", None)
    if not isinstance(source, IndexedSource) or targets is None:
        return Encoded(source, classes, class_weight)
    codes = codes_of(targets, classes)
    weights = source.weights  # type: ignore[attr-defined]
    if class_weight is not None:
        weights = class_weight[codes] if weights is None else weights * class_weight[codes]
    return replace(source, targets=codes, weights=weights)  # type: ignore[type-var]


def class_weighted(source: Source, classes: np.ndarray, class_weight: Any) -> Source:
    """Return a source of codes whose weights are multiplied by those of their classes: see `weights_of`.

    For "balanced" the rows are passed over once, unless their labels are in memory.
    """
    totals = _totals(source, len(classes)) if class_weight == "balanced" else np.ones(len(classes))
    return encoded(source, np.arange(len(classes)), weights_of(class_weight, classes, totals))


def weights_of(class_weight: Any, classes: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return the weight of each class.

    class_weight: {label: weight}, 1 for a label that is not there; or "balanced": Σ s / (n_classes Σ s of the class).
    totals: Σ s of each class; where that is 0, any weight will do.
    """
    from sklearn.utils import compute_class_weight

    if class_weight == "balanced":
        balanced: np.ndarray = totals.sum() / (len(classes) * np.where(totals > 0, totals, 1.0))
        return balanced
    return np.asarray(compute_class_weight(class_weight, classes=classes, y=classes), dtype=np.float64)


def _totals(source: Source, n_classes: int) -> np.ndarray:
    """Return Σ s of each class in a source of codes."""
    totals = np.zeros(n_classes)
    targets = getattr(source, "targets", None)
    if isinstance(source, IndexedSource) and targets is not None:
        totals += np.bincount(targets, source.weights, n_classes)  # type: ignore[attr-defined]
        return totals
    for block in source.blocks(65536):
        totals += np.bincount(block.targets, block.weights, n_classes)  # type: ignore[arg-type]
    return totals


@dataclass(frozen=True, eq=False)
class Encoded(Source):
    """A source whose labels become codes 0 ... n_classes - 1, and whose weights are multiplied by the classes'."""

    source: Source
    classes: np.ndarray
    class_weight: np.ndarray | None = None
    n_rows: int = field(init=False)
    n_features: int = field(init=False)
    dtype: np.dtype[Any] = field(init=False)
    is_sparse: bool = field(init=False)

    def __post_init__(self) -> None:
        for name in ("n_rows", "n_features", "dtype", "is_sparse"):
            object.__setattr__(self, name, getattr(self.source, name))

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield the source's blocks with codes for labels."""
        for block in self.source.blocks(rows):
            if block.targets is None:
                raise ValueError("this source has no targets; name its target column, or pass y as an array")
            codes = codes_of(block.targets, self.classes)
            weights = block.weights
            if self.class_weight is not None:
                of_class = self.class_weight[codes]
                weights = of_class if weights is None else weights * of_class
            yield Block(block.features, codes, weights)
