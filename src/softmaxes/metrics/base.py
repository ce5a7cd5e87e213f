"""What every metric shares: rows of probabilities that have been checked, and a state that merges."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from statistics import NormalDist
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmaxes.metrics.tally import Tally

__all__ = ["Metric", "Rows", "class_indices", "normal_quantile"]

# How far from 1 a row may sum: rounding in the producer's type, not a licence to pass scores. Probabilities in float32
# sum to 1 within a few units of 1e-7; 1e-5 leaves room for numbers that were printed with six decimals and read back.
_SUM_TOLERANCE = {2: 1e-2, 4: 1e-5, 8: 1e-5, 16: 1e-5}


@dataclass(frozen=True, eq=False)
class Rows:
    """Checked rows: probabilities (n, K) float64, target (n,) class indices, weight (n,) float64 >= 0."""

    probabilities: NDArray[np.float64]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]

    @staticmethod
    def of(
        probabilities: ArrayLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Rows:
        """Check what a user brought; ValueError or TypeError says what came and what is needed."""
        p = checked_probabilities(probabilities)
        target = class_indices(y, p.shape[1], classes)
        if len(target) != len(p):
            raise ValueError(f"{len(p)} rows of probabilities but {len(target)} labels: one label per row is needed.")
        return Rows(p, target, checked_weight(sample_weight, len(p)))


def checked_probabilities(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return probabilities as float64 (n, K), refusing anything whose rows are not distributions."""
    given = np.asarray(probabilities)
    if given.dtype.kind not in "fiub" and given.dtype.name != "bfloat16":
        raise TypeError(f"probabilities must be real numbers, not {given.dtype}.")
    if given.ndim != 2:
        advice = " For two classes pass both columns: np.column_stack([1 - p, p])." if given.ndim == 1 else ""
        raise ValueError(f"probabilities must have shape (rows, classes), not {given.shape}.{advice}")
    if given.shape[1] == 0:
        raise ValueError("probabilities have no class columns.")
    p: NDArray[np.float64] = np.ascontiguousarray(given, np.float64)
    sums = p.sum(axis=1)
    bad = ~np.isfinite(sums)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"probabilities must be finite, but row {row} is {_shown(given[row])}.")
    tolerance = _SUM_TOLERANCE.get(given.dtype.itemsize, 1e-5) if given.dtype.kind == "f" else 1e-2
    bad = (np.abs(sums - 1.0) > tolerance) | (p.min(axis=1, initial=0.0) < 0.0)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"row {row} is not a distribution: {_shown(given[row])} has minimum {p[row].min():.6g} and sum "
            f"{sums[row]:.6g}; entries must be >= 0 and sum to 1 within {tolerance:g}. {_advice(p)}"
        )
    return p


def _advice(p: NDArray[np.float64]) -> str:
    if (p <= 0.0).all() and np.allclose(np.exp(p).sum(axis=1), 1.0, atol=1e-3):
        return "These look like log-probabilities: pass numpy.exp of them."
    if (p >= 0.0).all() and (p <= 1.0).all():
        return "If they are probabilities, divide each row by its sum first."
    return "These look like logits: pass softmaxes.softmax(logits)."


def _shown(row: NDArray[Any]) -> str:
    head = ", ".join(f"{float(value):.6g}" for value in row[:4])
    return f"[{head}{', ...' if len(row) > 4 else ''}]"


