"""The Brier score and its split into calibration and refinement."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray

from softmaxes.metrics.base import Metric, Rows
from softmaxes.metrics.bins import Bins, equal_width_cells, predictions
from softmaxes.metrics.means import MeanState, mean_columns, mean_interval
from softmaxes.metrics.tally import Tally

__all__ = ["Brier"]


@dataclass(frozen=True)
class Brier(Metric):
    """Mean of sum_k (p_k - [k = y])^2: a proper score from 0 to 2 (for two classes, twice the one-column form).

    value = calibration + refinement. `calibration` is the part that redrawing the probabilities bin by bin would
    remove: summed over classes, sum_b share_b gap_b^2 in `bins` bins of equal width per class, less the noise of each
    bin (an unbiased estimate, which may dip below 0). Finer than the bins it sees nothing, so it is the calibration
    loss at that resolution. `refinement` is the rest: what even a perfectly calibrated model of the same sharpness
    would pay.

    Examples
    --------
    >>> state = Brier.of([[0.5, 0.5], [0.25, 0.75]], [0, 1])
    >>> state.value
    0.3125
    """

    bins: int = 15

    def __post_init__(self) -> None:
        if not isinstance(self.bins, int) or self.bins < 1:
            raise ValueError(f"bins must be an integer >= 1, not {self.bins!r}.")

    def tallied(self, rows: Rows) -> Tally:
        error = rows.probabilities.copy()
        error[np.arange(len(error)), rows.target] -= 1.0
        # Cell 0 holds whole rows; cell 1 + class * bins + bin holds the entries of that class in that bin.
        parts = [Tally.of(None, *mean_columns(rows.weight, (error * error).sum(axis=1)))]
        for k, (p, hit) in enumerate(predictions(rows, "classwise")):
            cells = 1 + k * self.bins + equal_width_cells(p, self.bins)
            parts.append(Tally.of(cells, *mean_columns(rows.weight, hit - p)))
        return Tally.disjoint(parts)

    @property
    def value(self) -> float:
        return MeanState.of(self.tally).mean

    @property
    def calibration(self) -> float:
        """The part of the score that recalibration within the bins would remove."""
        if isnan(self.value):
            return nan
        keys, table = Tally({key: sums for key, sums in self.tally.cells.items() if key}).table(6)
        total = 0.0
        for k in range(self.n_classes or 0):
            begin, end = np.searchsorted(keys, [1 + k * self.bins, 1 + (k + 1) * self.bins])
            total += _squared_gap(table[begin:end])
        return total

    @property
    def refinement(self) -> float:
        """The part that remains."""
        return self.value - self.calibration

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        return mean_interval(MeanState.of(self.tally), level, 0.0, 2.0)


def _squared_gap(table: NDArray[np.float64]) -> float:
    """Return the unbiased mean square of the bins' gaps, from the sums of `mean_columns`.

    A bin of one row has no spread to estimate; there p (1 - p) = |r| (1 - |r|), as its residual r is p or 1 - p.
    """
    _, weight, residual, weight_squared, *_ = table.T
    gap = np.abs(np.divide(residual, weight, out=np.zeros_like(weight), where=weight > 0.0))
    b = Bins.of(np.column_stack([table, np.zeros_like(gap), weight_squared * gap * (1.0 - gap)]))
    return float((b.share * (b.gap**2 - b.variance)).sum())
