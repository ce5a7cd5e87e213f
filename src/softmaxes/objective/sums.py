"""What is summed over the rows of a source, tile by tile: monoids for `sources.passes`.

Each takes the objective for its shape, its coordinates and its buffers; the model says where it is evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from softmaxes.objective.row_losses import to_probabilities
from softmaxes.sources.base import Block
from softmaxes.sources.tiles import Scratch, tile_features, tile_logits, tile_products

if TYPE_CHECKING:
    from softmaxes.objective.objective import Objective


CONVERTED = 1 << 18
"""Features of a tile that are converted together: a copy of so many stays in a core's cache."""


@dataclass(frozen=True, eq=False)
class Model:
    """θ as the tiles need it: logits = (x - centre) · weights + bias. unshifted: the shift not done on the tile."""

    weights: np.ndarray
    bias: np.ndarray
    centre: np.ndarray | None
    unshifted: np.ndarray


class GradientSums:
    """Σ s ℓ, Σ s (p - y) (x - centre)ᵀ and Σ s (p - y) over the rows added."""

    def __init__(self, objective: Objective, model: Model) -> None:
        self.objective = objective
        self.model = model
        self.loss = 0.0
        shape = (objective.n_outputs, objective.n_features)
        # Products of sparse features come feature by feature: sums in the same order in memory.
        self.products = np.zeros(shape[::-1]).T if objective.source.is_sparse else np.zeros(shape)
        self.residuals = np.zeros(objective.n_outputs)

    def add(self, block: Block) -> None:
        converted = isinstance(block.features, np.ndarray) and block.features.dtype != self.model.weights.dtype
        rows = max(64, CONVERTED // self.objective.n_features // 64 * 64) if converted else len(block)
        for start in range(0, len(block), rows):
            self._add(block.rows(start, start + rows))

    def _add(self, block: Block) -> None:
        with self.objective.scratch() as scratch:
            features = tile_features(block.features, self.model.weights.dtype, self.model.centre, scratch)
            logits = tile_logits(features, self.model.weights, self.model.bias, self.objective.n_classes, scratch)
            losses = scratch.get("losses", (len(block),), np.float64)
            self.objective.loss.tile(logits, block.targets, block.weights, losses)
            self.loss += float(losses.sum() if block.weights is None else losses @ block.weights)
            residuals = logits if self.objective.n_outputs > 1 else logits[:, 1:]
            self.residuals += np.ones(len(block), residuals.dtype) @ residuals
            if isinstance(features, np.ndarray):
                self.products += tile_products(residuals, features, scratch)
            else:
                self.products += (features.T @ residuals).T

    def merge(self, later: GradientSums) -> GradientSums:
        self.loss += later.loss
        self.products += later.products
        self.residuals += later.residuals
        return self


def tile_probabilities(objective: Objective, model: Model, block: Block, scratch: Scratch) -> np.ndarray:
    """Return softmax of a tile's logits, (rows, n_classes), in scratch memory."""
    features = tile_features(block.features, model.weights.dtype, model.centre, scratch)
    logits = tile_logits(features, model.weights, model.bias, objective.n_classes, scratch)
    to_probabilities(logits, scratch.get("losses", (len(block),), np.float64))
    return logits


class CurvatureSums:
    """Σ s p and Σ s p pᵀ over the rows added."""

    def __init__(self, objective: Objective, model: Model) -> None:
        self.objective = objective
        self.model = model
        self.probabilities = np.zeros(objective.n_classes)
        self.squares = np.zeros((objective.n_classes, objective.n_classes))

    def add(self, block: Block) -> None:
        with self.objective.scratch() as scratch:
            p = tile_probabilities(self.objective, self.model, block, scratch)
            if block.weights is not None:
                p *= np.sqrt(block.weights)[:, None].astype(p.dtype)
                ones = np.sqrt(block.weights).astype(p.dtype)
            else:
                ones = np.ones(len(block), p.dtype)
            self.probabilities += ones @ p
            self.squares += p.T @ p

    def merge(self, later: CurvatureSums) -> CurvatureSums:
        self.probabilities += later.probabilities
        self.squares += later.squares
        return self


class HessianSums:
    """Σ s (diag p - p pᵀ) ⊗ x̃ x̃ᵀ, x̃ standardised features with a 1 appended, over the rows added."""

    def __init__(self, objective: Objective, model: Model) -> None:
        self.objective = objective
        self.model = model
        size = objective.n_outputs * (objective.n_features + 1)
        self.matrix = np.zeros((size, size))

    def add(self, block: Block) -> None:
        objective = self.objective
        width, dtype = objective.n_features + 1, self.model.weights.dtype
        with objective.scratch() as scratch:
            p = tile_probabilities(objective, self.model, block, scratch)[:, -objective.n_outputs :]
            tile = scratch.get("standardised", (len(block), width), dtype)
            features = block.features if isinstance(block.features, np.ndarray) else block.features.toarray()
            np.multiply(features - objective.shift, objective.scale, out=tile[:, :-1], casting="same_kind")
            tile[:, -1] = 1 if objective.fit_intercept else 0
            if block.weights is not None:
                tile *= np.sqrt(block.weights)[:, None].astype(dtype)
            spread = scratch.get("spread", (len(block), objective.n_outputs * width), dtype)
            np.multiply(p[:, :, None], tile[:, None, :], out=spread.reshape(len(block), -1, width))
            self.matrix -= spread.T @ spread
            blocks = (spread.T @ tile).reshape(objective.n_outputs, width, width)
            for k, one in enumerate(blocks):
                self.matrix[k * width : (k + 1) * width, k * width : (k + 1) * width] += one

    def merge(self, later: HessianSums) -> HessianSums:
        self.matrix += later.matrix
        return self


class SecondMomentSums:
    """Σ s x̃ x̃ᵀ over the rows added."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.products = np.zeros((objective.n_features, objective.n_features))
        self.total = 0.0

    def add(self, block: Block) -> None:
        objective, features = self.objective, block.features
        if isinstance(features, np.ndarray):
            tile = ((features - objective.shift) * objective.scale).astype(np.float32)
            weighted = tile if block.weights is None else tile * block.weights[:, None].astype(np.float32)
            self.products += tile.T @ weighted
        else:  # Σ s (x - m)(x - m)ᵀ = Σ s x xᵀ - a mᵀ - m aᵀ + Σ s m mᵀ with a = Σ s x: no dense tile
            weights = np.ones(len(block)) if block.weights is None else block.weights
            centre, sums = objective.shift, features.T @ weights
            products = (features.T @ features.multiply(weights[:, None]).tocsr()).toarray().astype(np.float64)
            products -= np.outer(sums, centre) + np.outer(centre, sums - weights.sum() * centre)
            self.products += products * np.outer(objective.scale, objective.scale)
        self.total += len(block) if block.weights is None else float(block.weights.sum())

    def merge(self, later: SecondMomentSums) -> SecondMomentSums:
        self.products += later.products
        self.total += later.total
        return self
