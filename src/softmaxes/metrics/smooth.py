"""Smooth calibration error: no bins to choose."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from softmaxes.metrics.base import Metric, Rows, normal_quantile
from softmaxes.metrics.bins import predictions
from softmaxes.metrics.means import mean_columns
from softmaxes.metrics.tally import Tally

__all__ = ["SmoothCalibrationError"]

_CELLS = 4096


def smoothed(masses: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Return the density at each cell of point masses on [0, 1], blurred by a normal that is reflected at both ends.

    masses: (_CELLS,) at the cells' centres. Even extension makes reflection a circular convolution of twice the length.
    """
    doubled = np.concatenate([masses, masses[::-1]])
    wave = np.arange(_CELLS + 1)
    damped = np.fft.rfft(doubled) * np.exp(-0.5 * (pi * wave * sigma) ** 2)
    density: NDArray[np.float64] = np.fft.irfft(damped, 2 * _CELLS)[:_CELLS] * _CELLS
    return density


@dataclass(frozen=True)
class SmoothCalibrationError(Metric):
    """Smooth calibration error of the top label (Blasiok & Nakkiran 2024): mean absolute gap after kernel smoothing.

    With residuals r_i = hit_i - p_i and a normal kernel of width s reflected into [0, 1], E(s) is the integral over t
    of |sum_i w_i r_i K_s(t, p_i)| / sum_i w_i. E falls as s grows; the value is the one point where E(s) = s. It is
    continuous in the predictions, which no binned error is, and needs no setting.

    Residuals are added exactly within 4096 cells of [0, 1] and smoothed from the cells' centres; cells are far narrower
    than s unless the error is below about 0.001. `interval` bounds the population's E at the same width s.

    Examples
    --------
    >>> SmoothCalibrationError.of([[0.75, 0.25]] * 4, [0, 0, 0, 1]).value < 1e-12
    True
    >>> round(SmoothCalibrationError.of([[0.9, 0.1]] * 4, [0, 0, 1, 1]).value, 6)
    0.4
    """

    def tallied(self, rows: Rows) -> Tally:
        ((p, hit),) = predictions(rows, "top_label")
        cells = np.minimum((p * _CELLS).astype(np.int64), _CELLS - 1)
        return Tally.of(cells, *mean_columns(rows.weight, hit - p))

    @property
    def count(self) -> int:
        return round(float(self._dense()[0].sum()))

    def _dense(self) -> NDArray[np.float64]:
        keys, table = self.tally.table(6)
        dense = np.zeros((6, _CELLS))
        dense[:, keys] = table.T
        return dense

    @property
    def value(self) -> float:
        _, weight, residual, *_ = self._dense()
        total = float(weight.sum())
        if not total:
            return nan
        masses = residual / total

        def error(sigma: float) -> float:
            return float(np.abs(smoothed(masses, sigma)).mean())

        low, high = 0.0, 1.0
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if error(middle) > middle else (low, middle)
        return high

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        _, weight, *_, squares = self._dense()
        total, value = float(weight.sum()), self.value
        if not total:
            return 0.0, 1.0
        # sum_i w_i^2 r_i^2 K(t, p_i)^2, with K^2 = K of width s/sqrt(2) over 2 s sqrt(pi), away from the ends; a kernel
        # narrower than a cell cannot be told from the cell.
        sigma = max(value, 1.0 / _CELLS)
        variance = np.maximum(smoothed(squares, sigma / sqrt(2.0)), 0.0) / (2.0 * sigma * sqrt(pi)) / total**2
        lipschitz = sqrt(float(squares.sum())) / total
        reach = sqrt(2 / pi) * float(np.sqrt(variance).mean()) + normal_quantile(level, sides=1) * lipschitz
        return max(0.0, value - reach), min(1.0, value + reach)
