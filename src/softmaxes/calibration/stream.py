"""A temperature from rows that pass by once: what they say at a few temperatures, as sums that merge."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmaxes.calibration.base import HeldOut
from softmaxes.calibration.temperature import TemperatureScaling, TemperatureStatistics

__all__ = ["TemperatureStream"]

STEP = 0.5 * log(2.0)
STEPS = 10
GRID = tuple(float(np.exp(STEP * place)) for place in range(-STEPS, STEPS + 1))
"""The inverse temperatures at which sums are taken: 1/32 to 32, each √2 times the one before."""


@dataclass(frozen=True)
class TemperatureStream:
    """What labelled rows say of the best temperature: `of` some rows, `merge` with others, `fitted` at the end.

    The loss f(β) of β = 1/T and three derivatives are summed at 21 fixed β, whose neighbours are √2 apart. Between the
    two around the minimum the polynomial of degree 7 that agrees with all eight numbers stands for f. Its minimum is
    that of `TemperatureScaling.fit` on all rows to about 1e-6 relative.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=(50_000, 4))
    >>> y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    >>> seen = TemperatureStream()
    >>> for start in range(0, len(y), 1000):
    ...     rows = slice(start, start + 1000)
    ...     seen = seen.merge(TemperatureStream.of(3.0 * logits[rows], y[rows]))
    >>> round(seen.fitted().temperature_, 1)
    3.0
    """

    statistics: tuple[TemperatureStatistics, ...] = tuple(TemperatureStatistics(beta) for beta in GRID)
    n_classes: int = 0

    @staticmethod
    def of(logits: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> TemperatureStream:
        """Return the state of some rows: logits (n, K), y (n,) column numbers, weights (n,).

        Raises ValueError for what is no row of logits, and for a row whose own class has logit -inf.
        """
        n_classes = np.shape(logits)[1] if np.ndim(logits) == 2 else 0
        rows = HeldOut.of(logits, y, sample_weight, np.arange(n_classes), block=True)
        found = (TemperatureStatistics.of(rows.logits, rows.target, beta, rows.weight) for beta in GRID)
        return TemperatureStream(tuple(found), n_classes)

    def merge(self, other: TemperatureStream) -> TemperatureStream:
        """Return the state of the rows of both."""
        if self.n_classes and other.n_classes and self.n_classes != other.n_classes:
            raise ValueError(f"rows of {self.n_classes} and of {other.n_classes} classes do not add up.")
        both = (a.merge(b) for a, b in zip(self.statistics, other.statistics, strict=True))
        return TemperatureStream(tuple(both), self.n_classes or other.n_classes)

    @property
    def weight(self) -> float:
        """The weight of all rows seen."""
        return self.statistics[0].weight

    def fitted(self, classes: ArrayLike | None = None) -> TemperatureScaling:
        """Return the calibration of the rows seen; classes: the label of each column.

        `at_bound_` says where the best temperature is below 1/32 or above 32, and the bound is taken. Raises ValueError
        before the first row.
        """
        if not self.weight > 0.0:
            raise ValueError("no rows of positive weight have been seen, so there is no temperature yet.")
        names = np.arange(self.n_classes) if classes is None else np.asarray(classes)
        slopes = [seen.slope for seen in self.statistics]
        scaling = TemperatureScaling(bounds=(1.0 / GRID[-1], 1.0 / GRID[0]))
        scaling.classes_, scaling.n_features_in_, scaling.n_iter_ = names, len(names), 1
        if slopes[0] >= 0.0 or slopes[-1] <= 0.0:
            place = 0 if slopes[0] >= 0.0 else -1
            scaling.at_bound_ = "lower" if place else "upper"
            scaling.temperature_, loss = 1.0 / GRID[place], self.statistics[place].loss
        else:
            place = next(k for k, slope in enumerate(slopes) if slope >= 0.0)
            log_beta, loss = _minimum(self.statistics[place - 1], self.statistics[place])
            scaling.at_bound_, scaling.temperature_ = None, float(np.exp(-log_beta))
        scaling.log_loss_ = loss / self.weight
        return scaling


def _minimum(low: TemperatureStatistics, high: TemperatureStatistics) -> tuple[float, float]:
    """Return log β and the loss where the polynomial through what is known at both ends has its minimum."""
    from scipy.interpolate import BPoly
    from scipy.optimize import brentq

    ends = [log(low.beta), log(high.beta)]
    loss: Any = BPoly.from_derivatives(ends, [_by_log_beta(low), _by_log_beta(high)])
    slope = loss.derivative()
    if slope(ends[1]) <= 0.0:  # the minimum is the end itself
        return ends[1], high.loss
    found = float(brentq(slope, *ends, xtol=1e-14))
    return found, float(loss(found))


def _by_log_beta(seen: TemperatureStatistics) -> NDArray[np.float64]:
    """Return the loss and its first three derivatives with respect to log β."""
    first, second, third = seen.beta * seen.slope, seen.beta**2 * seen.curvature, seen.beta**3 * seen.third
    return np.array([seen.loss, first, second + first, third + 3.0 * second + first])
