"""Bins of predicted probability: under the calibration errors, the Brier split and the reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from softmaxes.metrics.base import Rows, normal_quantile
from softmaxes.metrics.means import mean_columns
from softmaxes.metrics.tally import Tally

__all__ = ["Bins", "Kind", "Scheme", "equal_width_cells", "fine_cells", "half_width", "predictions"]

Scheme = Literal["equal_width", "equal_mass"]
Kind = Literal["top_label", "classwise"]

# Columns of the tally: those of a mean of residuals h - p, then w p and w^2 p (1 - p).
N_COLUMNS = 8

# Cells per octave of min(p, 1 - p), and octaves; everything below 2**-64 shares one cell.
_PER_OCTAVE = 256
_OCTAVES = 64
N_FINE_CELLS = 2 * _OCTAVES * _PER_OCTAVE


def equal_width_cells(p: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Return the bin of each probability: bin b is [b/bins, (b + 1)/bins), and the last one holds 1.0 too."""
    edges = np.arange(bins + 1) / bins
    cells = np.minimum((p * bins).astype(np.int64), bins - 1)
    # The product is rounded: it may land on the wrong side of an edge.
    cells -= p < edges[cells]
    cells += (p >= edges[cells + 1]) & (cells < bins - 1)
    return cells


def fine_cells(p: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return a fine cell, increasing with p: within a cell min(p, 1 - p) varies by less than a 256th of itself.

    Confident classifiers crowd their probabilities at 1 - 10^-k; cells that are fine in min(p, 1 - p) part them there.
    """
    near = np.minimum(p, 1.0 - p)
    fraction, exponent = np.frexp(near)
    octave = np.where(near == 0.0, _OCTAVES, -exponent)
    step = np.floor((fraction - 0.5) * (2 * _PER_OCTAVE))
    step[octave >= _OCTAVES] = 0
    octave = np.minimum(octave, _OCTAVES - 1)
    rank = (_OCTAVES - 1 - octave) * _PER_OCTAVE + step
    return np.where(p < 0.5, rank, N_FINE_CELLS - 1 - rank).astype(np.int64)


def predictions(rows: Rows, kind: Kind) -> list[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Return the (probability, came true) pairs that are judged: one for the top label, or one for each class."""
    p = np.minimum(rows.probabilities, 1.0)
    if kind == "top_label":
        top = p.argmax(axis=1)
        return [(p[np.arange(len(p)), top], top == rows.target)]
    return [(np.ascontiguousarray(p[:, k]), rows.target == k) for k in range(p.shape[1])]


def residual_columns(
    p: NDArray[np.float64], hit: NDArray[np.bool_], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Return the N_COLUMNS columns that `Bins` reads."""
    columns = mean_columns(weight, hit - p)
    spread = p * (1.0 - p)
    if columns[1] is columns[3]:
        return *columns, p, spread
    return *columns, weight * p, columns[3] * spread


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins of one group of predictions, as arrays with one entry per bin that holds any weight.

    share: the bin's part of the weight; confidence: mean probability; frequency: share that came true; count: effective
    number of rows; variance: that of the mean gap, unbiased (from two rows on); model_variance: that of a calibrated
    model.
    """

    share: NDArray[np.float64]
    confidence: NDArray[np.float64]
    frequency: NDArray[np.float64]
    count: NDArray[np.float64]
    variance: NDArray[np.float64]
    model_variance: NDArray[np.float64]

    @property
    def gap(self) -> NDArray[np.float64]:
        """frequency - confidence: positive where the model is too modest."""
        return self.frequency - self.confidence

    @property
    def cautious_variance(self) -> NDArray[np.float64]:
        """The larger of the two variances: a bin in which every row came true still has an uncertain frequency."""
        return np.maximum(self.variance, self.model_variance)

    @staticmethod
    def of(table: NDArray[np.float64]) -> Bins:
        """Read the sums of each bin, shape (bins, N_COLUMNS)."""
        table = table[table[:, 1] > 0.0]
        _, w, wr, w2, w2r, w2r2, wp, w2s = table.T
        gap, n = wr / w, w * w / w2
        squares = np.maximum(w2r2 - 2 * gap * w2r + gap * gap * w2, 0.0) / (w * w)
        model = w2s / (w * w)
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = np.where(n > 1.5, squares * n / (n - 1.0), model)
        return Bins(w / w.sum(), wp / w, (wp + wr) / w, n, variance, model)


def equal_mass_bins(table: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Gather the sums of fine cells, in order, into at most `bins` bins of equal weight; shape (bins, columns).

    A cell goes whole to the bin in which its middle falls: rows with equal probabilities are interchangeable, so they
    stay together, and bins stay independent of one another.
    """
    table = table[table[:, 1] > 0.0]
    high = np.cumsum(table[:, 1])
    if not len(high):
        return table
    middle = high - 0.5 * table[:, 1]
    target = np.minimum((middle * (bins / high[-1])).astype(np.int64), bins - 1)
    gathered = np.zeros((bins, table.shape[1]))
    np.add.at(gathered, target, table)
    return gathered


def half_width(scales: NDArray[np.float64], level: float) -> float:
    """Return q such that sum_b |g_b| <= q with probability `level`, for independent normal g_b of these deviations.

    sum |g_b| has mean sqrt(2/pi) sum_b s_b and is Lipschitz in the standardised g with constant sqrt(sum s_b^2), so its
    tail above the mean is at most the normal one.
    """
    return sqrt(2 / pi) * float(scales.sum()) + normal_quantile(level, sides=1) * sqrt(float((scales**2).sum()))


def histogram(rows: Rows, kind: Kind, scheme: Scheme, bins: int) -> Tally:
    """Tally the judged predictions of these rows; cell = group * cells per group + cell."""
    parts = []
    for group, (p, hit) in enumerate(predictions(rows, kind)):
        cells = equal_width_cells(p, bins) if scheme == "equal_width" else fine_cells(p)
        size = bins if scheme == "equal_width" else N_FINE_CELLS
        parts.append(Tally.of(cells + group * size, *residual_columns(p, hit, rows.weight)))
    return Tally.disjoint(parts)


def read_histogram(tally: Tally, scheme: Scheme, bins: int, n_groups: int) -> list[Bins]:
    """Return the bins of each group."""
    keys, table = tally.table(N_COLUMNS)
    size = bins if scheme == "equal_width" else N_FINE_CELLS
    read = []
    for group in range(n_groups):
        begin, end = np.searchsorted(keys, [group * size, (group + 1) * size])
        part = table[begin:end]
        read.append(Bins.of(part if scheme == "equal_width" else equal_mass_bins(part, bins)))
    return read
