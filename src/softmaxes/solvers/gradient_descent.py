"""Plain gradient descent: the update of the textbooks, for teaching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from softmaxes.objective import Objective
from softmaxes.solvers.base import Record, Solution, Solver, Stopping
from softmaxes.solvers.certificate import Certifier, relative_bound


@dataclass(frozen=True)
class GradientDescent(Solver):
    """w_c <- w_c - eta mean_n (p_nc - y_nc) x_n - eta λ w_c, and the same for the intercepts with x = 1.

    The step is taken on coefficients of the features as given, as in the textbooks, so badly scaled features make it
    as slow as it is there. eta: the step size; None: 1 / L, the largest that is sure to descend, with L = λ plus half
    of the largest possible eigenvalue of the mean of (x, 1) (x, 1)ᵀ (Böhning 1992), bounded here by its trace.
    The path is recorded: `history_` has one entry a step and `path_` the coefficients.
    """

    name: ClassVar[str] = "gradient_descent"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "smooth"})

    eta: float | None = None

    def minimise(
        self, objective: Objective, start: np.ndarray, certifier: Certifier, stopping: Stopping, record: Record
    ) -> Solution:
        """Return θ after max_iter steps, or sooner if the tolerance is reached."""
        moments = objective.moments
        trace = float(np.sum(moments.deviation**2 + moments.mean**2)) + objective.fit_intercept
        eta = self.eta if self.eta is not None else 1.0 / (0.5 * trace + objective.l2)
        weights, intercept = objective.coefficients(start)
        iteration, reason = 0, f"max_iter={stopping.max_iter} steps were made"
        while True:
            current = objective.evaluate(objective.theta(weights, intercept), "double")
            bound = certifier.bound(current)
            record.add(current, bound)
            record.path.append((weights, intercept))
            if relative_bound(bound, current.value) <= stopping.tol:
                reason = "the tolerance is reached"
                break
            if iteration >= stopping.max_iter:
                break
            by_weight, by_bias = objective.gradient_as_given(current)
            weights, intercept = weights - eta * by_weight, intercept - eta * by_bias
            iteration += 1
        decrement = float(np.vdot(by_weight, by_weight) + by_bias @ by_bias) * eta if iteration else float("inf")
        return Solution(current, certifier.optimality(current, decrement, stopping.tol), iteration, reason)
