"""Which solver for which problem, and why."""

from __future__ import annotations

from dataclasses import dataclass

from softmaxes.objective import Objective, SoftmaxLoss
from softmaxes.solvers.base import Solver
from softmaxes.solvers.lbfgs import LBFGS
from softmaxes.solvers.newton import Newton
from softmaxes.solvers.owlqn import OWLQN
from softmaxes.solvers.preconditioners import stride_of
from softmaxes.solvers.progressive import Progressive
from softmaxes.sources.base import IndexedSource

KRONECKER_FEATURES = 1500
"""Above this many features the two eigendecompositions of the Kronecker preconditioner cost more than they save."""

SPARSE_ROWS = 16
"""Passes over sparse rows are cheap: there the decompositions pay only if rows are more than features² over this."""

LONG_SIZE = 300_000
"""More parameters than this make a long history cost as much as the passes that it saves."""

LONG_HISTORY = 30
"""Pairs of steps that are kept where they are nothing beside the features: a fifth of the passes less (measured)."""

HISTORY_SHARE = 20
"""They are nothing if they take at most this part of the features' bytes."""

DENSE_SIZE = 1500
"""The most parameters whose Hessian is factored."""

DENSE_WORK = 2e10
"""The most operations that a Hessian may take: under a second on one core."""

TINY_WORK = 1e7
"""A Hessian of at most so many operations is no cost, and the optimum is found to the last digits."""

CLUSTER_WORK = 1e11
"""The most operations that the Hessian of a sample may take on a cluster, whose workers share them."""

PLENTY_VALUES = 4_000_000
"""The least rows times features for which a sample is worth its own set-up."""


@dataclass(frozen=True)
class Choice:
    """A solver and the reason for it, one sentence."""

    solver: Solver
    reason: str


def choose(objective: Objective) -> Choice:
    """Return the solver for an objective, from its shape alone."""
    if objective.l1 > 0:
        return Choice(OWLQN(), "coefficients that are exactly 0 (l1_ratio > 0) need steps that can stop there")
    size = objective.n_outputs * (objective.n_features + 1)
    n_rows, n_features = objective.source.n_rows, objective.n_features
    softmax = isinstance(objective.loss, SoftmaxLoss)
    few = size <= DENSE_SIZE and n_rows * size**2 <= DENSE_WORK and softmax
    if few and n_rows * size**2 <= TINY_WORK:
        return Choice(Newton(), f"{size} parameters and {n_rows} rows: Hessians are no cost")
    kind = "many" if n_features > KRONECKER_FEATURES else ""
    if objective.source.is_sparse and n_features**2 > SPARSE_ROWS * n_rows:
        kind = "sparse"
    stride = stride_of(objective)
    if softmax and stride >= 4 and n_rows * n_features >= PLENTY_VALUES and not kind:
        reason = f"{n_rows} rows are plenty for {size} parameters: a start from every {stride}th of them, then all, "
        here = isinstance(objective.source, IndexedSource)
        if few or (not here and size <= DENSE_SIZE and n_rows // stride * size**2 <= CLUSTER_WORK):
            of_all = LBFGS(preconditioner="dense", refresh=(1, 2, 4, 8))
            return Choice(Progressive((stride,), of_all=of_all), reason + "with the Hessian of the sample, factored")
        if here:
            return Choice(Progressive((stride,)), reason + "with the curvature of the sample")
    if few:
        return Choice(
            LBFGS(preconditioner="late", refresh=(14, 32, 60, 90)),
            f"{size} parameters are few enough to factor the Hessian itself, unless passes get there before",
        )
    if kind:
        return Choice(
            LBFGS(history=5 if size > LONG_SIZE else 10, preconditioner="diagonal"),
            f"the features are {kind} ({n_features}): a diagonal preconditioner and a short history",
        )
    room = n_rows * n_features * objective.source.dtype.itemsize / HISTORY_SHARE
    small = not objective.source.is_sparse and 2 * LONG_HISTORY * 8 * size <= room
    return Choice(
        LBFGS(history=LONG_HISTORY, refresh=(5, 20, 60)) if small else LBFGS(),
        f"{n_features} features: second moments can be factored, so curvature is preconditioned by a Kronecker product",
    )
