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

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np

from softmaxes import native
from softmaxes.maps import Member, RegularisedArgmax, Softmax
from softmaxes.sources.base import Block, IndexedSource, Source, StridedSource
from softmaxes.sources.moments import Moments
from softmaxes.sources.passes import Plan, Workers
from softmaxes.sources.tiles import Scratch, tile_features, tile_logits

Precision = Literal["single", "double"]

_DTYPES: dict[str, Any] = {"single": np.float32, "double": np.float64}

MOMENT_ROWS = 20_000
MOMENT_ROWS_PER_FEATURE = 30
"""Rows from which second moments are taken for a preconditioner: the larger of the two."""

CURVATURE_ROWS_PER_CLASS = 4
CURVATURE_WORK = 2e8
"""With many classes their curvature is taken from fewer rows: so many operations, but not less than that per class."""

_OFFSET_LIMIT = 32.0
"""Means above this many standard deviations are subtracted from each tile before the product, not after it."""


class RowLoss(Protocol):
    """What a row loses, given its logits.

    shift_invariant: whether adding a number to all logits of a row changes nothing. convex: whether the loss is a
    Fenchel-Young loss with gradient p - y, for which optima are certified.
    """

    @property
    def shift_invariant(self) -> bool: ...

    @property
    def convex(self) -> bool: ...

    def tile(self, logits: np.ndarray, targets: Any, weights: np.ndarray | None, losses: np.ndarray) -> None:
        """Write the loss of each row, and over the logits its gradient times the row's weight."""

    def intercept(self, share: np.ndarray) -> np.ndarray:
        """Return logits whose probabilities are near share, (n_classes,), and which the loss admits."""


@dataclass(frozen=True)
class SoftmaxLoss:
    """Cross-entropy of the softmax, lse(z) - <y, z>, by the native kernel."""

    shift_invariant: bool = True
    convex: bool = True

    def tile(self, logits: np.ndarray, targets: Any, weights: np.ndarray | None, losses: np.ndarray) -> None:
        if targets.ndim == 1:
            scale = None if weights is None else np.ascontiguousarray(weights, np.float64)
            native.cross_entropy_rows(logits, np.ascontiguousarray(targets, np.int64), losses, logits, scale, threads=1)
            return
        # lse - <q, z> = (lse - z_0) - <q, z - z_0>: both terms are differences, so no offset of a row is felt.
        shifted = np.einsum("ij,ij->i", targets, logits - logits[:, :1], dtype=np.float64)
        first = np.zeros(len(logits), np.int64)
        native.cross_entropy_rows(logits, first, losses, logits, None, threads=1)
        losses -= shifted
        logits[:, 0] += 1
        logits -= targets
        if weights is not None:
            logits *= weights[:, None]

    def intercept(self, share: np.ndarray) -> np.ndarray:
        log_share = np.log(np.maximum(share, np.finfo(float).tiny))
        centred: np.ndarray = log_share - log_share.mean()
        return centred


