"""Few rows, held standardised: the sums of `objective.sums` as one product each, without tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softmaxes.objective.row_losses import SoftmaxLoss, to_probabilities
from softmaxes.sources.tiles import LEAST_AT_ONCE, MOST_AT_ONCE, SMALL_PRODUCT

if TYPE_CHECKING:
    from softmaxes.objective.objective import Objective


ROWS_AT_ONCE = 2048
"""Rows that are standardised together, in float64 whatever they are held in."""


class Direct:
    """Sums over the rows of a source so small that a copy of them is no cost, in the coordinates of the objective.

    A constant 1 stands beside the features, so intercepts need no words of their own, and nothing is converted, shifted
    or scaled again: an evaluation takes half of the time. Rows of zeros at the end fill up batches of equal size, small
    enough for products that need no packing; they add nothing to any sum.
    """

    def __init__(self, objective: Objective) -> None:
        block = next(objective.source.blocks(objective.source.n_rows))
        self._objective = objective
        self._features = block.features if isinstance(block.features, np.ndarray) else block.features.toarray()
        self._targets: Any = block.targets
        self._weights = block.weights
        self._losses = np.empty(len(block))
        self._held: dict[Any, np.ndarray] = {}
        self._n = len(block)
        at_once = min(SMALL_PRODUCT // (objective.n_outputs * (objective.n_features + 1)), MOST_AT_ONCE)
        self._parts = -(-self._n // at_once) if at_once >= LEAST_AT_ONCE else 1

    def rows(self, dtype: Any) -> np.ndarray:
        """Return the standardised features and a 1 of every row, (at least n_rows, d + 1)."""
        if dtype not in self._held:
            objective = self._objective
            rows = np.zeros((-(-self._n // self._parts) * self._parts, objective.n_features + 1), dtype)
            for start in range(0, self._n, ROWS_AT_ONCE):
                some = slice(start, start + ROWS_AT_ONCE)
                standardised = self._features[some] - objective.shift
                standardised *= objective.scale
                rows[: self._n][some, :-1] = standardised
            rows[: self._n, -1] = objective.fit_intercept
            self._held[dtype] = rows
        return self._held[dtype]

    def _batches(self, of_rows: np.ndarray) -> np.ndarray:
        return of_rows.reshape(self._parts, -1, of_rows.shape[1])

    def gradient_sums(self, theta: np.ndarray, dtype: Any) -> tuple[float, np.ndarray]:
        """Return Σ s ℓ and its gradient, (k, d + 1), at θ."""
        if len(theta) == 1 and dtype == np.float64 and isinstance(self._objective.loss, SoftmaxLoss):
            residuals = self._two_classes(theta)
        else:
            logits = self._logits(theta, dtype)
            self._objective.loss.tile(logits[: self._n], self._targets, self._weights, self._losses)
            residuals = logits[:, -len(theta) :]
        loss = self._losses.sum() if self._weights is None else self._losses @ self._weights
        products = np.matmul(self._batches(residuals).swapaxes(1, 2), self._batches(self.rows(dtype)))
        return float(loss), products.sum(axis=0, dtype=np.float64)

    def _logits(self, theta: np.ndarray, dtype: Any) -> np.ndarray:
        """Return new logits, (at least n_rows, n_classes); two classes get (0, z)."""
        weights = np.ascontiguousarray(theta.T, dtype=dtype)
        logits: np.ndarray = np.matmul(self._batches(self.rows(dtype)), weights).reshape(-1, len(theta))
        return np.append(np.zeros_like(logits), logits, axis=1) if self._objective.n_classes > len(theta) else logits

    def _two_classes(self, theta: np.ndarray) -> np.ndarray:
        """Write the losses and return the weighted p - y of the second class; nothing cancels."""
        rows, targets = self.rows(np.float64), self._targets
        logits = rows[: self._n] @ theta[0]
        if targets.ndim == 1:
            sign = 2.0 * targets - 1
            self._losses, residuals = _logistic(sign * logits)
            residuals *= sign
        else:
            (first_loss, first), (second_loss, second) = _logistic(-logits), _logistic(logits)
            self._losses = targets[:, 0] * first_loss + targets[:, 1] * second_loss
            residuals = targets[:, 1] * second - targets[:, 0] * first
        filled = np.zeros((len(rows), 1))
        filled[: self._n, 0] = residuals if self._weights is None else residuals * self._weights
        return filled

    def _probabilities(self, theta: np.ndarray, dtype: Any) -> np.ndarray:
        """Return the softmax of every row, (n_rows, n_classes)."""
        logits = self._logits(theta, dtype)[: self._n]
        to_probabilities(logits, self._losses)
        return logits

    def curvature_sums(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return Σ s p and Σ s p pᵀ at θ."""
        p = self._probabilities(theta, np.float32)
        weighted = p if self._weights is None else p * self._weights[:, None]
        return weighted.sum(axis=0, dtype=np.float64), (p.T @ weighted).astype(np.float64)

    def second_moment_sums(self) -> np.ndarray:
        """Return Σ s x̃ x̃ᵀ over the standardised features, (d, d)."""
        rows = self.rows(np.float32)[: self._n, :-1]
        if self._weights is not None:
            rows = rows * np.sqrt(self._weights).astype(np.float32)[:, None]
        products: np.ndarray = rows.T @ rows
        return products.astype(np.float64)

    def hessian_sums(self, theta: np.ndarray, dtype: Any, share: float) -> np.ndarray:
        """Return Σ s (diag p - p pᵀ) ⊗ x̃ x̃ᵀ at θ, (k (d + 1), k (d + 1)), over rows that make up a share of its trace.

        Once most rows are settled few of them make up nearly all of it.
        """
        rows, k = self.rows(dtype)[: self._n], len(theta)
        factors = self._probabilities(theta, dtype) if k > 1 else _spread(rows @ theta[0].astype(dtype))[:, None]
        if self._weights is not None:
            factors = factors * np.sqrt(self._weights).astype(dtype)[:, None]
        if share < 1 and k > 1:
            squares = np.einsum("ij,ij->i", factors, factors)
            trace = np.maximum((1 if self._weights is None else self._weights) - squares, 0)
            chosen = _largest(trace * np.einsum("ij,ij->i", rows, rows), share)
            rows, factors = rows[chosen], factors[chosen]
        if k == 1:  # p (1 - p) x̃ x̃ᵀ is a square as it stands
            spread = rows * factors
            matrix: np.ndarray = spread.T @ spread
            return matrix.astype(np.float64, copy=False)
        # Columns one by one in memory: their products are quicker made, and those with their own transpose as well.
        columns, factors = np.ascontiguousarray(rows.T), np.ascontiguousarray(factors.T)
        width = len(columns)
        spread = (factors[:, None] * columns).reshape(k * width, -1)
        matrix = np.matmul(spread, spread.T).astype(np.float64, copy=False)
        np.negative(matrix, out=matrix)
        cube = matrix.reshape(k, width, k, width)
        for row in range(k):  # p (1 - p) without a difference: what is left to the other classes
            cube[row, :, row] = 0
            cube[row, :, row] = -cube[row].sum(axis=1)
        return matrix


def _logistic(margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log(1 + e^-m) and its derivative."""
    from scipy.special import expit

    slope: np.ndarray = -expit(-margin)
    return np.logaddexp(0, -margin), slope


def _spread(logits: np.ndarray) -> np.ndarray:
    """Return sqrt(p (1 - p)) of two classes."""
    from scipy.special import expit

    spread: np.ndarray = np.sqrt(expit(logits) * expit(-logits))
    return spread


def _largest(values: np.ndarray, share: float) -> np.ndarray:
    """Return the places, ascending, of the largest values that make up this share of their sum."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(values[order], dtype=np.float64)
    return np.sort(order[np.searchsorted(sums, (1 - share) * sums[-1]) :])
