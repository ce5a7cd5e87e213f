"""What is seen of a model on labelled rows: states that merge, so that rows may come in blocks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmaxes import metrics
from softmaxes.metrics.base import Rows
from softmaxes.metrics.tally import Tally

__all__ = ["Judged", "Mistake"]

BINS = 15


@dataclass(frozen=True, order=True)
class Mistake:
    """One row that was misjudged; ordered by how sure the model was of the wrong class, then by its name."""

    probability: float
    row: int
    truth: int
    given: int
    probability_of_truth: float


def _states() -> dict[str, metrics.Metric]:
    """Return the metrics of a report, proper scores first."""
    return {
        "log_loss": metrics.LogLoss(),
        "brier_score": metrics.Brier(),
        "accuracy": metrics.Accuracy(),
        "top_5_accuracy": metrics.TopK(k=5),
        "calibration_error": metrics.CalibrationError(bins=BINS),
        "debiased_calibration_error": metrics.DebiasedCalibrationError(bins=BINS),
        "smooth_calibration_error": metrics.SmoothCalibrationError(),
        "confusion": metrics.ConfusionMatrix(),
    }


@dataclass(frozen=True)
class Judged:
    """Everything that a report says about rows whose classes are known.

    `Judged.of(probabilities, y, uncalibrated=...)` is the state of some rows and `a.merge(b)` that of both sets.
    Metrics merge exactly; mistakes are the `n_mistakes` on which the model was surest.

    Examples
    --------
    >>> state = Judged.of([[0.9, 0.1], [0.2, 0.8]], [0, 0])
    >>> both = state.merge(Judged.of([[0.5, 0.5]], [1], first_row=2))
    >>> both.count, both.states["accuracy"].value, [m.row for m in both.mistakes]
    (3, 0.3333333333333333, [1, 2])
    """

    states: dict[str, Any] = field(default_factory=_states, repr=False)
    uncalibrated: dict[str, Any] = field(default_factory=_states, repr=False)
    per_class: Tally = field(default=Tally(), repr=False)
    mistakes: tuple[Mistake, ...] = field(default=(), repr=False)
    n_mistakes: int = 20

    @staticmethod
    def of(
        probabilities: ArrayLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        uncalibrated: ArrayLike | None = None,
        first_row: int = 0,
        row_numbers: NDArray[np.int64] | None = None,
        n_mistakes: int = 20,
    ) -> Judged:
        """Return the state of some rows.

        probabilities: (n, K), as the model gives them. y: (n,) column numbers. uncalibrated: (n, K), the probabilities
        before calibration, if there was one. Rows are named by `row_numbers`, or counted from `first_row`.
        """
        rows = Rows.of(probabilities, y, sample_weight=sample_weight)
        states = {
            name: state.of(rows.probabilities, rows.target, sample_weight=rows.weight)
            for name, state in _states().items()
        }
        before = _states()
        if uncalibrated is not None:
            before = {
                name: state.of(uncalibrated, rows.target, sample_weight=rows.weight) for name, state in before.items()
            }
        return Judged(states, before, _per_class(rows), _mistakes(rows, first_row, row_numbers, n_mistakes), n_mistakes)

    def merge(self, other: Judged) -> Judged:
        """Return the state of the rows of both."""
        mistakes = sorted((*self.mistakes, *other.mistakes), key=lambda m: (-m.probability, m.row))
        return replace(
            self,
            states={name: state.merge(other.states[name]) for name, state in self.states.items()},
            uncalibrated={name: state.merge(other.uncalibrated[name]) for name, state in self.uncalibrated.items()},
            per_class=self.per_class.merge(other.per_class),
            mistakes=tuple(mistakes[: self.n_mistakes]),
        )

    @property
    def count(self) -> int:
        """The number of rows seen."""
        return int(self.states["accuracy"].count)

    @property
    def n_classes(self) -> int:
        """The number of classes; 0 before the first row."""
        return self.states["accuracy"].n_classes or 0


def _per_class(rows: Rows) -> Tally:
    """Tally, for each class: rows, weight and log-loss of the rows that are of it; then the probability given to it."""
    p, y, w = rows.probabilities, rows.target, rows.weight
    own = p[np.arange(len(p)), y]
    loss = -np.log(np.where(own > 0.0, np.minimum(own, 1.0), 1.0)) * w
    mine = Tally.of(y, np.ones_like(w), w, loss, (own == 0.0) * w, np.zeros_like(w))
    given = (p * w[:, None]).ravel()
    classes = np.broadcast_to(np.arange(p.shape[1]), p.shape).ravel()
    nothing = np.zeros_like(given)
    return mine.merge(Tally.of(classes, nothing, nothing, nothing, nothing, given))


def _mistakes(rows: Rows, first_row: int, row_numbers: NDArray[np.int64] | None, n: int) -> tuple[Mistake, ...]:
    p, y = rows.probabilities, rows.target
    given = p.argmax(axis=1)
    wrong = np.flatnonzero((given != y) & (rows.weight > 0.0))
    sure = p[wrong, given[wrong]]
    worst = wrong[np.lexsort((wrong, -sure))[:n]]
    numbers = np.arange(first_row, first_row + len(p)) if row_numbers is None else np.asarray(row_numbers)
    return tuple(
        Mistake(float(p[i, given[i]]), int(numbers[i]), int(y[i]), int(given[i]), float(p[i, y[i]]))
        for i in worst.tolist()
    )
