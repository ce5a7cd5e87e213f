"""The scores of a model on labelled rows: a state that merges, shown as a table or as numbers for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from softmaxes import metrics

__all__ = ["Scores"]

NAMES = ("accuracy", "log-loss", "Brier score", "calibration error")
EMPTY = (metrics.Accuracy(), metrics.LogLoss(), metrics.Brier(), metrics.CalibrationError())


@dataclass(frozen=True)
class Scores:
    """Accuracy, log-loss, Brier score and calibration error of some rows."""

    rows: int = 0
    states: tuple[Any, ...] = field(default=EMPTY, repr=False)

    @classmethod
    def of(cls, probabilities: NDArray[Any], codes: NDArray[Any]) -> Scores:
        """Return the scores of probabilities, (rows, classes), where `codes` are the true classes' positions."""
        return cls(len(codes), tuple(state.of(probabilities, codes) for state in EMPTY))

    def merge(self, other: Scores) -> Scores:
        """Return the scores of the rows of both."""
        if not self.rows or not other.rows:
            return self if self.rows else other
        return Scores(self.rows + other.rows, tuple(a.merge(b) for a, b in zip(self.states, other.states, strict=True)))

    def lines(self) -> list[tuple[str, str, str]]:
        """Return name, value and 95 % interval of each score, for a table."""
        return [
            (name, f"{state.value:.4f}", "{:.4f} to {:.4f}".format(*state.interval(0.95)))
            for name, state in zip(NAMES, self.states, strict=True)
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the scores and their 95 % intervals as plain data."""
        numbers = {
            name.lower().replace(" ", "_").replace("-", "_"): {
                "value": state.value,
                "interval": list(state.interval(0.95)),
            }
            for name, state in zip(NAMES, self.states, strict=True)
        }
        return {"rows": self.rows, **numbers}
