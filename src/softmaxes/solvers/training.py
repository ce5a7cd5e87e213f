"""From an objective and what the user asked for to a solution: the penalty, the solver, and no finite optimum."""

from __future__ import annotations

import warnings

import numpy as np

from softmaxes.maps import Hardmax, Member, MinShift, Softmax, member
from softmaxes.objective import MemberLoss, Objective, RowLoss, SoftmaxLoss, at_start
from softmaxes.solvers.base import Record, Solution, Solver, Stopping
from softmaxes.solvers.certificate import Certifier
from softmaxes.solvers.choice import Choice, choose
from softmaxes.solvers.separation import labelled, separated
from softmaxes.sources.base import IndexedSource

UNPENALISED_C = 1e4
"""What C=inf falls back to where nothing but a penalty makes the optimum finite."""


class SeparationWarning(UserWarning):
    """Coefficients without a penalty would grow for ever, because the features separate classes."""


class Training:
    """Solutions of one objective at one strength after another; `choice` is the solver of the latest, and its reason.

    asked: a solver, or None for the choice from the data.
    """

    choice: Choice

    def __init__(
        self, objective: Objective, asked: Solver | None, l1_ratio: float, stopping: Stopping, record: Record
    ) -> None:
        self.objective = objective
        self.asked = asked
        self.l1_ratio = l1_ratio
        self.stopping = stopping
        self.record = record
        self._at_start = at_start(objective)
        self.start = self._at_start.theta

    def at(self, C: float, begin: np.ndarray) -> Solution:
        """Return the solution at strength C, from `begin` on."""
        self.objective.set_penalty(C, self.l1_ratio)
        self.choice = solver_for(self.asked, self.objective)
        self.record.say(f"{self.choice.solver!r}: {self.choice.reason}")
        certifier = Certifier(self.objective, self._at_start)
        found = self.choice.solver.minimise(self.objective, begin, certifier, self.stopping, self.record)
        self.record.say(found.reason)
        return found

    def without_penalty(self, begin: np.ndarray, classes: np.ndarray) -> tuple[Solution, np.ndarray]:
        """Return the solution at C=inf, and the classes that are separable.

        Where the optimum isn't finite, the solution is that at a large C, and a SeparationWarning says why.
        """
        objective = self.objective
        found = self.at(UNPENALISED_C, begin)
        apart = classes[:0]
        if isinstance(objective.loss, SoftmaxLoss) and labelled(objective):
            apart = classes[separated(objective, found.evaluation.theta)]
        if len(apart):
            names = ", ".join(str(label) for label in apart[:10])
            _explain(f"the features separate these classes from all others without an error: {names}")
            return found, apart
        free = self.at(np.inf, found.evaluation.theta)
        if not free.optimality.met:
            _explain("the loss still falls as the coefficients grow, so some combination of classes is separable")
            return found, apart
        return free, apart


def solver_for(asked: Solver | None, objective: Objective) -> Choice:
    """Return the solver asked for, or the one that the objective asks for.

    Raises ValueError if the solver can't do with the objective.
    """
    if asked is None:
        return choose(objective)
    if "rows at any place" in asked.needs and not isinstance(objective.source, IndexedSource):
        raise ValueError(f"solver={asked.name!r} needs rows in memory; for this source use 'lbfgs' or 'auto'")
    if "softmax" in asked.needs and not isinstance(objective.loss, SoftmaxLoss):
        raise ValueError(f"solver={asked.name!r} needs map='softmax'; for this map use 'lbfgs' or 'auto'")
    if objective.l1 > 0 and "smooth" in asked.needs:
        raise ValueError(f"solver={asked.name!r} needs a smooth penalty; with l1_ratio > 0 use 'owlqn' or 'auto'")
    return Choice(asked, "as asked")


def loss_of(value: str | Member) -> RowLoss:
    """Return the loss that trains a member of the family. Raises ValueError if none does."""
    value = member(value)
    if isinstance(value, Hardmax):
        raise ValueError("map='hardmax' has no gradient to train by; train another map and use Hardmax afterwards")
    if isinstance(value, MinShift):
        raise ValueError(
            "map='min_shift' gives one class of every row probability 0, so its loss is infinite for that class; "
            "train another map"
        )
    return SoftmaxLoss() if value == Softmax() else MemberLoss(value)


def _explain(why: str) -> None:
    warnings.warn(
        f"C=inf has no finite optimum here: {why}. The model of C={UNPENALISED_C:g} is returned; its probabilities are "
        "limited by that C alone. Choose a finite C, or drop the features that give the classes away.",
        SeparationWarning,
        stacklevel=5,
    )