@dataclass(frozen=True)
class MemberLoss:
    """The loss of a member of the family: -log p_y, or its Fenchel-Young loss."""

    member: Member

    @property
    def shift_invariant(self) -> bool:
        return self.member.properties().shift_invariant

    @property
    def convex(self) -> bool:
        return isinstance(self.member, RegularisedArgmax) and not isinstance(self.member, Softmax)

    def tile(self, logits: np.ndarray, targets: Any, weights: np.ndarray | None, losses: np.ndarray) -> None:
        low, high = self.member.properties().domain
        inside = (logits > low) & (logits < high) if np.isfinite([low, high]).any() else np.isfinite(logits)
        if not inside.all():  # outside its domain the loss is infinite, and a line search has to turn back
            losses[...] = np.inf
            logits[...] = 0
            return
        of_row, gradient = self.member.loss_and_gradient(logits, targets)
        losses[...] = of_row
        logits[...] = gradient if weights is None else gradient * weights[:, None]

    def intercept(self, share: np.ndarray) -> np.ndarray:
        low, _ = self.member.properties().domain
        if np.isfinite(low):
            inside: np.ndarray = low + len(share) * np.maximum(share, 1e-3)
            return inside
        # Not at 0: members that are even in the logits (spherical) have no slope there.
        size: np.ndarray = np.sqrt(len(share) * np.maximum(share, 1e-3))
        return size


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The objective at one θ. loss: the mean loss; value: with the penalty.

    gradient: (k, d + 1), of the smooth part: all of value but l1 Σ |W|.
    """

    theta: np.ndarray
    loss: float
    value: float
    gradient: np.ndarray
    precision: Precision


class Objective:
    """f(θ), its gradient, and what bounds its distance from the optimum, over one source.

    source: targets are int64 codes 0 ... n_classes - 1 or (rows, n_classes) probabilities. l2: λ. l1: the weight of
    Σ |W|, which is in the value but not in the gradient. loss: what a row loses; cross-entropy unless given.
    moments: of the same source; None: computed here, in one pass. passes: how often all rows were read since.
    """

    def __init__(
        self,
        source: Source,
        n_classes: int,
        *,
        l2: float,
        workers: Workers,
        l1: float = 0.0,
        loss: RowLoss | None = None,
        fit_intercept: bool = True,
        moments: Moments | None = None,
    ) -> None:
        self.source = source
        self.n_classes = n_classes
        self.l1 = l1
        self.l2 = l2
        self.loss = loss or SoftmaxLoss()
        self.workers = workers
        self.fit_intercept = fit_intercept
        self.moments = moments or Moments.of(source, n_classes, workers)
        self.n_features = source.n_features
        self.n_outputs = 1 if n_classes == 2 and self.loss.shift_invariant else n_classes
        self.plan = Plan.of(source, n_classes)
        self.passes = 0.0
        self._whole: Objective | None = None
        self._second_moment: np.ndarray | None = None
        deviation = self.moments.deviation
        self.scale = 1.0 / np.where(deviation > 0, deviation, 1.0)
        # Without an intercept nothing can absorb a shift, so the features are only scaled.
        self.shift = self.moments.mean if fit_intercept else np.zeros(self.n_features)
        offset = float(np.max(np.abs(self.shift) * self.scale, initial=0.0))
        self._centre_tiles = not source.is_sparse and offset > _OFFSET_LIMIT
        size = np.abs(self.moments.mean) + self.moments.deviation
        self._fits_single = bool(np.all((size == 0) | ((size > 1e-15) & (size < 1e15))))
        self._scratch: list[Scratch] = []

    @contextmanager
    def scratch(self) -> Iterator[Scratch]:
        """Lend buffers to one thread: a list's pop and append are atomic."""
        buffers = self._scratch.pop() if self._scratch else Scratch()
        try:
            yield buffers
        finally:
            self._scratch.append(buffers)

    # ---- coordinates ------------------------------------------------------------------------------------------

    def start(self) -> np.ndarray:
        """Return θ of the model that knows only the frequencies of the classes: W = 0, p(b) = frequency."""
        theta = np.zeros((self.n_outputs, self.n_features + 1))
        if self.fit_intercept:
            intercept = self.loss.intercept(self.moments.class_weight / self.moments.total)
            theta[:, -1] = intercept[1] - intercept[0] if self.n_outputs == 1 else intercept
        return self.symmetric_part(theta)

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

    def symmetric_part(self, theta: np.ndarray) -> np.ndarray:
        """Return θ or a step without what all classes share, where the loss cannot feel it and a penalty shrinks it."""
        symmetric = self.n_outputs > 1 and self.loss.shift_invariant and self.l1 == 0
        return theta - theta.mean(axis=0) if symmetric else theta

    def gradient_as_given(self, evaluation: Evaluation) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradient with respect to W and b, of the features as given."""
        by_bias = evaluation.gradient[:, -1]
        return evaluation.gradient[:, :-1] / self.scale + np.multiply.outer(by_bias, self.shift), by_bias

    # ---- value and gradient -----------------------------------------------------------------------------------

    def evaluate(self, theta: np.ndarray, precision: Precision = "single") -> Evaluation:
        """Return value and gradient at θ, in one pass."""
        self.passes += 1
        model = self.model(theta, precision)
        sums = self.workers.fold(self.source, self.plan, lambda: _GradientSums(self, model))
        total = self.moments.total
        loss = sums.loss / total
        gradient = np.empty_like(theta)
        gradient[:, :-1] = sums.products
        for k, residual in enumerate(sums.residuals):  # one row at a time: with many features no copy of all
            gradient[k, :-1] -= residual * model.unshifted
        gradient[:, :-1] *= self.scale / total
        gradient[:, -1] = sums.residuals / total if self.fit_intercept else 0.0
        weights = theta[:, :-1] * self.scale
        if self.n_outputs > 1 and self.loss.shift_invariant:
            # Moving all classes together changes no probability: along it the sums are rounding, and θ would drift.
            gradient -= gradient.mean(axis=0)
        gradient[:, :-1] += self.l2 * self.scale * weights
        return Evaluation(theta, loss, loss + self.penalty(weights), gradient, precision)

    def set_penalty(self, C: float, l1_ratio: float) -> None:
        """Take the penalty of strength 1/C per unit of weight: 1 / (C Σ s) of the mean loss."""
        strength = 1.0 / (C * self.moments.total)
        self.l1, self.l2 = l1_ratio * strength, (1.0 - l1_ratio) * strength

    def penalty(self, weights: np.ndarray) -> float:
        """Return l1 Σ |W| + (l2 / 2) ‖W‖² for coefficients of the features as given."""
        ridge = 0.5 * self.l2 * float(np.vdot(weights, weights))
        return ridge + self.l1 * float(np.abs(weights).sum()) if self.l1 else ridge

    def class_curvature(self, theta: np.ndarray) -> np.ndarray:
        """Return the mean of diag p - p pᵀ at θ, (k, k), from enough rows; for other losses what it is at uniform p."""
        if not isinstance(self.loss, SoftmaxLoss):
            uniform = np.eye(self.n_classes) / self.n_classes - 1 / self.n_classes**2
            return uniform[1:, 1:] if self.n_outputs == 1 else uniform
        size = self.n_classes**2
        source = self._enough(
            max(min(MOMENT_ROWS, int(CURVATURE_WORK / size)), CURVATURE_ROWS_PER_CLASS * self.n_classes)
        )
        self.passes += source.n_rows / self.source.n_rows
        model = self.model(theta, "single")
        plan = Plan.of(source, self.n_classes, 2 * size)
        sums = self.workers.fold(source, plan, lambda: _CurvatureSums(self, model))
        mean = sums.probabilities / sums.probabilities.sum()
        matrix: np.ndarray = np.diag(mean) - sums.squares / sums.probabilities.sum()
        return matrix[1:, 1:] if self.n_outputs == 1 else matrix

    def probabilities(self, theta: np.ndarray) -> np.ndarray:
        """Return the softmax of every row at θ, (n_rows, n_classes) in float32: for samples, whose rows are few."""
        assert isinstance(self.source, IndexedSource)
        self.passes += 1
        model = self.model(theta, "single")
        p = np.empty((self.source.n_rows, self.n_classes), np.float32)
        with self.scratch() as scratch:
            for start in range(0, len(p), self.plan.tile_rows):
                block = self.source.block(start, min(start + self.plan.tile_rows, len(p)))
                p[start : start + len(block)] = _tile_probabilities(self, model, block, scratch)
        return p

    def hessian(self, theta: np.ndarray, precision: Precision = "single") -> np.ndarray:
        """Return the Hessian of the data term at θ, (k (d + 1), k (d + 1)), in one pass.

        Only for few parameters: n_rows · size² operations.
        """
        self.passes += 1
        model = self.model(theta, precision)
        plan = Plan.of(self.source, self.n_classes, theta.size**2)
        matrix = self.workers.fold(self.source, plan, lambda: _HessianSums(self, model)).matrix
        matrix /= self.moments.total
        return matrix

    def second_moment(self) -> np.ndarray:
        """Return the mean of x̃ x̃ᵀ over standardised features, (d, d), from enough rows to know it."""
        if self._whole is not None:
            return self._whole.second_moment()
        if self._second_moment is not None:
            return self._second_moment
        source = self._enough(max(MOMENT_ROWS, MOMENT_ROWS_PER_FEATURE * self.n_features))
        self.passes += source.n_rows / self.source.n_rows
        plan = Plan.of(source, self.n_classes, self.n_features**2)
        sums = self.workers.fold(source, plan, lambda: _SecondMomentSums(self))
        self._second_moment = sums.products / sums.total
        return self._second_moment

    def _enough(self, rows: int) -> Source:
        """Return about so many of the source's rows, evenly spread, if it can reach them; else all."""
        if isinstance(self.source, StridedSource) and self.source.n_rows >= 2 * rows:
            return self.source.every(self.source.n_rows // rows)
        return self.source

    def sampled(self, stride: int) -> Objective:
        """Return the objective of every stride-th row, in the same coordinates and with the same λ.

        Its second moments are those of all rows.
        """
        assert isinstance(self.source, StridedSource)
        source = self.source.every(stride)
        own = Moments.of(source, self.n_classes, self.workers)
        sample = Objective(
            source,
            self.n_classes,
            l2=self.l2,
            l1=self.l1,
            loss=self.loss,
            workers=self.workers,
            fit_intercept=self.fit_intercept,
            moments=replace(self.moments, class_weight=own.class_weight),
        )
        sample._whole = self._whole or self
        return sample

    def model(self, theta: np.ndarray, precision: Precision) -> _Model:
        """Return θ as the tiles need it."""
        dtype = _DTYPES[precision] if self._fits_single else np.float64
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


class _GradientSums:
    """Σ s ℓ, Σ s (p - y) (x - centre)ᵀ and Σ s (p - y) over the rows added."""

    def __init__(self, objective: Objective, model: _Model) -> None:
        self.objective = objective
        self.model = model
        self.loss = 0.0
        shape = (objective.n_outputs, objective.n_features)
        # Products of sparse features come feature by feature: sums in the same order in memory.
        self.products = np.zeros(shape[::-1]).T if objective.source.is_sparse else np.zeros(shape)
        self.residuals = np.zeros(objective.n_outputs)

    def add(self, block: Block) -> None:
        with self.objective.scratch() as scratch:
            features = tile_features(block.features, self.model.weights.dtype, self.model.centre, scratch)
            logits = tile_logits(features, self.model.weights, self.model.bias, self.objective.n_classes, scratch)
            losses = scratch.get("losses", (len(block),), np.float64)
            self.objective.loss.tile(logits, block.targets, block.weights, losses)
            self.loss += float(losses.sum() if block.weights is None else losses @ block.weights)
            residuals = logits if self.objective.n_outputs > 1 else logits[:, 1:]
            self.residuals += np.ones(len(block), residuals.dtype) @ residuals
            if isinstance(features, np.ndarray):
                products = scratch.get("products", self.products.shape, features.dtype)
                self.products += np.matmul(residuals.T, features, out=products)
            else:
                self.products += (features.T @ residuals).T

    def merge(self, later: _GradientSums) -> _GradientSums:
        self.loss += later.loss
        self.products += later.products
        self.residuals += later.residuals
        return self


def _tile_probabilities(objective: Objective, model: _Model, block: Block, scratch: Scratch) -> np.ndarray:
    """Return softmax of a tile's logits, (rows, n_classes), in scratch memory."""
    features = tile_features(block.features, model.weights.dtype, model.centre, scratch)
    logits = tile_logits(features, model.weights, model.bias, objective.n_classes, scratch)
    losses = scratch.get("losses", (len(block),), np.float64)
    native.cross_entropy_rows(logits, np.zeros(len(block), np.int64), losses, logits, None, threads=1)
    logits[:, 0] += 1  # it was p - e_0
    return logits


class _CurvatureSums:
    """Σ s p and Σ s p pᵀ over the rows added."""

    def __init__(self, objective: Objective, model: _Model) -> None:
        self.objective = objective
        self.model = model
        self.probabilities = np.zeros(objective.n_classes)
        self.squares = np.zeros((objective.n_classes, objective.n_classes))

    def add(self, block: Block) -> None:
        with self.objective.scratch() as scratch:
            p = _tile_probabilities(self.objective, self.model, block, scratch)
            if block.weights is not None:
                p *= np.sqrt(block.weights)[:, None].astype(p.dtype)
                ones = np.sqrt(block.weights).astype(p.dtype)
            else:
                ones = np.ones(len(block), p.dtype)
            self.probabilities += ones @ p
            self.squares += p.T @ p

    def merge(self, later: _CurvatureSums) -> _CurvatureSums:
        self.probabilities += later.probabilities
        self.squares += later.squares
        return self


class _HessianSums:
    """Σ s (diag p - p pᵀ) ⊗ x̃ x̃ᵀ, x̃ standardised features with a 1 appended, over the rows added."""

    def __init__(self, objective: Objective, model: _Model) -> None:
        self.objective = objective
        self.model = model
        size = objective.n_outputs * (objective.n_features + 1)
        self.matrix = np.zeros((size, size))

    def add(self, block: Block) -> None:
        objective = self.objective
        width, dtype = objective.n_features + 1, self.model.weights.dtype
        with objective.scratch() as scratch:
            p = _tile_probabilities(objective, self.model, block, scratch)[:, -objective.n_outputs :]
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

    def merge(self, later: _HessianSums) -> _HessianSums:
        self.matrix += later.matrix
        return self


class _SecondMomentSums:
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

    def merge(self, later: _SecondMomentSums) -> _SecondMomentSums:
        self.products += later.products
        self.total += later.total
        return self
