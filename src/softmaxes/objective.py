"""The training objective of a linear softmax classifier, as sums over the rows of a source.

    f(W, b) = (1/S) Σ_n s_n ℓ(z_n, y_n) + (λ/2) ‖W‖²,      z_n = W x_n + b,   S = Σ_n s_n

with ℓ the cross-entropy lse(z) - z_y. Gradient: (1/S) Σ s_n (p_n - y_n) x_nᵀ + λ W and (1/S) Σ s_n (p_n - y_n).

**Coordinates.** Solvers work on standardised features x̃ = (x - shift) · scale without any of them being stored:
θ = [V | c] with W = V · scale and b = c - W shift. This is a change of variables only: the penalty stays on W, so
the optimum is that of the features as given, and sparse features stay sparse.

**Two classes** have one row of parameters, W = w_1 - w_0, with logits (0, z): the binary logistic objective, penalty
(λ/2) ‖w_1 - w_0‖². (Two symmetric rows with the same λ would be penalised half as much.)

**Precision.** "single": products in float32 tile by tile, losses and all sums across tiles in float64; the relative
error of the gradient is about 1e-7. "double": everything in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from softmaxes import native
from softmaxes.sources.base import Block, Source
from softmaxes.sources.passes import Plan, Workers

Precision = Literal["single", "double"]

_DTYPES: dict[str, Any] = {"single": np.float32, "double": np.float64}

_OFFSET_LIMIT = 32.0
"""Means above this many standard deviations are subtracted from each tile before the product, not after it."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted mean and standard deviation of each feature, the weight of each class, and of all rows."""

    mean: np.ndarray
    deviation: np.ndarray
    class_weight: np.ndarray

    @property
    def total(self) -> float:
        """Return S, the sum of the rows' weights."""
        return float(self.class_weight.sum())

    @classmethod
    def of(cls, source: Source, n_classes: int, workers: Workers) -> Moments:
        """Return the moments in one pass."""
        plan = Plan.of(source, n_classes)
        origin = _origin(source)
        sums = workers.fold(source, plan, lambda: _MomentSums(origin, n_classes))
        total = sums.class_weight.sum()
        offset = sums.first / total
        variance = np.maximum(sums.second / total - offset * offset, 0.0)
        deviation = np.sqrt(variance)
        mean = origin + offset
        # Below this the spread is rounding of a constant: dividing by it would blow up noise.
        deviation[deviation <= 8 * np.finfo(source.dtype).eps * np.abs(mean)] = 0.0
        return cls(mean, deviation, sums.class_weight)


def _origin(source: Source) -> np.ndarray:
    """Return a point near the data (a row), from which sums of squares do not cancel; 0 for sparse features."""
    if source.is_sparse:
        return np.zeros(source.n_features)
    block = next(source.blocks(1))
    return np.asarray(block.features[0], dtype=np.float64).copy()


class _MomentSums:
    """Σ s, Σ s (x - origin), Σ s (x - origin)² and the weight of each class."""

    def __init__(self, origin: np.ndarray, n_classes: int) -> None:
        self.origin = origin
        self.first = np.zeros(len(origin))
        self.second = np.zeros(len(origin))
        self.class_weight = np.zeros(n_classes)

    def add(self, block: Block) -> None:
        features = block.features
        weights = np.ones(len(block)) if block.weights is None else block.weights
        if isinstance(features, np.ndarray):
            centred = features - self.origin.astype(features.dtype)
            row = weights.astype(features.dtype)
            self.first += row @ centred
            np.multiply(centred, centred, out=centred)
            self.second += row @ centred
        else:
            self.first += features.T @ weights
            self.second += features.multiply(features).T @ weights
        self.class_weight += _class_weight(block.targets, weights, len(self.class_weight))

    def merge(self, later: _MomentSums) -> _MomentSums:
        self.first += later.first
        self.second += later.second
        self.class_weight += later.class_weight
        return self


