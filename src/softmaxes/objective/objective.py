"""Value, gradient and curvature of the training objective over one source: see `softmaxes.objective`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from softmaxes.exponential import softmax
from softmaxes.objective.direct import Direct
from softmaxes.objective.row_losses import RowLoss, SoftmaxLoss
from softmaxes.objective.sums import (
    CurvatureSums,
    GradientSums,
    HessianSums,
    Model,
    SecondMomentSums,
    tile_probabilities,
)
from softmaxes.sources.base import IndexedSource, Source, StridedSource
from softmaxes.sources.moments import ClassSums, Moments
from softmaxes.sources.passes import Plan, Workers
from softmaxes.sources.tiles import Scratch

Precision = Literal["single", "double"]

_DTYPES: dict[str, Any] = {"single": np.float32, "double": np.float64}

MOMENT_ROWS = 20_000
MOMENT_ROWS_PER_FEATURE = 30
"""Rows from which second moments are taken for a preconditioner: the larger of the two."""

CURVATURE_ROWS_PER_CLASS = 4
CURVATURE_WORK = 2e8
"""With many classes their curvature is taken from fewer rows: so many operations, but not less than that per class."""

SPARSE_HELD = 1 << 16
"""The most zeros and others of a sparse source whose rows are held all the same: its products cost microseconds."""

SETTLED = 0.01
"""The part of a Hessian's trace that a preconditioner can do without: on digits it stands in half of the rows."""

CACHED = 1 << 15
"""Coefficients that are looked at together: all that is made of so many fits a core's cache."""

