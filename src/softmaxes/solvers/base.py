"""What a solver is: a frozen value that takes an objective from a start to as near its optimum as asked."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from softmaxes.objective import Evaluation, Objective
from softmaxes.solvers.certificate import Certifier, Optimality, relative_bound


@dataclass(frozen=True)
class Iteration:
    """One line of the record of a fit. passes: over all rows so far. bound: proven for exact arithmetic on f - f*."""

    iteration: int
    passes: float
    seconds: float
    objective: float
    bound: float
    gradient_norm: float
    precision: str


@dataclass(frozen=True, eq=False)
class Solution:
    """Where a solver stopped, and why."""

    evaluation: Evaluation
    optimality: Optimality
    n_iter: int
    reason: str


@dataclass(frozen=True)
class Stopping:
    """When to stop: f - f* proven to be at most tol · f*, estimated at most estimate · f, or max_iter iterations."""

    tol: float
    max_iter: int
    estimate: float = 0.0


class Record:
    """The history of one fit: a list of `Iteration`, told to `tell` line by line.

    path: coefficients and intercepts of every step, from the one solver that is there to be watched.
    """

    def __init__(self, objective: Objective, tell: Callable[[str], None] | None = None) -> None:
        self._objective = objective
        self._tell = tell
        self._began = time.perf_counter()
        self.iterations: list[Iteration] = []
        self.path: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, evaluation: Evaluation, bound: float) -> None:
        """Append one iteration."""
        line = Iteration(
            len(self.iterations),
            float(self._objective.passes),
            time.perf_counter() - self._began,
            evaluation.value,
            bound,
            float(np.linalg.norm(evaluation.gradient)),
            evaluation.precision,
        )
        self.iterations.append(line)
        if self._tell is None:
            return
        self._tell(
            f"{line.iteration:5d}  {line.passes:6.1f} passes  {line.seconds:8.2f} s  objective {line.objective:.10g}"
            f"  within {relative_bound(bound, line.objective):.2e} of the optimum  ({line.precision})"
        )

    def say(self, text: str) -> None:
        """Tell the user one line, if the user listens."""
        if self._tell is not None:
            self._tell(text)


class Solver(ABC):
    """A method and its settings. `needs` names what it asks of the problem, for the choice and for error messages."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def minimise(
        self, objective: Objective, start: np.ndarray, certifier: Certifier, stopping: Stopping, record: Record
    ) -> Solution:
        """Return the best θ found from start."""
