"""The objective against its formula in mpmath, and the certificate against brute force."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.sparse

from softmaxes.objective import Objective
from softmaxes.solvers import Certifier
from softmaxes.sources import Arrays, Sparse, passes
from softmaxes.sources.moments import Moments
from softmaxes.sources.passes import Workers

N, D = 40, 3


@pytest.fixture(params=["held", "tiled"], autouse=True)
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take both roads: few rows are held standardised, more are read tile by tile."""
    if request.param == "tiled":
        monkeypatch.setattr(passes, "SHARED_VALUES", 0)
        monkeypatch.setattr("softmaxes.objective.objective.SPARSE_HELD", 0)


def _problem(n_classes: int, *, offset: float = 0.0, dtype: type = np.float64) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(n_classes)
    features = (rng.standard_normal((N, D)) * [1.0, 10.0, 0.1] + offset).astype(dtype)
    codes = rng.integers(n_classes, size=N)
    codes[:n_classes] = np.arange(n_classes)
    outputs = 1 if n_classes == 2 else n_classes
    return features, codes, rng.random(N), rng.standard_normal((outputs, D)), rng.standard_normal(outputs)


def _exact(features, codes, weights, coef, intercept, l2: float):
    """Return value, gradient in W and gradient in b as the definition says, with 40 digits."""
    with mpmath.workdps(40):
        rows = [[mpmath.mpf(float(x)) for x in row] for row in features]
        n_outputs = len(coef)
        value = mpmath.mpf(0)
        by_weight = [[mpmath.mpf(0)] * D for _ in range(n_outputs)]
        by_bias = [mpmath.mpf(0)] * n_outputs
        total = mpmath.fsum(float(w) for w in weights)
        for x, y, s in zip(rows, codes, weights, strict=True):
            z = [mpmath.fdot(map(float, w), x) + float(b) for w, b in zip(coef, intercept, strict=True)]
            z = [mpmath.mpf(0), *z] if n_outputs == 1 else z
            sums = mpmath.fsum(map(mpmath.exp, z))
            value += float(s) * (mpmath.log(sums) - z[y]) / total
            residual = [mpmath.exp(zk) / sums - (k == y) for k, zk in enumerate(z)]
            for k, r in enumerate(residual[1:] if n_outputs == 1 else residual):
                by_bias[k] += float(s) * r / total
                for j in range(D):
                    by_weight[k][j] += float(s) * r * x[j] / total
        for k in range(n_outputs):
            for j in range(D):
                value += l2 * float(coef[k, j]) ** 2 / 2
                by_weight[k][j] += l2 * float(coef[k, j])
        as_array = lambda m: np.array([[float(v) for v in row] for row in m])  # noqa: E731
        return float(value), as_array(by_weight), np.array([float(v) for v in by_bias])


