"""Which solver for which problem, and why."""

from __future__ import annotations

from dataclasses import dataclass

from softmaxes.objective import Objective
from softmaxes.solvers.base import Solver
from softmaxes.solvers.lbfgs import LBFGS

KRONECKER_FEATURES = 1500
"""Above this many features the two eigendecompositions of the Kronecker preconditioner cost more than they save."""


@dataclass(frozen=True)
class Choice:
    """A solver and the reason for it, one sentence."""

    solver: Solver
    reason: str


def choose(objective: Objective) -> Choice:
    """Return the solver for an objective, from its shape alone."""
    if objective.source.is_sparse or objective.n_features > KRONECKER_FEATURES:
        kind = "sparse" if objective.source.is_sparse else "many"
        return Choice(
            LBFGS(history=5, preconditioner="diagonal"),
            f"the features are {kind} ({objective.n_features}): a diagonal preconditioner and a short history",
        )
    return Choice(
        LBFGS(),
        f"{objective.n_features} dense features: second moments can be factored, so curvature is preconditioned by "
        "a Kronecker product",
    )
