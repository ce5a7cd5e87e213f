"""The objective of few rows, held standardised in float64: the numbers of `Objective`, without its tiles."""

from __future__ import annotations

import numpy as np

from softmaxes.objective import Evaluation, Objective, Precision


class Direct:
    """Value, gradient and Hessian of a softmax objective whose rows are so few that a copy of them is no cost.

    One product a call instead of one a tile, and the Hessian takes the probabilities of the latest evaluation.
    Features lie one by one in memory: the product of a matrix with its own transpose is twice as fast so.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        block = next(objective.source.blocks(objective.source.n_rows))
        assert block.targets is not None
        rows = len(block)
        features = block.features if isinstance(block.features, np.ndarray) else block.features.toarray()
        self._columns = np.empty((objective.n_features + 1, rows))
        np.subtract(features.T, objective.shift[:, None], out=self._columns[:-1])
        self._columns[:-1] *= objective.scale[:, None]
        self._columns[-1] = 1 if objective.fit_intercept else 0
        self._targets = block.targets
        # Rows count in parts of the whole: every sum below is a mean.
        total = objective.moments.total
        self._weights = np.full(rows, 1 / total) if block.weights is None else block.weights / total
        self._penalty = objective.l2 * np.append(objective.scale**2, 0.0)
        self._losses = np.empty(rows)
        self._probabilities = np.empty((rows, objective.n_classes))
        if objective.n_outputs == 1:
            self._second = block.targets[:, 1] if block.targets.ndim == 2 else block.targets.astype(np.float64)
            self._first = 1 - self._second

    def evaluate(self, theta: np.ndarray, precision: Precision = "double") -> Evaluation:
        """Return value and gradient at θ; always in double precision."""
        self._objective.passes += 1
        residuals = self._two_classes(theta) if len(theta) == 1 else self._many_classes(theta)
        loss = float(self._losses @ self._weights)
        gradient = residuals @ self._columns.T
        if len(theta) > 1:
            gradient -= gradient.mean(axis=0)  # as in Objective.evaluate
        by_penalty = self._penalty * theta
        gradient += by_penalty
        return Evaluation(theta, loss, loss + 0.5 * float(np.vdot(by_penalty, theta)), gradient, "double")

    def _two_classes(self, theta: np.ndarray) -> np.ndarray:
        """Return the weighted p - y of the second class, (1, rows); nothing is subtracted, so nothing cancels."""
        from scipy.special import expit

        logits = theta[0] @ self._columns
        p = self._probabilities
        p[:, 0], p[:, 1] = expit(-logits), expit(logits)
        self._losses = self._second * np.logaddexp(0, -logits) + self._first * np.logaddexp(0, logits)
        residuals: np.ndarray = self._first * p[:, 1] - self._second * p[:, 0]
        residuals *= self._weights
        return residuals[None, :]

    def _many_classes(self, theta: np.ndarray) -> np.ndarray:
        """Return the weighted p - y, (n_classes, rows)."""
        p = self._probabilities
        np.matmul(self._columns.T, theta.T, out=p)
        self._objective.loss.tile(p, self._targets, None, self._losses)
        residuals: np.ndarray = p.T * self._weights
        if self._targets.ndim == 1:
            p[np.arange(len(p)), self._targets] += 1
        else:
            p += self._targets
        return residuals

    def hessian(self) -> np.ndarray:
        """Return the Hessian of the data term where `evaluate` was called last, (k (d + 1), k (d + 1))."""
        self._objective.passes += 1
        k, width = self._objective.n_outputs, len(self._columns)
        p = self._probabilities.T
        if k == 1:
            spread = self._columns * np.sqrt(p[0] * p[1] * self._weights)
            product: np.ndarray = spread @ spread.T
            return product
        share = p * np.sqrt(self._weights)
        spread = (share[:, None] * self._columns).reshape(k * width, -1)
        matrix: np.ndarray = spread @ spread.T
        np.negative(matrix, out=matrix)
        cube = matrix.reshape(k, width, k, width)
        for of_class, weight in enumerate(np.sqrt(p * self._weights)):
            part = self._columns * weight
            cube[of_class, :, of_class] += part @ part.T
        return matrix