def class_indices(y: ArrayLike, n_classes: int, classes: ArrayLike | None = None) -> NDArray[np.int64]:
    """Return labels as column numbers: y itself, or each label's place in `classes` (one label per column)."""
    labels = np.asarray(y)
    if labels.ndim != 1:
        raise ValueError(f"y must have shape (rows,): one label per row, not {labels.shape}.")
    if classes is not None:
        names = np.asarray(classes)
        if names.shape != (n_classes,):
            raise ValueError(f"classes must name the {n_classes} columns in order, but has shape {names.shape}.")
        order = np.argsort(names, kind="stable")
        if (names[order][1:] == names[order][:-1]).any():
            raise ValueError("classes must be distinct: two columns carry the same label.")
        place = np.minimum(np.searchsorted(names, labels, sorter=order), n_classes - 1)
        found: NDArray[np.int64] = order[place].astype(np.int64)
        unknown = names[found] != labels
        if unknown.any():
            raise ValueError(f"label {labels[unknown][0]!r} is not one of the {n_classes} classes.")
        return found
    if labels.dtype.kind == "f" and (labels == np.floor(labels)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iub":
        raise ValueError(
            f"y must hold class indices 0..{n_classes - 1}, but has dtype {labels.dtype}; pass classes= (the label of "
            "each column, as in classifier.classes_) to use labels."
        )
    bad = (labels < 0) | (labels >= n_classes)
    if bad.any():
        raise ValueError(
            f"y contains {labels[bad][0]}, but with {n_classes} columns the class indices are 0..{n_classes - 1}; pass "
            "classes= if y holds labels."
        )
    return labels.astype(np.int64)


def checked_weight(sample_weight: ArrayLike | None, n_rows: int) -> NDArray[np.float64]:
    """Return (n,) finite weights >= 0; ones for None."""
    if sample_weight is None:
        return np.ones(n_rows)
    weight = np.asarray(sample_weight, np.float64)
    if weight.shape != (n_rows,):
        raise ValueError(f"sample_weight must have shape ({n_rows},), not {weight.shape}.")
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError("sample_weight must be finite and >= 0.")
    return weight


def normal_quantile(level: float, *, sides: int = 2) -> float:
    """Return z: a standard normal lies within +-z (sides=2), or below z (sides=1), with probability `level`."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"a confidence level lies strictly between 0 and 1, not {level!r}; 0.95 is usual.")
    return NormalDist().inv_cdf(0.5 + level / 2 if sides == 2 else level)


M = TypeVar("M", bound="Metric")


class _FromRows:
    """`of`, callable on a class (default settings) and on a value (its settings)."""

    def __get__(self, instance: M | None, owner: type[M]) -> _Of[M]:
        return _Of(owner() if instance is None else instance)


@dataclass(frozen=True)
class _Of(Generic[M]):
    metric: M

    def __call__(
        self,
        probabilities: ArrayLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        classes: Sequence[Any] | NDArray[Any] | None = None,
        **settings: Any,
    ) -> M:
        """Return the state of these rows.

        probabilities: (n, K), rows >= 0 and summing to 1. y: (n,) column numbers, or labels together with `classes`,
        the label of each column. sample_weight: (n,) finite, >= 0. Further keywords are the metric's settings, such as
        bins=10.
        """
        empty = replace(self.metric, tally=Tally(), **settings)
        rows = Rows.of(probabilities, y, sample_weight=sample_weight, classes=classes)
        return replace(empty, tally=empty.tallied(rows), n_classes=rows.probabilities.shape[1])


@dataclass(frozen=True)
class Metric(ABC):
    """A metric as a mergeable state: settings and exact sums.

    `Metric.of(probabilities, y)` is the state of some rows, `a.merge(b)` that of both sets of rows, `.value` the
    metric. A metric made without rows is the neutral element of `merge`. Because the sums are exact, merging is
    associative and commutative to the bit: any split of the rows, in any order, gives an equal state and the same value
    as all at once.
    """

    of = _FromRows()

    tally: Tally = field(default=Tally(), kw_only=True, repr=False)
    n_classes: int | None = field(default=None, kw_only=True, repr=False)

    @abstractmethod
    def tallied(self, rows: Rows) -> Tally:
        """Return the sums of these rows."""

    @property
    @abstractmethod
    def value(self) -> Any:
        """The metric of all rows seen; nan before the first row."""

    @abstractmethod
    def interval(self, level: float = 0.95) -> tuple[Any, Any]:
        """Return (low, high), a confidence interval for the metric on the population the rows were drawn from."""

    def merge(self: M, other: M) -> M:
        """Return the state of the rows of both; they must be the same metric with the same settings and classes."""
        if type(self) is not type(other) or self.settings != other.settings:
            raise ValueError(f"only states of one metric with the same settings merge, not {self!r} and {other!r}.")
        sizes = {size for size in (self.n_classes, other.n_classes) if size is not None}
        if len(sizes) > 1:
            raise ValueError(f"these states saw different numbers of classes: {self.n_classes} and {other.n_classes}.")
        return replace(self, tally=self.tally.merge(other.tally), n_classes=next(iter(sizes), None))

    @property
    def settings(self) -> dict[str, Any]:
        """What was chosen, as opposed to what was seen."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("tally", "n_classes")}

    @property
    def count(self) -> int:
        """The number of rows seen."""
        sums = self.tally.sums()
        return int(sums[0]) if sums else 0
