"""Solvers: each reaches the optimum that brute force finds, says how near it is, and stays frozen."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
from scipy.optimize import minimize
from sklearn.datasets import load_iris

from softmaxes.classifier import SoftmaxClassifier
from softmaxes.maps import FAMILY, Hardmax, MinShift, RegularisedArgmax, member
from softmaxes.objective import Evaluation, MemberLoss, Objective, SoftmaxLoss, at_start
from softmaxes.objective.objective import SETTLED
from softmaxes.solvers import (
    LBFGS,
    NAMED,
    OWLQN,
    Certifier,
    GradientDescent,
    Newton,
    Progressive,
    Record,
    Stopping,
    choose,
)
from softmaxes.solvers.linesearch import search
from softmaxes.solvers.preconditioners import PRECONDITIONERS, SHARE, SIZE_PER_PASS, Dense, Kronecker, Late, stride_of
from softmaxes.solvers.sampled import ACCURACY, Sampled
from softmaxes.sources import Arrays, Sparse, passes
from softmaxes.sources.passes import Workers


@pytest.fixture(params=["held", "tiled"], autouse=True)
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take both roads: few rows are held standardised, more are read tile by tile."""
    if request.param == "tiled":
        monkeypatch.setattr(passes, "SHARED_VALUES", 0)
        monkeypatch.setattr("softmaxes.objective.objective.SPARSE_HELD", 0)


def _data(n_classes: int = 3, scales: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n_classes)
    X = rng.standard_normal((120, 4)) * (np.array([1e-3, 1.0, 30.0, 1e3]) if scales else 1.0)
    logits = (X / X.std(axis=0)) @ rng.standard_normal((4, n_classes))
    return X, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1), rng.random(120)


