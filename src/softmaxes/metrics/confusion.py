"""The confusion matrix and what can be read from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softmaxes.metrics.base import Metric, Rows
from softmaxes.metrics.means import wilson
from softmaxes.metrics.tally import Tally

__all__ = ["ConfusionMatrix"]


@dataclass(frozen=True)
class ConfusionMatrix(Metric):
    """Weight of the rows of each true class (row) that were given each most probable class (column).

    Only the pairs that occur are kept, so that many classes cost no more than the mistakes made.

    Examples
    --------
    >>> state = ConfusionMatrix.of([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], [0, 1, 1])
    >>> state.value
    array([[1., 0.],
           [1., 1.]])
    >>> state.recall
    array([1. , 0.5])
    """

    def tallied(self, rows: Rows) -> Tally:
        guess = rows.probabilities.argmax(axis=1)
        pair = rows.target * rows.probabilities.shape[1] + guess
        return Tally.of(pair, np.ones_like(rows.weight), rows.weight, rows.weight * rows.weight)

    def _matrices(self) -> NDArray[np.float64]:
        k = self.n_classes or 0
        keys, table = self.tally.table(3)
        dense = np.zeros((3, k * k))
        dense[:, keys] = table.T
        return dense.reshape(3, k, k)

    @property
    def count(self) -> int:
        return round(float(self._matrices()[0].sum()))

    @property
    def value(self) -> NDArray[np.float64]:
        weight: NDArray[np.float64] = self._matrices()[1]
        return weight

    @property
    def support(self) -> NDArray[np.float64]:
        """Weight of each true class."""
        support: NDArray[np.float64] = self.value.sum(axis=1)
        return support

    @property
    def recall(self) -> NDArray[np.float64]:
        """Of the rows of each class, the share found; nan for a class that never came."""
        return _ratio(np.diagonal(self.value), self.value.sum(axis=1))

    @property
    def precision(self) -> NDArray[np.float64]:
        """Of the rows given each class, the share that is; nan for a class that was never given."""
        return _ratio(np.diagonal(self.value), self.value.sum(axis=0))

    @property
    def f1(self) -> NDArray[np.float64]:
        """2 hits / (came + given), the harmonic mean of precision and recall; nan if neither ever happened."""
        return _ratio(2 * np.diagonal(self.value), self.value.sum(axis=0) + self.value.sum(axis=1))

    def recall_interval(self, level: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (low, high), (K,) each: Wilson intervals for the recall of each class."""
        _, weight, squared = self._matrices()
        effective = _ratio(weight.sum(axis=1) ** 2, squared.sum(axis=1))
        bounds = [wilson(r, n, level) if n > 0 else (0.0, 1.0) for r, n in zip(self.recall, effective, strict=True)]
        return np.array([low for low, _ in bounds]), np.array([high for _, high in bounds])

    def interval(self, level: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (low, high) matrices: Wilson intervals for the share of each true class (row) given each class."""
        _, weight, squared = self._matrices()
        came = weight.sum(axis=1)
        effective = _ratio(came**2, squared.sum(axis=1))
        rates = _ratio(weight, came[:, None])
        low, high = np.zeros_like(weight), np.ones_like(weight)
        for i in np.flatnonzero(came > 0):
            for j in range(len(came)):
                low[i, j], high[i, j] = wilson(float(rates[i, j]), float(effective[i]), level)
        return low, high


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: NDArray[np.float64] = np.where(whole > 0, part / whole, np.nan)
    return ratio
