"""Rows that come block by block: incremental Newton for `partial_fit`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from softmaxes.objective import Objective
from softmaxes.sources import Arrays, Sparse
from softmaxes.sources.moments import Moments
from softmaxes.sources.passes import Workers

DENSE_SIZE = 1500
"""The most parameters for which the running Hessian is kept whole; above, its diagonal."""


FIRST_STEPS = 4
"""Newton steps on the first block: a stream that starts at its optimum soon has what it would have missed."""


@dataclass(frozen=True, eq=False)
class Stream:
    """What is known after some blocks: θ, the running mean of the Hessian, and how many rows there are.

    After a new block of weight s, with T the weight of all blocks so far and ρ = 2 s / (T + 2 s),

        P <- (1 - ρ) P + ρ H(θ),      θ <- θ - ρ (P + λ D)⁻¹ (g(θ) + λ D θ),      λ = 1 / (C S)

    g and H being the mean gradient and Hessian of the block's loss. Steps of 1/t with the inverse Hessian are as good
    as the rows allow; twice as much forgets the start faster. On the first block whole Newton steps are made; any step
    that would raise the block's own objective is halved.

    Blocks that come again (known by a digest of their bytes) are not new rows: S stays. Their gradients and Hessians
    are gathered at one θ until every block has come again, and then a Newton step is made on the sum: passing over
    the same rows again and again is Newton's method on all of them.
    """

    n_classes: int
    fit_intercept: bool
    n_blocks: int = 0
    distinct: float = 0.0
    digests: frozenset[bytes] = frozenset()
    moments: Moments | None = None
    theta: np.ndarray | None = None
    curvature: np.ndarray | None = None
    frame: tuple[np.ndarray, np.ndarray] | None = None
    again: _Again | None = None

    def after(self, source: Arrays | Sparse, C: float, workers: Workers) -> Stream:
        """Return the stream after one more block."""
        own = Moments.of(source, self.n_classes, workers)
        digest = _digest(source)
        known = digest in self.digests
        distinct = self.distinct + (0.0 if known else own.total)
        # The first block's standardisation is kept: it is a change of variables, and any will do.
        frame = replace(self.moments or own, class_weight=own.class_weight)
        objective = Objective(
            source,
            self.n_classes,
            l2=1.0 / (C * distinct),
            workers=workers,
            fit_intercept=self.fit_intercept,
            moments=frame,
        )
        stream = replace(
            self,
            n_blocks=self.n_blocks + 1,
            distinct=distinct,
            digests=self.digests | {digest},
            moments=self.moments or own,
            theta=np.zeros((objective.n_outputs, objective.n_features + 1)) if self.theta is None else self.theta,
            frame=(objective.scale, objective.shift),
        )
        if known and objective.n_outputs * (objective.n_features + 1) <= DENSE_SIZE:
            return stream._revisited(objective, digest)
        met = stream._met(objective)
        for _ in range(0 if self.theta is not None else FIRST_STEPS - 1):
            met = replace(met, curvature=None)._met(objective)
        return met

    def _met(self, objective: Objective) -> Stream:
        """Return the stream after a step on a block by itself."""
        assert self.theta is not None
        weight = objective.moments.total
        share = 1.0 if self.curvature is None else 2 * weight / (self.distinct + weight)
        here = objective.evaluate(self.theta, "double")
        curvature = _curvature(objective, self.theta)
        if self.curvature is not None:
            curvature = (1 - share) * self.curvature + share * curvature
        step = share * objective.symmetric_part(_newton(objective, curvature, here.gradient))
        for _ in range(20):
            if objective.evaluate(self.theta - step, "double").value <= here.value:
                break
            step = step / 2
        return replace(self, theta=self.theta - step, curvature=curvature, again=None)

    def _revisited(self, objective: Objective, digest: bytes) -> Stream:
        """Return the stream after gathering a known block, and a Newton step once all have been gathered."""
        assert self.theta is not None
        here = objective.evaluate(self.theta, "double")
        share = objective.moments.total / self.distinct
        again = (self.again or _Again(self.digests)).gather(
            digest, share * here.value, share * here.gradient, share * objective.hessian(self.theta, "double")
        )
        if again.missing:
            return replace(self, again=again)
        if again.value > again.last_value:  # the last step led up: half of it
            step = again.last_step / 2
            theta = self.theta + step
            return replace(
                self, theta=theta, again=replace(_Again(self.digests), last_value=again.last_value, last_step=step)
            )
        step = objective.symmetric_part(_newton(objective, again.curvature, again.gradient))
        following = replace(_Again(self.digests), last_value=again.value, last_step=step)
        return replace(self, theta=self.theta - step, curvature=again.curvature, again=following)

    def coefficients(self) -> tuple[np.ndarray, np.ndarray]:
        """Return W and b of the features as given."""
        assert self.theta is not None
        assert self.frame is not None
        scale, shift = self.frame
        weights = self.theta[:, :-1] * scale
        return weights, self.theta[:, -1] - weights @ shift


@dataclass(frozen=True, eq=False)
class _Again:
    """Sums over the blocks that have come again at one θ, and the step that led there."""

    missing: frozenset[bytes]
    value: float = 0.0
    gradient: Any = 0.0
    curvature: Any = 0.0
    last_value: float = float("inf")
    last_step: Any = 0.0

    def gather(self, digest: bytes, value: float, gradient: np.ndarray, curvature: np.ndarray) -> _Again:
        """Return the sums with one more block; a block that came twice counts once."""
        if digest not in self.missing:
            return self
        return replace(
            self,
            missing=self.missing - {digest},
            value=self.value + value,
            gradient=self.gradient + gradient,
            curvature=self.curvature + curvature,
        )


def _curvature(objective: Objective, theta: np.ndarray) -> np.ndarray:
    """Return the mean Hessian of the block's loss, or its diagonal as if x and p were independent."""
    if theta.size <= DENSE_SIZE:
        return objective.hessian(theta, "double")
    diagonal = np.diag(objective.class_curvature(theta))
    return np.repeat(diagonal[:, None], theta.shape[1], axis=1)


def _newton(objective: Objective, curvature: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return (P + λ D)⁻¹ gradient."""
    penalty = np.append(objective.l2 * objective.scale**2, 0.0)
    if curvature.shape == gradient.shape:
        ridge = 1e-6 * float(curvature.mean())
        step: np.ndarray = gradient / (curvature + penalty + ridge)
        return step
    matrix = curvature + np.diag(np.tile(penalty, len(gradient)))
    diagonal = np.einsum("ii->i", matrix)
    diagonal += 1e-9 * float(diagonal.mean())
    return np.linalg.solve(matrix, gradient.ravel()).reshape(gradient.shape)


def _digest(source: Arrays | Sparse) -> bytes:
    """Return a digest of a block's features, targets and weights."""
    features: Any = source.features
    parts = [features] if isinstance(features, np.ndarray) else [features.data, features.indices, features.indptr]
    parts += [part for part in (source.targets, source.weights) if part is not None]
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    return digest.digest()
