"""The objective of few rows, held standardised in float64: the numbers of `Objective`, without its tiles."""

from __future__ import annotations

import numpy as np

from softmaxes.objective import Evaluation, Objective, Precision


class Direct:
    """Value, gradient and Hessian of a softmax objective whose rows are so few that a copy of them is no cost.

    One product a call instead of one a tile, and the Hessian takes the probabilities of the latest evaluation.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        block = next(objective.source.blocks(objective.source.n_rows))
        rows = len(block)
        self._features = np.empty((rows, objective.n_features + 1))
        features = block.features if isinstance(block.features, np.ndarray) else block.features.toarray()
        np.subtract(features, objective.shift, out=self._features[:, :-1])
        self._features[:, :-1] *= objective.scale
        self._features[:, -1] = 1 if objective.fit_intercept else 0
        assert block.targets is not None
        self._targets, self._weights = block.targets, block.weights
        self._rows = np.arange(rows)
        self._penalty = np.append(objective.scale**2, 0.0)
        self._losses = np.empty(rows)
        self._residuals = np.zeros((rows, objective.n_classes))

    def evaluate(self, theta: np.ndarray, precision: Precision = "double") -> Evaluation:
        """Return value and gradient at θ; always in double precision."""
        objective = self._objective
        objective.passes += 1
        logits = self._residuals
        if len(theta) > 1:
            np.matmul(self._features, theta.T, out=logits)
        else:
            logits[:, 0] = 0
            np.matmul(self._features, theta[0], out=logits[:, 1])
        objective.loss.tile(logits, self._targets, None, self._losses)
        residuals = logits[:, -len(theta) :]
        if self._weights is None:
            loss = float(self._losses.sum())
        else:
            loss = float(self._losses @ self._weights)
            residuals = residuals * self._weights[:, None]
        total = objective.moments.total
        gradient = residuals.T @ self._features
        gradient /= total
        if len(theta) > 1:
            gradient -= gradient.mean(axis=0)  # as in Objective.evaluate
        by_penalty = self._penalty * theta
        by_penalty *= objective.l2
        gradient += by_penalty
        loss /= total
        return Evaluation(theta, loss, loss + 0.5 * float(np.vdot(by_penalty, theta)), gradient, "double")

    def hessian(self) -> np.ndarray:
        """Return the Hessian of the data term where `evaluate` was called last, (k (d + 1), k (d + 1))."""
        objective = self._objective
        objective.passes += 1
        rows, width = self._features.shape
        p = self._residuals
        if self._targets.ndim == 1:
            p[self._rows, self._targets] += 1
        else:
            p += self._targets
        total = objective.moments.total
        row = 1 / total if self._weights is None else self._weights / total
        if objective.n_outputs == 1:
            spread = self._features * np.sqrt(p[:, 0] * p[:, 1] * row)[:, None]
            return spread.T @ spread
        size = objective.n_outputs * width
        share = (np.sqrt(row) * p.T).T
        spread = (share[:, :, None] * self._features[:, None, :]).reshape(rows, size)
        matrix: np.ndarray = spread.T @ spread
        np.negative(matrix, out=matrix)
        cube = matrix.reshape(-1, width, objective.n_outputs, width)
        for k in range(objective.n_outputs):
            part = self._features * np.sqrt(p[:, k] * row)[:, None]
            cube[k, :, k] += part.T @ part
        return matrix
