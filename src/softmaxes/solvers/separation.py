"""Classes that the features separate: without a penalty their loss has no minimum, only a limit at infinity.

If some W and b give every row of class c its largest logit at c, and no other row, then moving class c's parameters
further along lowers the loss for ever. Such W and b are a proof by themselves: the classes found here are separable,
whatever the solver did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softmaxes.objective import Objective
from softmaxes.sources.base import Block
from softmaxes.sources.tiles import tile_features, tile_logits


def separated(objective: Objective, theta: np.ndarray) -> np.ndarray:
    """Return for each class whether θ tells its rows from all others without an error, in one pass."""
    sums = objective.workers.fold(objective.source, objective.plan, lambda: _Errors(objective, theta))
    result: np.ndarray = (sums.errors == 0) & (sums.rows > 0)
    return result


def labelled(objective: Objective) -> bool:
    """Return whether the targets are labels, not probabilities."""
    targets = next(objective.source.blocks(1)).targets
    return targets is not None and targets.ndim == 1


@dataclass(eq=False)
class _Errors:
    """Per class: rows of it, and rows wrongly given or wrongly denied to it; ties are errors, rows of weight 0 not."""

    objective: Objective
    theta: np.ndarray

    def __post_init__(self) -> None:
        self.errors = np.zeros(self.objective.n_classes)
        self.rows = np.zeros(self.objective.n_classes)

    def add(self, block: Block) -> None:
        objective, targets = self.objective, block.targets
        assert targets is not None
        model = objective.model(self.theta, "double")
        with objective.scratch() as scratch:
            features = tile_features(block.features, model.weights.dtype, model.centre, scratch)
            logits = tile_logits(features, model.weights, model.bias, objective.n_classes, scratch)
            top = logits.argmax(axis=1)
            own = logits[np.arange(len(targets)), targets]
            logits[np.arange(len(targets)), targets] = -np.inf
            wrong = own <= logits.max(axis=1)
        if block.weights is not None:
            wrong &= block.weights > 0
            targets = targets[block.weights > 0]
            top = top[block.weights > 0]
            wrong = wrong[block.weights > 0]
        n = len(self.errors)
        self.rows += np.bincount(targets, minlength=n)
        self.errors += np.bincount(targets[wrong], minlength=n) + np.bincount(top[wrong], minlength=n)

    def merge(self, later: _Errors) -> _Errors:
        self.errors += later.errors
        self.rows += later.rows
        return self
