"""What the first pass tells: moments, the sums of the classes, and the objective where every solver begins."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from softmaxes.maps import member
from softmaxes.objective import MemberLoss, Objective, at_start
from softmaxes.sources import Arrays, Source, Sparse, tiles
from softmaxes.sources.moments import Moments
from softmaxes.sources.passes import Workers

N, D = 300, 4
KINDS = ["dense", "float32", "weights", "probabilities", "sparse", "sparse probabilities"]


def _source(kind: str, n_classes: int) -> Source:
    rng = np.random.default_rng(n_classes)
    X = rng.standard_normal((N, D)) * [1e-3, 1.0, 30.0, 1e3] + [1.0, 0.0, 100.0, -1e3]
    y = rng.integers(0, n_classes, N)
    y[:2] = 0, n_classes - 1
    if "probabilities" in kind:
        targets, weights = rng.dirichlet(np.ones(n_classes), N), rng.random(N)
    else:
        targets, weights = y, rng.random(N) if kind in ("weights", "sparse") else None
    if "sparse" in kind:
        return Sparse(scipy.sparse.csr_array(X * (rng.random((N, D)) < 0.5)), targets, weights)
    return Arrays(X.astype(np.float32) if kind == "float32" else X, targets, weights)


@pytest.mark.parametrize("n_classes", [2, 5, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_sums_of_the_classes_are_the_weighted_ones(kind: str, n_classes: int) -> None:
    source = _source(kind, n_classes)
    X = source.features.toarray() if source.is_sparse else source.features.astype(float)
    member_of = source.targets if source.targets.ndim == 2 else np.eye(n_classes)[source.targets]
    weights = np.ones(N) if source.weights is None else source.weights
    mean = np.average(X, axis=0, weights=weights)
    expected = (member_of * weights[:, None]).T @ (X - mean)
    with Workers(1) as workers:
        found = Moments.of(source, n_classes, workers)
    # Sums of N numbers in the precision of the features, less a mean that is one too.
    size = np.abs(X).max(axis=0)
    np.testing.assert_allclose(
        found.class_sums / size, expected / size, rtol=0, atol=2 * N * np.finfo(source.dtype).eps
    )
    np.testing.assert_allclose(found.class_weight, weights @ member_of, rtol=1e-14)  # fewer than N roundings of 1e-16


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_moments_tell_the_objective_at_the_start(kind: str, n_classes: int, fit_intercept: bool) -> None:
    with Workers(1) as workers:
        source = _source(kind, n_classes)
        objective = Objective(source, n_classes, l2=0.0, workers=workers, fit_intercept=fit_intercept)
        told = at_start(objective)
        assert objective.passes == 0
        found = objective.evaluate(told.theta, "double")
        # A mean of N positive losses: a rounding for each.
        np.testing.assert_allclose([told.loss, told.value], [found.loss, found.value], rtol=N * 2.0**-53)
        # Means of N terms of about 1, or of x over its spread where nothing is centred: under half a unit for each.
        tolerance = 100 * np.finfo(source.dtype).eps * (1 + np.abs(objective.moments.mean * objective.scale).max())
        np.testing.assert_allclose(told.gradient, found.gradient, rtol=0, atol=tolerance)


def test_other_losses_are_evaluated_at_the_start() -> None:
    with Workers(1) as workers:
        loss = MemberLoss(member("sparsemax"))
        objective = Objective(_source("dense", 3), 3, l2=0.0, workers=workers, loss=loss)
        told = at_start(objective)
        assert objective.passes == 1
        np.testing.assert_array_equal(told.gradient, objective.evaluate(objective.start()).gradient)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "d", "k"), [(700, 3, 1), (700, 100, 20), (1024, 40, 30), (100, 200, 90), (64, 5, 2)])
def test_products_in_small_batches_are_the_products(rows: int, d: int, k: int, dtype: type) -> None:
    rng = np.random.default_rng(rows + d)
    left, weights = rng.standard_normal((rows, k)).astype(dtype), rng.standard_normal((d, k)).astype(dtype)
    wide = rng.standard_normal((2 * rows, d)).astype(dtype)
    for features in (wide[:rows], wide[::2], np.asfortranarray(wide[:rows])):
        x = features.astype(np.longdouble)
        eps = np.finfo(dtype).eps
        found = tiles.tile_products(left, features, tiles.Scratch())
        assert np.all(np.abs(found - left.T.astype(x.dtype) @ x) <= rows * eps * (np.abs(left).T @ np.abs(x)))
        bias = np.arange(k).astype(dtype)
        logits = tiles.tile_logits(features, weights, bias, max(k, 2), tiles.Scratch())[:, -k:]
        exact = x @ weights.astype(x.dtype) + bias
        assert np.all(np.abs(logits - exact) <= (d + 1) * eps * (np.abs(x) @ np.abs(weights) + bias))