def _in_given_coordinates(objective: Objective, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    by_bias = gradient[:, -1]
    return gradient[:, :-1] / objective.scale + np.multiply.outer(by_bias, objective.shift), by_bias


@pytest.mark.parametrize("n_classes", [2, 3, 6])
@pytest.mark.parametrize("kind", ["dense", "fortran", "sparse", "float32"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_value_and_gradient_are_the_formula(n_classes: int, kind: str, weighted: bool, offset: float) -> None:
    features, codes, weights, coef, intercept = _problem(
        n_classes, offset=offset, dtype=np.float32 if kind == "float32" else np.float64
    )
    intercept = intercept - coef @ np.full(D, offset)
    given = weights if weighted else None
    source = Sparse(scipy.sparse.csr_array(features), codes, given) if kind == "sparse" else Arrays(
        np.asfortranarray(features) if kind == "fortran" else features, codes, given
    )  # fmt: skip
    value, by_weight, by_bias = _exact(features, codes, weights if weighted else np.ones(N), coef, intercept, l2=0.1)
    # Relative to what is summed: residuals are at most 1, features at most their largest.
    size = np.abs(features).max()
    with Workers(1) as workers:
        objective = Objective(source, n_classes, l2=0.1, workers=workers)
        theta = objective.theta(coef, intercept)
        np.testing.assert_allclose(objective.coefficients(theta)[0], coef, rtol=1e-14)
        for precision, eps in (("single", 2.0**-24), ("double", 2.0**-53)):
            if kind == "sparse" and precision == "single" and offset:
                continue  # float32 products of uncentred sparse features: bounded by the next test
            evaluation = objective.evaluate(theta, precision)
            found = _in_given_coordinates(objective, evaluation.gradient)
            logits_error = 60 * eps * (10 + offset if precision == "double" or kind == "sparse" else 10)
            assert abs(evaluation.value - value) <= logits_error * max(1, value)
            np.testing.assert_allclose(found[0], by_weight, rtol=0, atol=2 * logits_error * (size + 1))
            np.testing.assert_allclose(found[1], by_bias, rtol=0, atol=2 * logits_error)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_bound_is_never_below_the_distance_and_tight_where_it_should_be(n_classes: int, fit_intercept: bool) -> None:
    from scipy.optimize import minimize

    features, codes, weights, _, _ = _problem(n_classes)
    with Workers(1) as workers:
        objective = Objective(
            Arrays(features, codes, weights), n_classes, l2=0.05, workers=workers, fit_intercept=fit_intercept
        )
        start = objective.start()
        certifier = Certifier(objective, objective.evaluate(start, "double"))

        def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
            evaluation = objective.evaluate(flat.reshape(start.shape), "double")
            return evaluation.value, evaluation.gradient.ravel()

        best = minimize(value_and_gradient, start.ravel(), jac=True, method="BFGS", options={"gtol": 1e-10})
        optimum = best.x.reshape(start.shape)
        rng = np.random.default_rng(1)
        for away in (1.0, 0.1, 1e-2, 1e-3, 1e-5):
            for _ in range(20):
                moved = away * rng.standard_normal(start.shape)
                moved[:, -1] *= fit_intercept
                evaluation = objective.evaluate(optimum + moved, "double")
                bound = certifier.bound(evaluation)
                assert bound >= evaluation.value - best.fun - 1e-14
        assert certifier.bound(objective.evaluate(optimum, "double")) < 1e-8


def test_a_bound_without_its_correction_for_the_intercept_would_be_wrong() -> None:
    """With W at its optimum and the intercept off, |grad_W|² / 2λ alone understates the distance."""
    features, codes, weights, _, _ = _problem(3)
    with Workers(1) as workers:
        objective = Objective(Arrays(features, codes, weights), 3, l2=1e3, workers=workers)
        certifier = Certifier(objective, objective.evaluate(objective.start(), "double"))
        away = objective.evaluate(
            objective.start() + np.array([[0, 0, 0, 0.3], [0, 0, 0, -0.3], [0, 0, 0, 0]]), "double"
        )
        at_start = objective.evaluate(objective.start(), "double")
        naive = float(np.sum((away.gradient[:, :-1] / objective.scale) ** 2)) / 2e3
        assert naive < away.value - at_start.value < certifier.bound(away)


def test_moments_are_the_weighted_ones_and_constants_have_no_spread() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((500, 3)) + np.array([1e6, 0, -3])
    features[:, 1] = 0.1
    weights = rng.random(500)
    with Workers(1) as workers:
        moments = Moments.of(Arrays(features, np.zeros(500, int), weights), 2, workers)
    mean = np.average(features, axis=0, weights=weights)
    deviation = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weights))
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(moments.deviation[[0, 2]], deviation[[0, 2]], rtol=1e-8)
    assert moments.deviation[1] == 0


@pytest.mark.parametrize("n_classes", [2, 4])
def test_curvature_without_coefficients_needs_no_pass(n_classes: int) -> None:
    features, codes, weights, *_ = _problem(n_classes)
    with Workers(1) as workers:
        objective = Objective(Arrays(features, codes, weights), n_classes, l2=0.1, workers=workers)
        theta = objective.start()
        known = objective.class_curvature(theta)
        assert objective.passes == 0
        theta[:, 0] = 1e-12  # a pass that meets the same probabilities, each rounded to float32, in products of two
        np.testing.assert_allclose(objective.class_curvature(theta), known, rtol=0, atol=2 * 2.0**-24)
        assert objective.passes == 1
