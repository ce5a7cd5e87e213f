"""Orthant-wise limited-memory quasi-Newton: L1 and elastic-net penalties (Andrew and Gao 2007)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from softmaxes.objective import Evaluation, Objective
from softmaxes.solvers.base import Record, Solution, Solver, Stopping
from softmaxes.solvers.certificate import Certifier, relative_bound
from softmaxes.solvers.lbfgs import Pair, Patience, direction_of, remember
from softmaxes.solvers.preconditioners import Diagonal


@dataclass(frozen=True)
class OWLQN(Solver):
    """L-BFGS inside one orthant at a time; coefficients that would change sign stop at exactly 0.

    Everything in float64: which coefficients are 0 is decided by gradients of the size of l1.
    history: pairs of steps and gradient differences kept.
    """

    name: ClassVar[str] = "owlqn"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})

    history: int = 20

    def minimise(
        self, objective: Objective, start: np.ndarray, certifier: Certifier, stopping: Stopping, record: Record
    ) -> Solution:
        """Return the best θ found: see `Solver.minimise`."""
        thresholds = np.zeros_like(start)
        thresholds[:, :-1] = objective.l1 * objective.scale
        metric = Diagonal(objective)
        metric.refresh(start)
        memory: deque[Pair] = deque(maxlen=self.history)
        current = objective.evaluate(start, "double")
        patience = Patience(50)
        iteration, decrement = 0, float("inf")
        while True:
            bound = certifier.bound(current)
            record.add(current, bound)
            if relative_bound(bound, current.value) <= stopping.tol:
                reason = "the tolerance is reached"
                break
            if iteration >= stopping.max_iter:
                reason = f"max_iter={stopping.max_iter} iterations were made"
                break
            steepest = pseudo_gradient(current.theta, current.gradient, thresholds)
            direction = direction_of(steepest, memory, metric)
            direction[direction * steepest > 0] = 0.0
            decrement = -float(np.vdot(direction, steepest))
            following = _search(objective, current, direction, steepest)
            iteration += 1
            if following is None and memory:
                memory.clear()
                continue
            if following is None or patience.is_over(following):
                reason = "rounding allows no further progress"
                break
            remember(memory, current, following)
            current = following
        return Solution(current, certifier.optimality(current, decrement, stopping.tol), iteration, reason)


def pseudo_gradient(theta: np.ndarray, gradient: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the element of least size of the subdifferential of f + Σ thresholds |θ|."""
    at_zero = np.sign(gradient) * np.maximum(np.abs(gradient) - thresholds, 0.0)
    result: np.ndarray = np.where(theta == 0, at_zero, gradient + np.sign(theta) * thresholds)
    return result


def _search(
    objective: Objective, current: Evaluation, direction: np.ndarray, steepest: np.ndarray
) -> Evaluation | None:
    """Return a point with a sufficient decrease along direction, projected on the orthant of the current point."""
    orthant = np.where(current.theta == 0, -np.sign(steepest), np.sign(current.theta))
    orthant[:, -1] = 0  # intercepts have no threshold, hence no orthant
    penalised = np.ones(current.theta.shape, bool)
    penalised[:, -1] = False
    step = 1.0
    for _ in range(30):
        theta = current.theta + step * direction
        theta[penalised & (theta * orthant <= 0)] = 0.0
        trial = objective.evaluate(theta, "double")
        slope = float(np.vdot(steepest, theta - current.theta))
        if trial.value <= current.value + 1e-4 * slope and trial.value < current.value:
            return trial
        step *= 0.5
    return None