def _least(X: np.ndarray, y: np.ndarray, s: np.ndarray, n_classes: int, l1: float, l2: float) -> float:
    """Return the least value of the objective from its definition, by SciPy.

    An L1 term is made smooth by splitting W into its positive and negative parts, both >= 0.
    """
    k, d = (1 if n_classes == 2 else n_classes), X.shape[1]
    onehot = np.eye(n_classes)[y]

    def loss(W: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        Z = X @ W.T + b
        Z = np.column_stack([np.zeros(len(Z)), Z]) if k == 1 else Z
        top = Z.max(axis=1, keepdims=True)
        E = np.exp(Z - top)
        value = s @ (np.log(E.sum(axis=1)) + top[:, 0] - Z[np.arange(len(y)), y]) / s.sum()
        R = (s / s.sum())[:, None] * (E / E.sum(axis=1, keepdims=True) - onehot)
        R = R[:, -k:]
        return value, R.T @ X, R.sum(axis=0)

    def split(flat: np.ndarray) -> tuple[float, np.ndarray]:
        plus, minus, b = flat[: k * d].reshape(k, d), flat[k * d : 2 * k * d].reshape(k, d), flat[2 * k * d :]
        W = plus - minus
        value, gW, gb = loss(W, b)
        gW = gW + l2 * W
        value += 0.5 * l2 * np.sum(W * W) + l1 * (plus.sum() + minus.sum())
        return value, np.concatenate([(gW + l1).ravel(), (l1 - gW).ravel(), gb])

    bounds = [(0, None)] * (2 * k * d) + [(None, None)] * k
    options = {"maxiter": 20000, "maxfun": 200000, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 50}
    return float(
        minimize(split, np.zeros(2 * k * d + k), jac=True, method="L-BFGS-B", bounds=bounds, options=options).fun
    )


def _solve(solver, X, y, s, n_classes, l1, l2, *, tol=1e-9, max_iter=2000, sparse=False, loss=None):
    source = Sparse(scipy.sparse.csr_array(X), y, s) if sparse else Arrays(X, y, s)
    with Workers(1) as workers:
        objective = Objective(source, n_classes, l2=l2, l1=l1, workers=workers, loss=loss)
        start = objective.start()
        certifier = Certifier(objective, objective.evaluate(start, "double"))
        record = Record(objective)
        return objective, record, solver.minimise(objective, start, certifier, Stopping(tol, max_iter), record)


SMOOTH = [LBFGS(preconditioner=name, refresh=(3, 8)) for name in PRECONDITIONERS]


SAMPLED = LBFGS(preconditioner="sampled", refresh=(1, 2, 4, 8))


@pytest.mark.parametrize("solver", [*SMOOTH, SAMPLED, Newton(), Progressive((4, 2))], ids=str)
@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("sparse", [False, True])
def test_reaches_the_least_value_and_proves_it(solver, n_classes: int, sparse: bool) -> None:
    X, y, s = _data(n_classes)
    _, record, solution = _solve(solver, X, y, s, n_classes, 0.0, 0.02, sparse=sparse)
    least = _least(X, y, s, n_classes, 0.0, 0.02)
    assert solution.optimality.met
    assert solution.evaluation.precision == "double"
    assert solution.evaluation.value <= least * (1 + 1e-9)
    assert solution.evaluation.value - solution.optimality.suboptimality_bound <= least * (1 + 1e-12)
    assert solution.optimality.suboptimality_bound >= 0
    for line in record.iterations:  # every line of the record is a bound; float32 values are good to 1e-6
        assert line.objective - line.bound <= least + 1e-6 * line.objective


@pytest.mark.parametrize("solver", SMOOTH, ids=str)
def test_scales_of_the_features_do_not_matter(solver) -> None:
    X, y, s = _data(3, scales=True)
    _, _, solution = _solve(solver, X, y, s, 3, 0.0, 1e-3, tol=1e-6)
    assert solution.optimality.met
    assert solution.n_iter <= 60


@pytest.mark.parametrize(("l1", "l2"), [(0.02, 0.0), (0.02, 0.02), (0.2, 0.01), (10.0, 0.0)])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_elastic_net_reaches_the_least_value_and_proves_it(l1: float, l2: float, n_classes: int) -> None:
    X, y, s = _data(n_classes)
    objective, record, solution = _solve(OWLQN(), X, y, s, n_classes, l1, l2, tol=1e-6)
    least = _least(X, y, s, n_classes, l1, l2)
    assert solution.optimality.met
    assert solution.evaluation.value <= least * (1 + 1e-6)
    assert all(line.objective - line.bound <= least * (1 + 1e-9) for line in record.iterations)
    if l1 == 10.0:
        assert not objective.coefficients(solution.evaluation.theta)[0].any()


@pytest.mark.parametrize(
    "map_", [m for m in FAMILY if not isinstance(m, (Hardmax, MinShift)) and m.name != "linear"], ids=str
)
def test_every_member_trains_downhill_with_its_own_gradient(map_) -> None:
    X, y = load_iris(return_X_y=True)
    s = np.ones(len(y))
    loss = MemberLoss(map_)
    _, record, solution = _solve(LBFGS(), X, y, s, 3, 0.0, 0.05, tol=1e-6, max_iter=300, loss=loss)
    assert solution.evaluation.value < 0.7 * record.iterations[0].objective
    assert math.isfinite(solution.optimality.suboptimality_bound) == isinstance(map_, RegularisedArgmax) or (
        map_.name == "softmax"
    )
    if math.isfinite(solution.optimality.suboptimality_bound):
        assert solution.optimality.met


def test_gradient_descent_is_the_textbook_update() -> None:
    X, y, s = _data(3)
    s = np.ones_like(s)
    _, record, _ = _solve(GradientDescent(eta=0.3), X, y, s, 3, 0.0, 0.1, max_iter=5)
    W, b = record.path[0]
    for coef, intercept in record.path[1:]:
        P = np.exp(X @ W.T + b)
        P /= P.sum(axis=1, keepdims=True)
        errors = P - np.eye(3)[y]
        W, b = W - 0.3 * (errors.T @ X / len(X) + 0.1 * W), b - 0.3 * errors.mean(axis=0)
        np.testing.assert_allclose(coef, W, rtol=0, atol=1e-13)
        np.testing.assert_allclose(intercept, b, rtol=0, atol=1e-13)
    values = [line.objective for line in _solve(GradientDescent(), X, y, s, 3, 0.0, 0.1, max_iter=50)[1].iterations]
    assert all(after <= before for before, after in pairwise(values))


@pytest.mark.parametrize("name", PRECONDITIONERS)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_preconditioners_are_symmetric_and_definite(name: str, n_classes: int) -> None:
    X, y, s = _data(n_classes)
    rng = np.random.default_rng(0)
    with Workers(1) as workers:
        objective = Objective(Arrays(X, y, s), n_classes, l2=0.1, workers=workers)
        metric = PRECONDITIONERS[name](objective)
        for theta in (objective.start(), rng.standard_normal(objective.start().shape)):
            metric.refresh(theta)
            u, v = rng.standard_normal((2, *theta.shape))
            assert np.vdot(u, metric.solve(u)) > 0
            np.testing.assert_allclose(np.vdot(u, metric.solve(v)), np.vdot(v, metric.solve(u)), rtol=1e-6)


def test_a_late_hessian_waits_until_passes_have_cost_as_much() -> None:
    X, y, s = _data(4)
    rng = np.random.default_rng(0)
    with Workers(1) as workers:
        objective = Objective(Arrays(X, y, s), 4, l2=0.1, workers=workers)
        late, start = Late(objective), objective.start()
        theta, u = rng.standard_normal((2, *start.shape))
        enough = start.size / SIZE_PER_PASS
        for metric, passes in ((Kronecker(objective), 0.99 * enough), (Dense(objective), enough)):
            late.refresh(start)
            objective.passes = passes
            for each in (late, metric):
                each.refresh(theta)
                objective.passes = passes
            np.testing.assert_array_equal(late.solve(u), metric.solve(u))


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("sparse", [False, True])
def test_hessian_is_the_derivative_of_the_gradient(n_classes: int, sparse: bool) -> None:
    X, y, s = _data(n_classes)
    with Workers(1) as workers:
        source = Sparse(scipy.sparse.csr_array(X), y, s) if sparse else Arrays(X, y, s)
        objective = Objective(source, n_classes, l2=0.0, workers=workers)
        theta = np.random.default_rng(0).standard_normal(objective.start().shape)
        step = 1e-5
        columns = []
        for i in range(theta.size):
            moved = np.zeros(theta.size)
            moved[i] = step
            ahead, behind = (
                objective.evaluate(theta + sign * moved.reshape(theta.shape), "double") for sign in (1, -1)
            )
            columns.append((ahead.gradient - behind.gradient).ravel() / (2 * step))
        # Central differences: step² times a third derivative, and rounding over step.
        np.testing.assert_allclose(objective.hessian(theta, "double"), np.array(columns), rtol=0, atol=1e-8)
        single = objective.hessian(theta)
        if objective.direct is None:
            np.testing.assert_allclose(single, np.array(columns), rtol=0, atol=1e-5)
            return
        left_out = np.array(columns) - single  # a positive part of it, at most so much of its trace
        np.testing.assert_allclose(left_out, left_out.T, rtol=0, atol=1e-5)
        assert np.trace(left_out) <= SETTLED * np.trace(columns) + 1e-5
        assert np.linalg.eigvalsh(left_out)[0] >= -1e-5


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_sample_s_newton_step_solves_its_own_hessian(n_classes: int, sparse: bool) -> None:
    X, y, s = _data(n_classes, scales=not sparse)
    rng = np.random.default_rng(0)
    with Workers(1) as workers:
        source = Sparse(scipy.sparse.csr_array(X), y, s) if sparse else Arrays(X, y, s)
        objective = Objective(source, n_classes, l2=0.01, workers=workers)
        metric = Sampled(objective)
        theta, gradient = (objective.symmetric_part(rng.standard_normal(objective.start().shape)) for _ in range(2))
        metric.refresh(theta)
        matrix = objective.sampled(stride_of(objective)).hessian(theta, "double")
        matrix += np.diag(np.tile(np.append(0.01 * objective.scale**2, 0.0), len(theta)))
        exact = np.linalg.lstsq(matrix, gradient.ravel(), rcond=1e-12)[0]
        error = (
            objective.symmetric_part(metric.solve(gradient)).ravel()
            - objective.symmetric_part(exact.reshape(theta.shape)).ravel()
        )
        # The energy of the error, where conjugate gradients go down; they stop by an equivalent norm.
        assert error @ matrix @ error <= (3 * ACCURACY) ** 2 * (exact @ matrix @ exact)


def test_a_sample_has_rows_enough_for_its_hessian() -> None:
    with Workers(1) as workers:
        plenty, few = (
            Objective(Arrays(np.zeros((n, 20), np.float32), np.arange(n) % 2), 2, l2=0.1, workers=workers)
            for n in (10_000, 300)
        )
        assert stride_of(plenty) == SHARE
        assert stride_of(few) == 1


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize(
    "kind", ["labels", "weights", "probabilities", "sparse", "sparsemax", "taylor", "no intercept"]
)
def test_few_rows_held_standardised_give_the_same_numbers(n_classes: int, kind: str, monkeypatch) -> None:
    X, y, s = _data(n_classes, scales=True)
    targets = np.random.default_rng(0).dirichlet(np.ones(n_classes), len(y)) if kind == "probabilities" else y
    weights = s if kind in ("weights", "probabilities") else None
    loss = MemberLoss(member(kind)) if kind in ("sparsemax", "taylor") else SoftmaxLoss()
    found = []
    for limit in (1 << 16, 0):
        monkeypatch.setattr(passes, "SHARED_VALUES", limit)
        monkeypatch.setattr("softmaxes.objective.objective.SPARSE_HELD", limit)
        with Workers(1) as workers:
            source = Sparse(scipy.sparse.csr_array(X), y) if kind == "sparse" else Arrays(X, targets, weights)
            objective = Objective(
                source, n_classes, l2=0.1, loss=loss, workers=workers, fit_intercept=kind != "no intercept"
            )
            assert (objective.direct is None) == (limit == 0)
            theta = objective.symmetric_part(np.random.default_rng(1).standard_normal(objective.start().shape))
            theta[:, -1] *= objective.fit_intercept
            found.append([])
            for precision in ("double", "single"):
                at = objective.evaluate(theta, precision)
                found[-1] += [np.array([at.loss, at.value]), at.gradient]
            found[-1] += [objective.class_curvature(theta), objective.second_moment()]
            if isinstance(loss, SoftmaxLoss):
                found[-1].append(objective.hessian(theta, "double"))
    held, tiled = found
    # The two sum in another order: a few rounding errors of terms of about 1, units of 2^-24 where one is in float32.
    for number, (one, other) in enumerate(zip(held, tiled, strict=True)):
        tolerance = 8 * 2.0**-24 if 2 <= number <= 5 else 1e-14
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_newton_wants_the_softmax() -> None:
    with pytest.raises(ValueError, match="needs map='softmax'"):
        SoftmaxClassifier(solver="newton", map="sparsemax").fit(np.eye(4), [0, 1, 0, 1])


def test_newton_doubles_its_digits() -> None:
    X, y, s = _data(3)
    _, record, solution = _solve(Newton(polish=0), X, y, s, 3, 0.0, 0.02, tol=1e-13)
    norms = [line.gradient_norm for line in record.iterations]
    assert solution.n_iter <= 8
    assert any(after <= 10 * before**2 for before, after in pairwise(norms) if before < 1e-2)


def test_second_moments_of_sparse_features_are_those_of_dense_ones() -> None:
    X, y, s = _data(3)
    X = np.where(X > 0.5, X, 0.0)
    with Workers(1) as workers:
        sources = (Arrays(X, y, s), Sparse(scipy.sparse.csr_array(X), y, s))
        objectives = [Objective(source, 3, l2=0.1, workers=workers) for source in sources]
        dense, sparse = (objective.second_moment() for objective in objectives)
    centred = (X - np.average(X, axis=0, weights=s)) / np.sqrt(np.cov(X.T, aweights=s, ddof=0).diagonal())
    expected = centred.T @ (centred * s[:, None]) / s.sum()
    # Dense tiles and rows that are held are in float32: three roundings a term, and one for each of the additions, of
    # terms whose sizes have a mean of at most 1.
    single = (len(X) + 3) * 2.0**-24
    np.testing.assert_allclose(sparse, expected, rtol=0, atol=1e-13 if objectives[1].direct is None else single)
    np.testing.assert_allclose(dense, expected, rtol=0, atol=single)


def test_line_search_accepts_only_descent() -> None:
    X, y, s = _data(3)
    with Workers(1) as workers:
        objective = Objective(Arrays(X, y, s), 3, l2=0.1, workers=workers)
        current = objective.evaluate(objective.start(), "double")
        for size in (1e-4, 1.0, 1e4):
            found = search(objective, current, -size * current.gradient, "double")
            assert found is not None
            assert found.value < current.value
        assert search(objective, current, current.gradient, "double") is None


def test_choice_names_a_solver_and_a_reason() -> None:
    X, y, s = _data(3)
    cases = [
        (Arrays(np.zeros((2000, 60)), np.zeros(2000, int)), {}, "late"),
        (Arrays(np.zeros((10, 600)), np.zeros(10, int)), {}, "kronecker"),
        (Sparse(scipy.sparse.csr_array((10, 5000)), np.zeros(10, int)), {}, "diagonal"),
        (Arrays(X, y, s), {"loss": MemberLoss(member("sparsemax"))}, "kronecker"),
    ]
    with Workers(1) as workers:
        for source, settings, expected in cases:
            choice = choose(Objective(source, 3, l2=0.1, workers=workers, **settings))
            assert isinstance(choice.solver, LBFGS)
            assert choice.solver.preconditioner == expected
            assert len(choice.reason) > 20
        loss = MemberLoss(member("sparsemax"))
        for rows, history in ((100, 10), (20_000, 30)):  # of 183 parameters
            source = Arrays(np.zeros((rows, 60)), np.zeros(rows, int))
            assert choose(Objective(source, 3, l2=0.1, loss=loss, workers=workers)).solver == (
                LBFGS(history=history, refresh=(5, 20) if history == 10 else (5, 20, 60))
            )
        assert isinstance(choose(Objective(Arrays(X, y, s), 3, l2=0.1, workers=workers)).solver, Newton)
        assert isinstance(choose(Objective(Arrays(X, y, s), 3, l1=0.1, l2=0.1, workers=workers)).solver, OWLQN)
        rng = np.random.default_rng(0)
        many = Arrays(rng.standard_normal((100_000, 60), dtype=np.float32), rng.integers(15, size=100_000))
        chosen = choose(Objective(many, 15, l2=0.1, workers=workers))
        assert isinstance(chosen.solver, Progressive)
        assert "rows are plenty" in chosen.reason


@pytest.mark.parametrize("solver", NAMED.values(), ids=str)
def test_solvers_are_frozen_values(solver) -> None:
    assert (
        eval(repr(solver), {kind.__name__: kind for kind in (LBFGS, OWLQN, GradientDescent, Newton, Progressive)})
        == solver
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        solver.anything = 1


class Understated(Objective):
    """An objective whose gradient is a hundredth of what it should be: its bounds must not pass for bounds."""

    def evaluate(self, theta: np.ndarray, precision: str = "single") -> Evaluation:
        found = super().evaluate(theta, precision)
        return dataclasses.replace(found, gradient=found.gradient / 100)


def test_an_understated_gradient_is_noticed() -> None:
    X, y, s = _data(3)
    with Workers(1) as workers:
        objective = Understated(Arrays(X, y, s), 3, l2=0.02, workers=workers, loss=SoftmaxLoss())
        start = objective.start()
        certifier = Certifier(objective, objective.evaluate(start, "double"))
        record = Record(objective)
        LBFGS().minimise(objective, start, certifier, Stopping(1e-9, 20), record)
        least = _least(X, y, s, 3, 0.0, 0.02)
        assert any(line.objective - line.bound > least * (1 + 1e-6) for line in record.iterations)


@pytest.mark.parametrize("max_iter", [1, 3, 8])
def test_the_last_step_is_evaluated_once_and_in_double_precision(max_iter: int) -> None:
    X, y, s = _data(3)
    with Workers(1) as workers:
        objective = Objective(Arrays(X, y, s), 3, l2=0.1, workers=workers)
        record, start = Record(objective), at_start(objective)
        certifier = Certifier(objective, start)
        found = LBFGS().minimise(objective, start.theta, certifier, Stopping(1e-6, max_iter), record)
    assert found.n_iter == max_iter
    assert found.evaluation.precision == "double"
    assert [line.precision for line in record.iterations] == ["single"] * found.n_iter + ["double"]