_OFFSET_LIMIT = 32.0
"""Means above this many standard deviations are subtracted from each tile before the product, not after it."""


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
        self._total = self.moments.total
        self.n_features = source.n_features
        self.n_outputs = 1 if n_classes == 2 and self.loss.shift_invariant else n_classes
        self.plan = Plan.of(source, n_classes)
        self.passes = 0.0
        self._whole: Objective | None = None
        self._samples: dict[int, Objective] = {}
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

    def __getstate__(self) -> dict[str, Any]:
        """Return what sums need where their tiles are: no rows that are held, no samples and no sums of the classes."""
        moments = replace(self.moments, class_sums=self.moments.class_sums[:0])
        return {**vars(self), "direct": None, "_samples": {}, "moments": moments}

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
        return theta - theta.sum(axis=0) / len(theta) if symmetric else theta

    def gradient_as_given(self, evaluation: Evaluation) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradient with respect to W and b, of the features as given."""
        by_bias = evaluation.gradient[:, -1]
        return evaluation.gradient[:, :-1] / self.scale + np.multiply.outer(by_bias, self.shift), by_bias

    # ---- value and gradient -----------------------------------------------------------------------------------

    @cached_property
    def direct(self) -> Direct | None:
        """Return the rows held standardised, if they are few; else None."""
        source = self.source
        many = source.n_rows * source.n_features > SPARSE_HELD if source.is_sparse else self.plan.shared
        return None if many else Direct(self)

    def evaluate(self, theta: np.ndarray, precision: Precision = "single") -> Evaluation:
        """Return value and gradient at θ, in one pass."""
        self.passes += 1
        if self.direct is not None:
            loss, gradient = self.direct.gradient_sums(theta, _DTYPES[precision])
            loss /= self._total
            gradient /= self._total
        else:
            loss, gradient = self._mean_over_tiles(theta, precision)
        if self.n_outputs > 1 and self.loss.shift_invariant:
            # Moving all classes together changes no probability: along it the sums are rounding, and θ would drift.
            gradient -= gradient.sum(axis=0) / len(gradient)
        value = loss
        for some in self.outputs_at_once():
            weights = theta[some, :-1] * self.scale
            value += self.penalty(weights)
            weights *= self.l2 * self.scale
            gradient[some, :-1] += weights
        return Evaluation(theta, loss, value, gradient, precision)

    def outputs_at_once(self) -> Iterator[slice]:
        """Yield all outputs in slices whose coefficients are few enough for what is made of them to stay in a cache."""
        rows = max(1, CACHED // self.n_features)
        for start in range(0, self.n_outputs, rows):
            yield slice(start, start + rows)

    def _mean_over_tiles(self, theta: np.ndarray, precision: Precision) -> tuple[float, np.ndarray]:
        """Return the mean loss and its gradient, (k, d + 1), at θ."""
        model = self.model(theta, precision)
        sums = self.workers.fold(self.source, self.plan, lambda: GradientSums(self, model))
        gradient = np.empty_like(theta)
        gradient[:, :-1] = sums.products
        for some in self.outputs_at_once():
            gradient[some, :-1] -= np.multiply.outer(sums.residuals[some], model.unshifted)
            gradient[some, :-1] *= self.scale / self._total
        gradient[:, -1] = sums.residuals / self._total if self.fit_intercept else 0.0
        return sums.loss / self._total, gradient

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
        if not theta[:, :-1].any():  # all rows have the same probabilities
            p = softmax(np.append(0.0, theta[:, -1]) if self.n_outputs == 1 else theta[:, -1])
            of_all: np.ndarray = np.diag(p) - np.outer(p, p)
            return of_all[1:, 1:] if self.n_outputs == 1 else of_all
        total, squares = self._curvature_sums(theta)
        matrix: np.ndarray = np.diag(total / total.sum()) - squares / total.sum()
        return matrix[1:, 1:] if self.n_outputs == 1 else matrix

    def _curvature_sums(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return Σ s p and Σ s p pᵀ at θ over enough rows."""
        if self.direct is not None:
            self.passes += 1
            return self.direct.curvature_sums(theta)
        size = self.n_classes**2
        source = self._enough(
            max(min(MOMENT_ROWS, int(CURVATURE_WORK / size)), CURVATURE_ROWS_PER_CLASS * self.n_classes)
        )
        self.passes += source.n_rows / self.source.n_rows
        model = self.model(theta, "single")
        plan = Plan.of(source, self.n_classes, 2 * size)
        sums = self.workers.fold(source, plan, lambda: CurvatureSums(self, model))
        return sums.probabilities, sums.squares

    def probabilities(self, theta: np.ndarray) -> np.ndarray:
        """Return the softmax of every row at θ, (n_rows, n_classes) in float32: for samples, whose rows are few."""
        assert isinstance(self.source, IndexedSource)
        self.passes += 1
        model = self.model(theta, "single")
        p = np.empty((self.source.n_rows, self.n_classes), np.float32)
        with self.scratch() as scratch:
            for start in range(0, len(p), self.plan.tile_rows):
                block = self.source.block(start, min(start + self.plan.tile_rows, len(p)))
                p[start : start + len(block)] = tile_probabilities(self, model, block, scratch)
        return p

    def hessian(self, theta: np.ndarray, precision: Precision = "single") -> np.ndarray:
        """Return the Hessian of the data term at θ, (k (d + 1), k (d + 1)), in one pass.

        Only for few parameters: n_rows · size² operations. "single" is for preconditioners: of few rows it is without
        those that are settled, a hundredth of its trace.
        """
        self.passes += 1
        if self.direct is not None:
            share = 1 - SETTLED if precision == "single" else 1.0
            matrix = self.direct.hessian_sums(theta, _DTYPES[precision], share)
        else:
            model = self.model(theta, precision)
            plan = Plan.of(self.source, self.n_classes, theta.size**2)
            matrix = self.workers.fold(self.source, plan, lambda: HessianSums(self, model)).matrix
        matrix /= self._total
        return matrix

    def second_moment(self) -> np.ndarray:
        """Return the mean of x̃ x̃ᵀ over standardised features, (d, d), from enough rows to know it."""
        if self._whole is not None and self.direct is None:
            return self._whole.second_moment()
        if self._second_moment is None:
            self._second_moment = self._mean_product()
        return self._second_moment

    def _mean_product(self) -> np.ndarray:
        if self.direct is not None:
            self.passes += 1
            return self.direct.second_moment_sums() / self._total
        source = self._enough(max(MOMENT_ROWS, MOMENT_ROWS_PER_FEATURE * self.n_features))
        self.passes += source.n_rows / self.source.n_rows
        plan = Plan.of(source, self.n_classes, self.n_features**2)
        sums = self.workers.fold(source, plan, lambda: SecondMomentSums(self))
        return sums.products / sums.total

    def _enough(self, rows: int) -> Source:
        """Return about so many of the source's rows, evenly spread, if it can reach them; else all."""
        if isinstance(self.source, StridedSource) and self.source.n_rows >= 2 * rows:
            return self.source.every(self.source.n_rows // rows)
        return self.source

    def sampled(self, stride: int) -> Objective:
        """Return the objective of every stride-th row, in the same coordinates and with the same λ: one a stride.

        Its second moments are its own if its rows are few, else those of all rows.
        """
        sample = self._samples.get(stride) or self._samples.setdefault(stride, self._sample(stride))
        sample.l1, sample.l2 = self.l1, self.l2
        return sample

    def _sample(self, stride: int) -> Objective:
        assert isinstance(self.source, StridedSource)
        source = self.source.every(stride)
        plan = Plan.of(source, self.n_classes)
        own = self.workers.fold(source, plan, lambda: ClassSums(self.n_classes))
        sample = Objective(
            source,
            self.n_classes,
            l2=self.l2,
            l1=self.l1,
            loss=self.loss,
            workers=self.workers,
            fit_intercept=self.fit_intercept,
            moments=replace(self.moments, class_weight=own.weight),
        )
        sample._whole = self._whole or self
        return sample

    def model(self, theta: np.ndarray, precision: Precision) -> Model:
        """Return θ as the tiles need it."""
        dtype = _DTYPES[precision] if self._fits_single else np.float64
        weights = theta[:, :-1] * self.scale
        unshifted = np.zeros(self.n_features) if self._centre_tiles else self.shift
        return Model(
            np.ascontiguousarray(weights.T, dtype=dtype),
            (theta[:, -1] - weights @ unshifted).astype(dtype),
            self.shift if self._centre_tiles else None,
            unshifted,
        )
