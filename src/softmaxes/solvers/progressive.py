"""A start from a sample: where rows are plenty, most of the way is walked on few of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from softmaxes.objective import Objective, SoftmaxLoss
from softmaxes.solvers.base import Record, Solution, Solver, Stopping
from softmaxes.solvers.certificate import Certifier
from softmaxes.solvers.lbfgs import LBFGS


@dataclass(frozen=True)
class Progressive(Solver):
    """Solve samples of every stride-th row, then all rows, each from the solution before.

    A sample of m rows puts its optimum about (parameters) / (2 m) above that of all rows, so it is solved to a part of
    that and no further. Rows are taken at even distances: no row is copied, and the same bits come every time.

    strides: of the samples, decreasing. of_samples, of_all: the solver for the samples, and the one for all rows, whose
    Hessian is that of a sample.
    """

    name: ClassVar[str] = "progressive"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "smooth", "rows at any place"})

    strides: tuple[int, ...] = (16,)
    of_samples: LBFGS = field(default_factory=LBFGS)
    of_all: LBFGS = field(default_factory=lambda: LBFGS(preconditioner="sampled", refresh=(1, 2, 4, 8)))

    def minimise(
        self, objective: Objective, start: np.ndarray, certifier: Certifier, stopping: Stopping, record: Record
    ) -> Solution:
        """Return the best θ found: see `Solver.minimise`."""
        for stride in self.strides:
            sample = objective.sampled(stride)
            noise = start.size / (2 * sample.source.n_rows)
            before, at_start = sample.passes, sample.evaluate(certifier.at_start.theta)
            estimate = 0.1 * noise / max(at_start.value, 1e-300)
            stage = Stopping(0.0, 25, estimate=max(estimate, 1e-6))
            found = self.of_samples.minimise(sample, start, Certifier(sample, at_start), stage, Record(sample))
            start = found.evaluation.theta
            objective.passes += (sample.passes - before) * sample.source.n_rows / objective.source.n_rows
            record.say(f"every {stride}th row: {found.n_iter} iterations, {found.reason}")
        solver = self.of_all if isinstance(objective.loss, SoftmaxLoss) else self.of_samples
        return solver.minimise(objective, start, certifier, stopping, record)
