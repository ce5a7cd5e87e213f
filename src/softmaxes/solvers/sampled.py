"""The inverse Hessian of a sample of the rows: Newton's method for many rows, without the Hessian being formed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from softmaxes.objective import Objective
from softmaxes.solvers.preconditioners import Kronecker, stride_of
from softmaxes.sources.base import Block, IndexedSource

ACCURACY = 0.1
"""Conjugate gradients stop when the residual has shrunk to this; the sample's Hessian is no better than that."""

MOST_PRODUCTS = 30


class Sampled:
    """(H + λ D)⁻¹ with H the Hessian of every stride-th row, by conjugate gradients preconditioned by `Kronecker`.

    A product with H costs about one evaluation on the sample, so a solve costs about as much as one on all rows. It is
    no fixed matrix, for conjugate gradients stop early; what L-BFGS keeps of its steps makes up for that.
    """

    to_scale = True

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._kronecker = Kronecker(objective)
        self._sample = objective.sampled(stride_of(objective))
        self._share = self._sample.source.n_rows / objective.source.n_rows
        self._model: Objective

    def refresh(self, theta: np.ndarray) -> None:
        """Take the probabilities of the sample at θ."""
        self._kronecker.refresh(theta)
        sample = self._sample
        self._model = Objective(
            _Aimed(sample.source, sample.probabilities(theta)),
            sample.n_classes,
            l2=sample.l2,
            loss=Quadratic(),
            workers=sample.workers,
            fit_intercept=sample.fit_intercept,
            moments=sample.moments,
        )
        self._objective.passes += self._share

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """Return the step along which the sample's quadratic model has its minimum, nearly."""
        step = np.zeros_like(gradient)
        residual = gradient.copy()
        towards = self._kronecker.solve(residual)
        along = towards
        size = first = float(np.vdot(residual, towards))
        for _ in range(MOST_PRODUCTS if first > 0 else 0):
            product = self._model.evaluate(along).gradient
            self._objective.passes += self._share
            curvature = float(np.vdot(along, product))
            if not curvature > 0:  # rounding: no step is to be had from here
                break
            length = size / curvature
            step += length * along
            residual -= length * product
            towards = self._kronecker.solve(residual)
            before, size = size, float(np.vdot(residual, towards))
            if size <= ACCURACY**2 * first:
                break
            along = towards + (size / before) * along
        return step


@dataclass(frozen=True)
class Quadratic:
    """The second-order term ½ uᵀ (diag p - p pᵀ) u of the loss of a row; its targets are the probabilities p."""

    shift_invariant: bool = True
    convex: bool = True

    def tile(self, logits: np.ndarray, targets: Any, weights: np.ndarray | None, losses: np.ndarray) -> None:
        mean = np.einsum("ij,ij->i", targets, logits)
        logits -= mean[:, None]
        losses[...] = 0.5 * np.einsum("ij,ij,ij->i", targets, logits, logits)
        logits *= targets
        if weights is not None:
            logits *= weights[:, None]

    def intercept(self, share: np.ndarray) -> np.ndarray:
        return np.zeros(len(share))


class _Aimed(IndexedSource):
    """A source with other targets."""

    def __init__(self, source: Any, targets: np.ndarray) -> None:
        self._source: IndexedSource = source
        self._targets = targets
        self.n_rows, self.n_features = source.n_rows, source.n_features
        self.dtype, self.is_sparse = source.dtype, source.is_sparse

    def block(self, start: int, stop: int) -> Block:
        return replace(self._source.block(start, stop), targets=self._targets[start:stop])

    def take(self, rows: np.ndarray) -> _Aimed:
        return _Aimed(self._source.take(rows), self._targets[rows])