def _class_weight(targets: Any, weights: np.ndarray, n_classes: int) -> np.ndarray:
    if targets.ndim == 2:
        return np.asarray(weights @ targets, dtype=np.float64)
    return np.bincount(targets, weights, n_classes)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The objective at one θ. loss: the mean loss; value: with the penalty; gradient: (k, d + 1), of value."""

    theta: np.ndarray
    loss: float
    value: float
    gradient: np.ndarray
    precision: Precision


class Objective:
    """f(θ), its gradient, and what bounds its distance from the optimum, over one source.

    source: targets are int64 codes 0 ... n_classes - 1 or (rows, n_classes) probabilities. l2: λ.
    moments: of the same source; None: computed here, in one pass. passes: how often all rows were read since.
    """

    def __init__(
        self,
        source: Source,
        n_classes: int,
        *,
        l2: float,
        workers: Workers,
        fit_intercept: bool = True,
        moments: Moments | None = None,
    ) -> None:
        self.source = source
        self.n_classes = n_classes
        self.l2 = l2
        self.workers = workers
        self.fit_intercept = fit_intercept
        self.moments = moments or Moments.of(source, n_classes, workers)
        self.n_features = source.n_features
        self.n_outputs = 1 if n_classes == 2 else n_classes
        self.plan = Plan.of(source, n_classes)
        self.passes = 0
        deviation = self.moments.deviation
        self.scale = 1.0 / np.where(deviation > 0, deviation, 1.0)
        # Without an intercept nothing can absorb a shift, so the features are only scaled.
        self.shift = self.moments.mean if fit_intercept else np.zeros(self.n_features)
        offset = float(np.max(np.abs(self.shift) * self.scale, initial=0.0))
        self._centre_tiles = not source.is_sparse and offset > _OFFSET_LIMIT
        self._scratch: list[_Scratch] = []

    # ---- coordinates ------------------------------------------------------------------------------------------

    def start(self) -> np.ndarray:
        """Return θ of the model that knows only the frequencies of the classes: W = 0, b = log frequency."""
        theta = np.zeros((self.n_outputs, self.n_features + 1))
        if self.fit_intercept:
            log_share = np.log(np.maximum(self.moments.class_weight, np.finfo(float).tiny) / self.moments.total)
            theta[:, -1] = log_share[1] - log_share[0] if self.n_outputs == 1 else log_share - log_share.mean()
        return theta

    def coefficients(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return W, (k, d), and b, (k,), for features as given."""
        weights = theta[:, :-1] * self.scale
        return weights, theta[:, -1] - weights @ self.shift

    def theta(self, weights: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """Return θ for coefficients of the features as given: the inverse of `coefficients`."""
        theta = np.empty((self.n_outputs, self.n_features + 1))
        theta[:, :-1] = weights / self.scale
        theta[:, -1] = intercept + weights @ self.shift
        return theta

    # ---- value and gradient -----------------------------------------------------------------------------------

    def evaluate(self, theta: np.ndarray, precision: Precision = "single") -> Evaluation:
        """Return value and gradient at θ, in one pass."""
        self.passes += 1
        model = self._model(theta, precision)
        sums = self.workers.fold(self.source, self.plan, lambda: _GradientSums(self, model))
        total = self.moments.total
        loss = sums.loss / total
        gradient = np.empty_like(theta)
        gradient[:, :-1] = sums.products - np.multiply.outer(sums.residuals, model.unshifted)
        gradient[:, :-1] *= self.scale / total
        gradient[:, -1] = sums.residuals / total if self.fit_intercept else 0.0
        weights = theta[:, :-1] * self.scale
        if self.n_outputs > 1:
            # Moving all classes together changes no probability: along it the sums are rounding, and θ would drift.
            gradient -= gradient.mean(axis=0)
        gradient[:, :-1] += self.l2 * self.scale * weights
        return Evaluation(theta, loss, loss + 0.5 * self.l2 * float(np.vdot(weights, weights)), gradient, precision)

    def class_curvature(self, theta: np.ndarray) -> np.ndarray:
        """Return the mean of diag p - p pᵀ at θ, (k, k), in one pass."""
        self.passes += 1
        model = self._model(theta, "single")
        sums = self.workers.fold(self.source, self.plan, lambda: _CurvatureSums(self, model))
        mean = sums.probabilities / self.moments.total
        matrix = np.diag(mean) - sums.squares / self.moments.total
        return matrix[1:, 1:] if self.n_outputs == 1 else matrix

    def second_moment(self) -> np.ndarray:
        """Return the mean of x̃ x̃ᵀ over standardised features, (d, d), in one pass."""
        self.passes += 1
        sums = self.workers.fold(self.source, self.plan, lambda: _SecondMomentSums(self))
        return sums.products * np.multiply.outer(self.scale, self.scale) / self.moments.total

    def _model(self, theta: np.ndarray, precision: Precision) -> _Model:
        dtype = _DTYPES[precision]
        weights = theta[:, :-1] * self.scale
        unshifted = np.zeros(self.n_features) if self._centre_tiles else self.shift
        return _Model(
            np.ascontiguousarray(weights.T, dtype=dtype),
            (theta[:, -1] - weights @ unshifted).astype(dtype),
            self.shift if self._centre_tiles else None,
            unshifted,
        )


@dataclass(frozen=True, eq=False)
class _Model:
    """θ as the tiles need it: logits = (x - centre) · weights + bias. unshifted: the shift not done on the tile."""

    weights: np.ndarray
    bias: np.ndarray
    centre: np.ndarray | None
    unshifted: np.ndarray


class _Scratch:
    """Buffers for one thread's tiles, kept between passes."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, Any], np.ndarray] = {}

    def get(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an uninitialised C-contiguous array, the same memory whenever it is large enough."""
        size = int(np.prod(shape))
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name, dtype] = np.empty(size, dtype)
        return buffer[:size].reshape(shape)


