"""How far a coefficient could be off: standard errors from the curvature of the objective at its minimum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.exponential import softmax

__all__ = ["standard_errors"]

# Parameters up to which the whole Hessian is inverted, and the largest factor of its Kronecker approximation.
EXACT = 1_500
LARGEST_FACTOR = 2_000


def standard_errors(classifier: Any, blocks: Iterable[Any]) -> NDArray[np.float64] | None:
    """Return the standard error of each coefficient, shaped like `classifier.coef_`, or None if there is no telling.

    The objective C sum_i w_i CE_i + |W|^2 / 2, divided by C, is minus the logarithm of a posterior density; its Hessian
    at the minimum is H = sum_i w_i (diag p_i - p_i p_i^T) (x) x_i x_i^T + I/C, with a 1 appended to each x for the
    unpenalised intercept, and the errors are the roots of the diagonal of H^-1 (Laplace's approximation). Up to 1500
    parameters H is inverted as it is; beyond, it is approximated by the Kronecker product of its mean class part and
    its feature part, with up to 2000 classes and features. A penalty with an L1 part, or another map than softmax, has
    no such curvature.

    Parameters
    ----------
    classifier : a fitted SoftmaxClassifier
    blocks : iterable of X, or of (X, sample_weight)
        The rows it was trained on; X dense or scipy.sparse.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from softmaxes.classifier import SoftmaxClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> fitted = SoftmaxClassifier().fit(X, y)
    >>> standard_errors(fitted, [X]).shape
    (3, 4)
    """
    coef = np.asarray(classifier.coef_, np.float64)
    intercept = np.broadcast_to(np.asarray(classifier.intercept_, np.float64), len(coef))
    name = getattr(classifier, "map", "softmax")
    if (name != "softmax" and type(name).__name__ != "Softmax") or getattr(classifier, "l1_ratio", 0.0):
        return None
    n, d = coef.shape
    curvature = _Exact(n, d + 1) if n * (d + 1) <= EXACT else _Kronecker(n, d + 1)
    if max(n, d + 1) > LARGEST_FACTOR:
        return None
    for block in blocks:
        X, weight = block if isinstance(block, tuple) else (block, None)
        X = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
        X = np.column_stack([X.astype(np.float64), np.ones(len(X))])
        logits = X[:, :-1] @ coef.T + intercept
        # Two classes share one row of coefficients: the second class against the first.
        p = softmax(np.column_stack([np.zeros(len(X)), logits]), axis=1)[:, 1:] if n == 1 else softmax(logits, axis=1)
        curvature.add(X, p, np.ones(len(X)) if weight is None else np.asarray(weight, np.float64))
    penalty = 0.0 if np.inf == classifier.C else 1.0 / float(classifier.C)
    return np.sqrt(curvature.variances(penalty)[:, :-1])


class _Exact:
    """The whole Hessian, (n d, n d), class by class."""

    def __init__(self, n: int, d: int) -> None:
        self.hessian = np.zeros((n, d, n, d))

    def add(self, X: NDArray[np.float64], p: NDArray[np.float64], weight: NDArray[np.float64]) -> None:
        for k in range(p.shape[1]):
            for j in range(k + 1):
                part = X.T @ (X * (weight * p[:, k] * (float(k == j) - p[:, j]))[:, None])
                self.hessian[k, :, j] += part
                if j != k:
                    self.hessian[j, :, k] += part.T

    def variances(self, penalty: float) -> NDArray[np.float64]:
        n, d = self.hessian.shape[:2]
        hessian = self.hessian.reshape(n * d, n * d)
        ridge = np.full((n, d), penalty)
        # A shift common to all classes changes nothing: along it the curvature is the penalty's, or none. The
        # pseudo-inverse leaves such directions out.
        ridge[:, -1] = 0.0
        inverse = np.linalg.pinv(hessian + np.diag(ridge.ravel()), rcond=1e-12, hermitian=True)
        variances: NDArray[np.float64] = np.maximum(np.diagonal(inverse), 0.0).reshape(n, d)
        return variances


class _Kronecker:
    """The Hessian as sum of weights times (mean class part) (x) (mean of x x^T)."""

    def __init__(self, n: int, d: int) -> None:
        self.classes, self.features, self.weight = np.zeros((n, n)), np.zeros((d, d)), 0.0

    def add(self, X: NDArray[np.float64], p: NDArray[np.float64], weight: NDArray[np.float64]) -> None:
        self.classes += np.diag(weight @ p) - p.T @ (p * weight[:, None])
        self.features += X.T @ (X * weight[:, None])
        self.weight += float(weight.sum())

    def variances(self, penalty: float) -> NDArray[np.float64]:
        a, u = np.linalg.eigh(self.classes)
        s, v = np.linalg.eigh(self.features / self.weight)
        curvature = np.outer(np.maximum(a, 0.0), np.maximum(s, 0.0)) + penalty
        inverse = np.divide(1.0, curvature, out=np.zeros_like(curvature), where=curvature > 1e-12 * curvature.max())
        variances: NDArray[np.float64] = (u**2) @ inverse @ (v**2).T
        return variances
