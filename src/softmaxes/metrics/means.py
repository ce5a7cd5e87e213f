"""Metrics that are a mean over rows: log-loss, accuracy, top-k accuracy. (Brier, with its split, has its own file.)"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import inf, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from softmaxes.metrics.base import Metric, Rows, normal_quantile
from softmaxes.metrics.tally import Tally

__all__ = ["Accuracy", "LogLoss", "MeanState", "TopK", "wilson"]


def mean_columns(weight: NDArray[np.float64], score: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return the columns whose sums give a weighted mean and its standard error: 1, w, w s, w^2, w^2 s, w^2 s^2."""
    one = np.ones_like(weight)
    if (weight == 1.0).all():
        return one, one, score, one, score, score * score
    squared, score_w = weight * weight, weight * score
    return one, weight, score_w, squared, weight * score_w, score_w * score_w


@dataclass(frozen=True)
class MeanState:
    """The six sums of `mean_columns`, exact."""

    count: int
    weight: Fraction
    score: Fraction
    weight_squared: Fraction
    cross: Fraction
    score_squared: Fraction

    @staticmethod
    def of(tally: Tally) -> MeanState:
        sums = tally.sums()[:6] or (Fraction(0),) * 6
        return MeanState(int(sums[0]), *sums[1:])

    @property
    def mean(self) -> float:
        """Sum of w s over sum of w, rounded once."""
        return float(self.score / self.weight) if self.weight else nan

    @property
    def effective_count(self) -> float:
        """(sum w)^2 / sum w^2: how many equally weighted rows would be as informative."""
        return float(self.weight**2 / self.weight_squared) if self.weight else 0.0

    @property
    def standard_error(self) -> float:
        """sqrt(sum w^2 (s - mean)^2) / sum w, with the factor n/(n - 1); inf when one row or none was seen."""
        n = self.effective_count
        if n <= 1.0:
            return inf
        mean = self.score / self.weight
        # Exact rationals: the three terms cancel almost completely when the scores are nearly equal.
        squares = self.score_squared - 2 * mean * self.cross + mean * mean * self.weight_squared
        # Each row's square was rounded, so equal scores may leave a trace below 0.
        return sqrt(max(float(squares / self.weight**2), 0.0) * n / (n - 1.0))


def wilson(rate: float, n: float, level: float) -> tuple[float, float]:
    """Return Wilson's score interval for a rate seen in n (effective) rows; (0, 1) when n is 0."""
    if not n:
        return 0.0, 1.0
    z2 = normal_quantile(level) ** 2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = sqrt(z2 * (rate * (1 - rate) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return (0.0 if rate == 0.0 else centre - half), (1.0 if rate == 1.0 else centre + half)


@dataclass(frozen=True)
class LogLoss(Metric):
    """Mean of -log p_y, in nats: a proper score, 0 at best.

    value = sum_i w_i (-log p_i,y_i) / sum_i w_i. A row whose true class was given probability 0 makes it +inf: nothing
    is clipped (a weight of 0 takes such a row out). `interval` is mean +- z standard errors, cut at 0.

    Examples
    --------
    >>> a = LogLoss.of([[0.5, 0.5], [0.25, 0.75]], [0, 1])
    >>> b = LogLoss.of([[0.9, 0.1]], [0])
    >>> round(a.value, 6), round(a.merge(b).value, 6)
    (0.490415, 0.362063)
    """

    def tallied(self, rows: Rows) -> Tally:
        p = rows.probabilities[np.arange(len(rows.target)), rows.target]
        impossible = (p == 0.0) & (rows.weight > 0.0)
        loss = -np.log(np.where(p == 0.0, 1.0, np.minimum(p, 1.0)))
        return Tally.of(None, *mean_columns(rows.weight, loss), impossible.astype(float))

    @property
    def impossible(self) -> int:
        """How many rows (of positive weight) had probability 0 for the class that came true."""
        return int((self.tally.sums() or (0,) * 7)[6])

    @property
    def value(self) -> float:
        return inf if self.impossible else MeanState.of(self.tally).mean

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        if self.impossible:
            return inf, inf
        return mean_interval(MeanState.of(self.tally), level, 0.0, inf)


def mean_interval(state: MeanState, level: float, lowest: float, highest: float) -> tuple[float, float]:
    """Return mean +- z standard errors within the metric's range; the whole range from one row or none."""
    error = normal_quantile(level) * state.standard_error
    if error == inf:
        return lowest, highest
    return max(lowest, state.mean - error), min(highest, state.mean + error)


@dataclass(frozen=True)
class Accuracy(Metric):
    """Share of rows whose most probable class is the true one.

    Equal probabilities go to the lower class index, as numpy.argmax has it. `interval` is Wilson's, with the effective
    number of rows (sum w)^2 / sum w^2.

    Examples
    --------
    >>> state = Accuracy.of([[0.5, 0.5], [0.25, 0.75]], ["cat", "dog"], classes=["cat", "dog"])
    >>> low, high = state.interval(0.95)
    >>> state.value, round(low, 4), high
    (1.0, 0.3424, 1.0)
    """

    def tallied(self, rows: Rows) -> Tally:
        hit = (rows.probabilities.argmax(axis=1) == rows.target).astype(float)
        return Tally.of(None, *mean_columns(rows.weight, hit))

    @property
    def value(self) -> float:
        return MeanState.of(self.tally).mean

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        state = MeanState.of(self.tally)
        return wilson(state.mean, state.effective_count, level)


@dataclass(frozen=True)
class TopK(Metric):
    """Share of rows whose true class is among the k most probable ones.

    Ties go to the lower class index, so that k = 1 is `Accuracy` and every row has exactly min(k, K) candidates.

    Examples
    --------
    >>> TopK(k=2).of([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], [1, 2]).value
    0.5
    """

    k: int = 5

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or self.k < 1:
            raise ValueError(f"k must be an integer >= 1, not {self.k!r}.")

    def tallied(self, rows: Rows) -> Tally:
        p = rows.probabilities
        own = p[np.arange(len(p)), rows.target][:, None]
        ahead = (p > own) | ((p == own) & (np.arange(p.shape[1]) < rows.target[:, None]))
        hit = (ahead.sum(axis=1) < self.k).astype(float)
        return Tally.of(None, *mean_columns(rows.weight, hit))

    @property
    def value(self) -> float:
        return MeanState.of(self.tally).mean

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        state = MeanState.of(self.tally)
        return wilson(state.mean, state.effective_count, level)