class _GradientSums:
    """Σ s ℓ, Σ s (p - y) (x - centre)ᵀ and Σ s (p - y) over the rows added."""

    def __init__(self, objective: Objective, model: _Model) -> None:
        self.objective = objective
        self.model = model
        self.loss = 0.0
        self.products = np.zeros((objective.n_outputs, objective.n_features))
        self.residuals = np.zeros(objective.n_outputs)

    def add(self, block: Block) -> None:
        pool = self.objective._scratch
        scratch = pool.pop() if pool else _Scratch()
        try:
            features = tile_features(block.features, self.model.weights.dtype, self.model.centre, scratch)
            logits = tile_logits(features, self.model.weights, self.model.bias, self.objective.n_classes, scratch)
            losses = scratch.get("losses", (len(block),), np.float64)
            native.cross_entropy_rows(logits, block.targets, losses, logits, block.weights, threads=1)
            self.loss += float(losses.sum() if block.weights is None else losses @ block.weights)
            residuals = logits if self.objective.n_outputs > 1 else logits[:, 1:]
            self.residuals += residuals.sum(axis=0, dtype=np.float64)
            if isinstance(features, np.ndarray):
                products = scratch.get("products", self.products.shape, features.dtype)
                self.products += np.matmul(residuals.T, features, out=products)
            else:
                self.products += (features.T @ residuals).T
        finally:
            pool.append(scratch)

    def merge(self, later: _GradientSums) -> _GradientSums:
        self.loss += later.loss
        self.products += later.products
        self.residuals += later.residuals
        return self


class _CurvatureSums:
    """Σ s p and Σ s p pᵀ over the rows added."""

    def __init__(self, objective: Objective, model: _Model) -> None:
        self.objective = objective
        self.model = model
        self.probabilities = np.zeros(objective.n_classes)
        self.squares = np.zeros((objective.n_classes, objective.n_classes))

    def add(self, block: Block) -> None:
        scratch = _Scratch()
        features = tile_features(block.features, self.model.weights.dtype, self.model.centre, scratch)
        logits = tile_logits(features, self.model.weights, self.model.bias, self.objective.n_classes, scratch)
        losses = scratch.get("losses", (len(block),), np.float64)
        anything = np.zeros(len(block), np.int64)
        native.cross_entropy_rows(logits, anything, losses, logits, None, threads=1)
        logits[:, 0] += 1  # p - e_0, so adding e_0 leaves the probabilities
        weighted = logits if block.weights is None else logits * block.weights[:, None].astype(logits.dtype)
        self.probabilities += weighted.sum(axis=0, dtype=np.float64)
        self.squares += logits.T @ weighted

    def merge(self, later: _CurvatureSums) -> _CurvatureSums:
        self.probabilities += later.probabilities
        self.squares += later.squares
        return self


class _SecondMomentSums:
    """Σ s (x - shift) (x - shift)ᵀ over the rows added."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.products = np.zeros((objective.n_features, objective.n_features))

    def add(self, block: Block) -> None:
        features = block.features
        dense = features if isinstance(features, np.ndarray) else features.toarray()
        tile = (dense - self.objective.shift.astype(dense.dtype)).astype(np.float32)
        weighted = tile if block.weights is None else tile * block.weights[:, None].astype(np.float32)
        self.products += tile.T @ weighted

    def merge(self, later: _SecondMomentSums) -> _SecondMomentSums:
        self.products += later.products
        return self


def tile_features(features: Any, dtype: Any, centre: np.ndarray | None, scratch: _Scratch) -> Any:
    """Return a tile's features in dtype, less centre; the tile itself where nothing has to be done."""
    if not isinstance(features, np.ndarray):
        return features if features.dtype == dtype else features.astype(dtype)
    if centre is None and features.dtype == dtype:
        return features
    tile = scratch.get("features", features.shape, dtype)
    if centre is None:
        np.copyto(tile, features, casting="same_kind")
        return tile
    # The difference is taken in the features' own precision and rounded afterwards.
    wide = scratch.get("wide", features.shape, np.float64)
    np.copyto(tile, np.subtract(features, centre, out=wide), casting="same_kind")
    return tile


def tile_logits(features: Any, weights: np.ndarray, bias: np.ndarray, n_classes: int, scratch: _Scratch) -> np.ndarray:
    """Return the logits of a tile, (rows, n_classes), in scratch memory; two classes get (0, z)."""
    rows = features.shape[0]
    logits = scratch.get("logits", (rows, n_classes), weights.dtype)
    target = logits if len(bias) > 1 else scratch.get("column", (rows, 1), weights.dtype)
    if isinstance(features, np.ndarray):
        np.matmul(features, weights, out=target)
    else:
        target[...] = features @ weights
    target += bias
    if len(bias) == 1:
        logits[:, 0] = 0
        logits[:, 1] = target[:, 0]
    return logits
