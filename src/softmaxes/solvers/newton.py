"""Newton's method with the whole Hessian: a handful of steps where parameters are few and rows cheap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from softmaxes.objective import Objective
from softmaxes.solvers.base import Record, Solution, Solver, Stopping
from softmaxes.solvers.certificate import Certifier, relative_bound
from softmaxes.solvers.lbfgs import Patience
from softmaxes.solvers.linesearch import search
from softmaxes.solvers.preconditioners import Inverse

RIDGE = 1e-14
"""The least share of the mean curvature that is added to the diagonal, against rounding."""


@dataclass(frozen=True)
class Newton(Solver):
    """Newton's method in float64, the Hessian formed and factored at every step.

    polish: further steps once the tolerance is reached, with the last Hessian: the digits nearly double again.
    """

    name: ClassVar[str] = "newton"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "smooth", "softmax"})

    polish: int = 1

    def minimise(
        self, objective: Objective, start: np.ndarray, certifier: Certifier, stopping: Stopping, record: Record
    ) -> Solution:
        """Return the best θ found: see `Solver.minimise`."""
        current = objective.evaluate(start, "double")
        patience = Patience()
        inverse: Inverse | None = None
        iteration = polished = 0
        decrement = float("inf")
        while True:
            bound = certifier.bound(current)
            record.add(current, bound)
            reached = relative_bound(bound, current.value) <= stopping.tol
            if reached and polished == self.polish:
                reason = "the tolerance is reached"
                break
            if iteration >= stopping.max_iter:
                reason = f"max_iter={stopping.max_iter} iterations were made"
                break
            if patience.is_over(current):
                reason = "rounding allows no further progress"
                break
            if inverse is None or not reached:  # at the optimum the last Hessian is as good as the next
                inverse = Inverse(objective, objective.hessian(current.theta, "double"), RIDGE)
            direction = objective.symmetric_part(-inverse.solve(current.gradient))
            decrement = -float(np.vdot(direction, current.gradient))
            following = search(objective, current, direction, "double")
            if following is None:
                reason = "the tolerance is reached" if reached else "rounding allows no further progress"
                break
            iteration += 1
            polished += reached
            current = following
        return Solution(current, certifier.optimality(current, decrement, stopping.tol), iteration, reason)
