"""Binned calibration errors: the usual one (ECE), and one freed of its bias."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan, sqrt
from typing import get_args

import numpy as np

from softmaxes.metrics.base import Metric, Rows, normal_quantile
from softmaxes.metrics.bins import Bins, Kind, Scheme, half_width, histogram, read_histogram
from softmaxes.metrics.tally import Tally

__all__ = ["CalibrationError", "DebiasedCalibrationError"]


@dataclass(frozen=True)
class _Binned(Metric):
    bins: int = 15
    scheme: Scheme = "equal_width"
    kind: Kind = "top_label"

    def __post_init__(self) -> None:
        if not isinstance(self.bins, int) or self.bins < 1:
            raise ValueError(f"bins must be an integer >= 1, not {self.bins!r}.")
        if self.scheme not in get_args(Scheme):
            raise ValueError(f"scheme must be 'equal_width' or 'equal_mass', not {self.scheme!r}.")
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be 'top_label' or 'classwise', not {self.kind!r}.")

    def tallied(self, rows: Rows) -> Tally:
        return histogram(rows, self.kind, self.scheme, self.bins)

    @property
    def n_groups(self) -> int:
        return 1 if self.kind == "top_label" else self.n_classes or 0

    @property
    def count(self) -> int:
        _, table = self.tally.table(8)
        return round(float(table[:, 0].sum()) / self.n_groups) if self.n_groups else 0

    def reliability(self) -> list[Bins]:
        """Return the bins behind the value, for the top label or for each class: a reliability diagram's numbers."""
        return read_histogram(self.tally, self.scheme, self.bins, self.n_groups)

    @property
    def _judged(self) -> list[Bins]:
        """The groups that hold any weight."""
        return [bins for bins in self.reliability() if len(bins.share)]


@dataclass(frozen=True)
class CalibrationError(_Binned):
    """Expected calibration error: sum_b share_b |frequency_b - confidence_b| over bins of predicted probability.

    kind="top_label" judges the largest probability of each row; "classwise" judges the probability of every class and
    averages over the classes. scheme="equal_width" cuts [0, 1] into bins [b/B, (b + 1)/B), the last of which holds 1.0
    too; "equal_mass" gives every bin the same weight.

    It is not a proper score: a model that always answers with the class frequencies has error 0. Judge by `LogLoss` or
    `Brier` first. It is also biased upwards, more so with more bins or fewer rows: see `DebiasedCalibrationError`.

    Equal-mass bins are gathered from a histogram of fine cells (min(p, 1 - p) varies within a cell by less than a 256th
    part), so that states merge exactly; a cell goes whole to the bin its middle falls in, so that equal probabilities
    are never parted. Against sorting the rows and cutting, the value moves by at most the weight of the cells on the
    bins' edges, typically a few ten-thousandths.

    `interval` bounds the error of the same bins in the population, whatever the direction of each bin's deviation: by
    the triangle inequality it differs from `value` by at most sum_b share_b |noise_b|, whose quantile is known.

    Examples
    --------
    >>> state = CalibrationError(bins=10).of([[0.75, 0.25], [0.25, 0.75], [0.0, 1.0], [0.75, 0.25]], [0, 0, 1, 0])
    >>> round(state.value, 6)
    0.0625
    """

    @property
    def value(self) -> float:
        judged = self._judged
        return float(np.mean([float((b.share * np.abs(b.gap)).sum()) for b in judged])) if judged else nan

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        judged = self._judged
        if not judged:
            return 0.0, 1.0
        # Classes are dependent; means and Lipschitz constants of their sums still add up.
        reach = float(np.mean([half_width(b.share * np.sqrt(b.cautious_variance), level) for b in judged]))
        return max(0.0, self.value - reach), min(1.0, self.value + reach)


@dataclass(frozen=True)
class DebiasedCalibrationError(_Binned):
    """Root mean square calibration error with the noise of each bin subtracted: sqrt(sum_b share_b (gap_b^2 - se_b^2)).

    The plain estimate adds each bin's sampling variance to its squared gap; here an unbiased estimate of that variance
    is taken off (Kumar, Liang & Ma 2019), so that `squared` is unbiased and may be negative; `value` is its root, 0 if
    negative. Classwise, the squares are averaged over classes. `interval` is normal on the square, then the root is
    taken.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> p = rng.uniform(0.5, 1.0, 2000)
    >>> y = (rng.uniform(size=2000) > p).astype(int)
    >>> probabilities = np.column_stack([p, 1 - p])
    >>> DebiasedCalibrationError.of(probabilities, y).value < CalibrationError.of(probabilities, y).value
    True
    """

    scheme: Scheme = "equal_mass"

    @property
    def squared(self) -> float:
        """Unbiased estimate of the mean squared calibration error; noise may make it negative."""
        judged = self._judged
        return float(np.mean([float((b.share * (b.gap**2 - b.variance)).sum()) for b in judged])) if judged else nan

    @property
    def value(self) -> float:
        squared = self.squared
        return nan if isnan(squared) else sqrt(max(squared, 0.0))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        judged = self._judged
        if not judged:
            return 0.0, 1.0
        deviations = []
        for b in judged:
            true_square = np.maximum(b.gap**2 - b.variance, 0.0)
            variance = 4 * true_square * b.cautious_variance + 2 * b.cautious_variance**2
            deviations.append(sqrt(float((b.share**2 * variance).sum())))
        reach = normal_quantile(level) * float(np.mean(deviations))
        return sqrt(max(0.0, self.squared - reach)), min(1.0, sqrt(max(0.0, self.squared + reach)))
