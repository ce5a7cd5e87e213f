"""Limited-memory BFGS on top of a preconditioner: the work horse."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from softmaxes.objective import Evaluation, Objective, Precision
from softmaxes.solvers.base import Record, Solution, Solver, Stopping
from softmaxes.solvers.certificate import Certifier, relative_bound
from softmaxes.solvers.linesearch import search
from softmaxes.solvers.preconditioners import PRECONDITIONERS, Preconditioner
from softmaxes.solvers.sampled import Sampled

SINGLE_RESOLUTION = 1e-8
"""Estimated relative suboptimality below which values from float32 products are level: the noise of their mean."""

SINGLE_SLOPES = 1e-11
"""The same for their slopes: down to here float32 products go on as long as the estimate falls from step to step."""

METRICS: dict[str, Callable[[Objective], Preconditioner]] = {**PRECONDITIONERS, "sampled": Sampled}


@dataclass(frozen=True)
class LBFGS(Solver):
    """Preconditioned L-BFGS: float32 products while they help, then float64.

    history: pairs of steps and gradient differences kept. preconditioner: "kronecker" (n_features up to one or two
    thousand), "diagonal", "dense" or "late" (few parameters) or "sampled" (many rows, in memory). refresh: iterations
    after which the preconditioner is renewed at the current point. polish: further steps once the tolerance is reached,
    each with a new preconditioner: with "dense" they are Newton steps, and double the digits.
    """

    name: ClassVar[str] = "lbfgs"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "smooth"})

    history: int = 10
    preconditioner: str = "kronecker"
    refresh: tuple[int, ...] = (5, 20)
    polish: int = 0

    def minimise(
        self, objective: Objective, start: np.ndarray, certifier: Certifier, stopping: Stopping, record: Record
    ) -> Solution:
        """Return the best θ found: see `Solver.minimise`."""
        run = _Run(self, objective, certifier, stopping, record)
        run.descend(start, "single")
        if stopping.estimate == 0:
            run.descend(run.evaluation.theta, "double")
        evaluation = run.evaluation
        return Solution(
            evaluation, certifier.optimality(evaluation, run.decrement, stopping.tol), run.iteration, run.reason
        )


class _Run:
    """One minimisation: what the two precisions share."""

    def __init__(
        self, solver: LBFGS, objective: Objective, certifier: Certifier, stopping: Stopping, record: Record
    ) -> None:
        self.solver = solver
        self.objective = objective
        self.certifier = certifier
        self.stopping = stopping
        self.record = record
        self.metric = METRICS[solver.preconditioner](objective)
        self.memory: deque[Pair] = deque(maxlen=solver.history)
        self.iteration = 0
        self.decrement = float("inf")
        self.reason = ""
        self.evaluation: Evaluation

    def descend(self, theta: np.ndarray, precision: Precision) -> None:
        """Iterate from theta until the tolerance is reached, iterations run out, or rounding has the upper hand."""
        current = self.certifier.at_start if self.iteration == 0 else self.evaluation
        if theta is not current.theta or precision != current.precision:
            current = self.objective.evaluate(theta, precision)
        if self.iteration == 0:
            self.metric.refresh(theta)
        patience = Patience()
        before = self.decrement
        bound = float("inf")
        while True:
            if current.precision != precision:  # the last step: what is left is to see that it was
                self.evaluation = current
                return
            bound_before, bound = bound, self.certifier.bound(current)
            self.record.add(current, bound)
            if relative_bound(bound, current.value) <= self.stopping.tol:
                self.reason = "the tolerance is reached"
                if precision == "double":
                    self._polish(current)
                    return
            elif self.decrement <= 2 * self.stopping.estimate * current.value:
                self.reason = "the estimate is small enough"
            elif self.iteration >= self.stopping.max_iter:
                self.reason = f"max_iter={self.stopping.max_iter} iterations were made"
            elif precision == "single" and self._is_level(current.value, before):
                self.reason = "float32 products resolve no more"
            elif patience.is_over(current):
                self.reason = "rounding allows no further progress"
            else:
                before = self.decrement
                is_last = self._is_last(current.value, bound, bound_before)
                following = self._step(current, "double" if is_last else precision)
                if following is not None:
                    current = following
                    continue
                self.reason = "rounding allows no further progress"
            self.evaluation = current
            return

    def _is_last(self, value: float, bound: float, before: float) -> bool:
        """Return whether the next step should be the last, if it gains as much as the one before.

        It is evaluated in float64 at once. before: the bound one step ago, inf if there was none.
        """
        if self.stopping.estimate > 0:
            return False
        expected = bound * bound / before if before < float("inf") else bound
        near = relative_bound(expected, value) <= self.stopping.tol
        return near or self.iteration + 1 == self.stopping.max_iter

    def _is_level(self, value: float, before: float) -> bool:
        """Return whether float32 products have told what they can; before: the squared decrement one step ago."""
        resolved = self.decrement / (2 * value)
        return resolved <= SINGLE_SLOPES or (resolved <= SINGLE_RESOLUTION and self.decrement > 0.5 * before)

    def _polish(self, current: Evaluation) -> None:
        """Take the further steps, each unless it leads nowhere."""
        self.evaluation = current
        for _ in range(self.solver.polish):
            self.memory.clear()
            self.metric.refresh(self.evaluation.theta)
            following = self._step(self.evaluation, "double")
            if following is None:
                return
            self.evaluation = following
            self.record.add(following, self.certifier.bound(following))

    def _step(self, current: Evaluation, precision: Precision) -> Evaluation | None:
        """Return the next iterate; None if neither the quasi-Newton nor the preconditioned direction leads down."""
        if self.iteration in self.solver.refresh:
            self.metric.refresh(current.theta)
        self.iteration += 1
        following = None
        for _ in range(2):
            direction = self.objective.symmetric_part(direction_of(current.gradient, self.memory, self.metric))
            self.decrement = -float(np.vdot(direction, current.gradient))
            following = search(self.objective, current, direction, precision)
            if following is not None or not self.memory:
                break
            self.memory.clear()
        if following is not None:
            remember(self.memory, current, following)
        return following


class Patience:
    """Notices that rounding has the upper hand: the gradient has not shrunk for a number of iterations."""

    def __init__(self, iterations: int = 15) -> None:
        self._iterations = iterations
        self._best = float("inf")
        self._best_value = float("inf")
        self._since = 0

    def is_over(self, evaluation: Evaluation) -> bool:
        """Take note of an iterate; return whether it is time to give up."""
        size = float(np.linalg.norm(evaluation.gradient))
        noise = 1e-7 if evaluation.precision == "single" else 1e-15
        if size < 0.9 * self._best or evaluation.value < self._best_value * (1 - 10 * noise):
            self._since = 0
        self._best = min(self._best, size)
        self._best_value = min(self._best_value, evaluation.value)
        self._since += 1
        return self._since > self._iterations


class Pair(NamedTuple):
    """A step, the change of the gradient along it, and the product of the two."""

    step: np.ndarray
    change: np.ndarray
    product: float


def remember(memory: deque[Pair], before: Evaluation, after: Evaluation) -> None:
    """Append the pair of a step, if the slope has risen along it."""
    step, change = after.theta - before.theta, after.gradient - before.gradient
    product = float(np.vdot(step, change))
    if product > 0:
        memory.append(Pair(step, change, product))


def direction_of(gradient: np.ndarray, memory: deque[Pair], metric: Preconditioner) -> np.ndarray:
    """Return -B g by the two-loop recursion, B starting from the preconditioner."""
    from scipy.linalg.blas import daxpy

    q = gradient.copy()  # vectors can be far larger than a cache: nothing is made that is not kept
    flat = q.ravel()
    alphas = []
    for step, change, product in reversed(memory):
        alpha = float(np.vdot(step, q)) / product
        daxpy(change.ravel(), flat, a=-alpha)
        alphas.append(alpha)
    r = metric.solve(q)
    if memory and not metric.to_scale:
        change = memory[-1].change
        r *= memory[-1].product / float(np.vdot(change, metric.solve(change)))
    flat = r.ravel()
    for (step, change, product), alpha in zip(memory, reversed(alphas), strict=True):
        daxpy(step.ravel(), flat, a=alpha - float(np.vdot(change, r)) / product)
    r *= -1
    return r
