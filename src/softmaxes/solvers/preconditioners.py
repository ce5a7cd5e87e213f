"""Approximate inverse Hessians, in the standardised coordinates of `objective`.

The Hessian is the mean of (diag p - p pᵀ) ⊗ x xᵀ plus the penalty. Two approximations that can be inverted:

- **Kronecker**: mean(diag p - p pᵀ) ⊗ mean(x xᵀ), as if probabilities and features were independent. Two
  eigendecompositions, n_classes and n_features wide; exact at W = 0.
- **Diagonal**: mean p_k (1 - p_k) x_j², for features too many to square.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from softmaxes.objective import Objective
from softmaxes.sources.base import StridedSource

SHARE = 16
"""A sample is this part of all rows,"""

ROWS_PER_PARAMETER = 10
"""unless that is fewer rows than this for every parameter: its Hessian has to be near that of all rows."""


SIZE_PER_PASS = 20
"""A Hessian, formed and factored, costs about one pass over its rows for so many parameters (measured: 10 to 30)."""


class Preconditioner(Protocol):
    """A symmetric positive definite approximation of the inverse Hessian.

    to_scale: whether its size is right too, so that a step of length 1 needs no pair of the past to measure by.
    """

    @property
    def to_scale(self) -> bool: ...

    def refresh(self, theta: np.ndarray) -> None:
        """Renew the approximation at θ."""

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """Return the approximate inverse Hessian times gradient, both (k, d + 1)."""


def stride_of(objective: Objective) -> int:
    """Return the distance of the rows of a sample, 1 where rows are too few for one or can't be reached at once."""
    if not isinstance(objective.source, StridedSource):
        return 1
    n_rows, size = objective.source.n_rows, objective.n_outputs * (objective.n_features + 1)
    return max(1, n_rows // max(n_rows // SHARE, ROWS_PER_PARAMETER * size))


class Kronecker:
    """Inverse of A ⊗ S + λ diag(scale²), A (k, k) the mean of diag p - p pᵀ, S the second moment of the features.

    S and the penalty D = diag(scale²) are diagonalised together, Qᵀ (S + μ D) Q = I and Qᵀ D Q = diag θ, which is
    accurate for any spread of scales because S + μ D is a correlation matrix plus a positive diagonal.
    """

    to_scale = False

    def __init__(self, objective: Objective) -> None:
        from scipy.linalg import eigh

        second_moment = objective.second_moment()
        self._objective = objective
        self._l2 = objective.l2
        self._fit_intercept = objective.fit_intercept
        penalty = objective.scale**2
        # The shift μ only has to keep the sum definite: λ seen by the typical curvature 1/k, and never below rounding.
        shift = max(objective.l2 * max(objective.n_outputs, 4), 1e-12 / float(np.max(penalty, initial=1e-300)))
        total = second_moment + np.diag(shift * penalty + 1e-10)
        self._theta, self._basis = eigh(np.diag(penalty), total, driver="gvd")
        self._moment = np.maximum(1 - shift * self._theta, 0.0)

    def refresh(self, theta: np.ndarray) -> None:
        """Take A at θ."""
        curvature = self._objective.class_curvature(theta)
        size = len(curvature)
        if size > 1:
            # Moving all classes together is A's null direction and has no gradient: any curvature will do there but a
            # tiny one, by which rounding would be divided.
            curvature = curvature + np.trace(curvature) / size**2
        values, self._classes = np.linalg.eigh(curvature)
        top = float(values[-1])
        self._values = np.maximum(values, 1e-8 * top)
        self._denominator = np.multiply.outer(self._values, self._moment) + self._l2 * self._theta
        self._denominator = np.maximum(self._denominator, 1e-14 * top)

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        rotated = self._classes.T @ gradient
        step = np.empty_like(gradient)
        step[:, :-1] = self._classes @ (((rotated[:, :-1] @ self._basis) / self._denominator) @ self._basis.T)
        step[:, -1] = self._classes @ (rotated[:, -1] / self._values) if self._fit_intercept else 0.0
        return step


class Dense:
    """The inverse of the Hessian itself, for few parameters; at W = 0 the Kronecker product, which is exact there.

    Where rows are plenty for the parameters, the Hessian is that of a sample of them.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        stride = stride_of(objective)
        self._sample = objective.sampled(stride) if stride > 1 else objective
        self._current: Kronecker | Inverse
        self._kronecker: Kronecker | None = None

    @property
    def to_scale(self) -> bool:
        return isinstance(self._current, Inverse)

    def refresh(self, theta: np.ndarray) -> None:
        """Factor the Hessian at θ."""
        at_start = len(theta) > 1 and not theta[:, :-1].any()  # two classes: the Hessian is no larger than its factor
        if at_start:
            self._kronecker = Kronecker(self._objective)
        if self._kronecker is not None and (at_start or self._is_early(theta.size)):
            self._kronecker.refresh(theta)
            self._current = self._kronecker
        else:
            self._kronecker = None
            before = self._sample.passes
            self._current = Inverse(self._objective, self._sample.hessian(theta), 1e-7)
            if self._sample is not self._objective:
                share = self._sample.source.n_rows / self._objective.source.n_rows
                self._objective.passes += (self._sample.passes - before) * share

    def _is_early(self, size: int) -> bool:
        """Return whether the Kronecker product is kept for now."""
        return False

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        return self._current.solve(gradient)


class Late(Dense):
    """The Kronecker product until passes have cost as much as a Hessian, then `Dense`.

    What is solved before saves the Hessian; what is not has cost no more than it in vain.
    """

    def _is_early(self, size: int) -> bool:
        return self._objective.passes < size / (SIZE_PER_PASS * stride_of(self._objective))


class Inverse:
    """The inverse of a Hessian of the data term plus that of the penalty, by its Cholesky factor.

    Moving all classes together changes nothing but the penalty, and steps are symmetric: their mean over the classes is
    0. So of k > 1 classes the first is left to the others, which makes the matrix smaller and definite.
    """

    def __init__(self, objective: Objective, matrix: np.ndarray, ridge: float) -> None:
        """matrix: (k (d + 1), k (d + 1)), overwritten. ridge: the least share of its mean diagonal to add, for sums
        that are rounded.
        """
        k, width = objective.n_outputs, objective.n_features + 1
        penalty = np.zeros(width)
        np.multiply(objective.l2, objective.scale**2, out=penalty[:-1])
        np.einsum("ijij->ij", matrix.reshape(k, width, k, width))[...] += penalty
        if k > 1:
            matrix = matrix[width:, width:]
            np.einsum("ijkj->ikj", matrix.reshape(k - 1, width, k - 1, width))[...] -= penalty / k
        self._factor = _factored(matrix, ridge)

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        from scipy.linalg.lapack import dpotrs

        others = gradient[1:] - gradient.mean(axis=0) if len(gradient) > 1 else gradient
        step = np.zeros_like(gradient)
        step[-len(others) :] = dpotrs(self._factor, others.ravel(), lower=1)[0].reshape(others.shape)
        return step - step.mean(axis=0) if len(gradient) > 1 else step


def _factored(matrix: np.ndarray, ridge: float) -> np.ndarray:
    """Return the Cholesky factor of matrix, which is overwritten, plus the least ridge that makes it definite."""
    from scipy.linalg.lapack import dpotrf

    diagonal = np.einsum("ii->i", matrix)
    mean = float(diagonal.sum()) / len(diagonal)
    while ridge <= 1e-3:
        diagonal += ridge * mean
        factor, failed = dpotrf(matrix.T, lower=1, clean=0)
        if not failed:
            return factor  # type: ignore[no-any-return]
        ridge *= 10
    return dpotrf(np.diag(diagonal), lower=1)[0]  # type: ignore[no-any-return]


class Diagonal:
    """Inverse of diag(mean p_k (1 - p_k) x̃_j² + λ scale_j²); with standardised features the mean of x̃² is 1."""

    to_scale = False

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._penalty = objective.l2 * objective.scale**2
        self._moment = np.where(objective.moments.deviation > 0, 1.0, 0.0)
        if not objective.fit_intercept:
            self._moment = self._moment * (1 + (objective.moments.mean * objective.scale) ** 2)

    def refresh(self, theta: np.ndarray) -> None:
        """Take A at θ, of which the diagonal counts."""
        curvature = self._objective.class_curvature(theta)
        diagonal = np.maximum(np.diag(curvature), 1e-8 * float(np.max(np.diag(curvature))))
        self._denominator = np.multiply.outer(diagonal, np.append(self._moment, 1.0))
        self._denominator[:, :-1] += self._penalty
        np.maximum(self._denominator, 1e-14, out=self._denominator)

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        step: np.ndarray = gradient / self._denominator
        return step


PRECONDITIONERS: dict[str, Callable[[Objective], Preconditioner]] = {
    "dense": Dense,
    "late": Late,
    "kronecker": Kronecker,
    "diagonal": Diagonal,
}
