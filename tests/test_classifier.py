"""SoftmaxClassifier: scikit-learn's manners, and LogisticRegression's answer at the same C."""

from __future__ import annotations

import math
import pickle
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from softmaxes import native
from softmaxes.classifier import SeparationWarning, SoftmaxClassifier, from_parameters
from softmaxes.selection import SoftmaxClassifierCV
from softmaxes.sources import Arrays, Block, Source


def _binary() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_iris(return_X_y=True)
    return X[y > 0], np.array(["no", "yes"])[y[y > 0] - 1]


def _digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return X[:300, 10:30] / 16, y[:300]


DATA = {"iris": lambda: load_iris(return_X_y=True), "binary": _binary, "digits": _digits,
        "wine": lambda: load_wine(return_X_y=True)}  # fmt: skip


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [None, "sample", "balanced"])
def test_same_model_as_logistic_regression(name: str, C: float, fit_intercept: bool, weighted: str | None) -> None:
    X, y = DATA[name]()
    X = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1)  # for the peer's sake
    weights = np.random.default_rng(0).random(len(y)) if weighted == "sample" else None
    settings = {"C": C, "fit_intercept": fit_intercept, "class_weight": "balanced" if weighted == "balanced" else None}
    ours = SoftmaxClassifier(tol=1e-7, **settings).fit(X, y, weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer stops where its line search gives up
        peer = LogisticRegression(tol=1e-10, max_iter=10000, **settings).fit(X, y, weights)
    assert ours.optimality_.met
    assert ours.coef_.shape == peer.coef_.shape
    assert ours.intercept_.shape == peer.intercept_.shape
    by_class = _balanced(y) if weighted == "balanced" else np.ones(len(y))
    s = by_class if weights is None else weights
    least = _objective(peer, X, y, s, C)
    assert abs(ours.objective_ * C * s.sum() - _objective(ours, X, y, s, C)) <= 1e-12 * least
    assert _objective(ours, X, y, s, C) <= least * (1 + 1e-7)
    # A model is as far from the optimum as the square root of what its objective is.
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), rtol=0, atol=1e-3)
    logits = peer.decision_function(X)
    np.testing.assert_allclose(ours.decision_function(X), logits, rtol=0, atol=5e-3 * np.abs(logits).max())


def _balanced(y: np.ndarray) -> np.ndarray:
    labels, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    return (len(y) / (len(labels) * counts))[codes]


def _objective(model: object, X: np.ndarray, y: np.ndarray, weights: np.ndarray, C: float) -> float:
    """Return C Σ s ℓ + ‖W‖²/2, the definition."""
    log_p = model.predict_log_proba(X)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return float(-C * weights @ log_p + 0.5 * np.sum(model.coef_**2))


@pytest.mark.parametrize("name", DATA)
def test_raw_features_reach_the_tolerance_without_a_warning(name: str) -> None:
    X, y = DATA[name]()
    clf = SoftmaxClassifier().fit(X * np.logspace(-3, 3, X.shape[1]), y)
    assert clf.optimality_.met
    assert clf.optimality_.relative <= 1e-6
    assert clf.history_[-1].objective == clf.objective_


@pytest.mark.parametrize("name", ["binary", "digits"])
def test_sparse_and_dense_give_the_same_model(name: str) -> None:
    X, y = DATA[name]()
    dense = SoftmaxClassifier(tol=1e-8).fit(X, y)
    for sparse in (scipy.sparse.csr_matrix(X), scipy.sparse.csc_array(X)):
        found = SoftmaxClassifier(tol=1e-8).fit(sparse, y)
        np.testing.assert_allclose(found.predict_proba(sparse), dense.predict_proba(X), atol=1e-4)


def test_float32_stays_float32() -> None:
    X, y = DATA["digits"]()
    clf = SoftmaxClassifier().fit(X.astype(np.float32), y)
    assert {clf.coef_.dtype, clf.intercept_.dtype, clf.predict_proba(X.astype(np.float32)).dtype} == {np.dtype("f4")}
    np.testing.assert_allclose(clf.predict_proba(X), SoftmaxClassifier().fit(X, y).predict_proba(X), atol=1e-3)


def test_threads_change_no_bit() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((6000, 60)), rng.integers(3, size=6000)
    models = [SoftmaxClassifier(threads=threads).fit(X, y).coef_.tobytes() for threads in (1, 2, 3)]
    assert len(set(models)) == 1


def test_warm_start_continues() -> None:
    X, y = DATA["digits"]()
    clf = SoftmaxClassifier(warm_start=True).fit(X, y)
    cold = clf.n_iter_
    assert clf.fit(X, y).n_iter_ < cold / 2
    assert clf.optimality_.met


def test_a_source_gives_the_model_of_its_arrays() -> None:
    X, y = DATA["binary"]()
    clf = SoftmaxClassifier().fit(Arrays(X, y))
    np.testing.assert_array_equal(clf.coef_, SoftmaxClassifier().fit(X, y).coef_)
    assert clf.classes_.tolist() == ["no", "yes"]


class Stream(Source):
    """Rows that can only be read from the first to the last."""

    def __init__(self, X: np.ndarray, y: np.ndarray, s: np.ndarray | None) -> None:
        self.rows = Arrays(X, y, s)
        self.n_rows, self.n_features = X.shape
        self.dtype = X.dtype

    def blocks(self, rows: int) -> Iterator[Block]:
        return self.rows.blocks(rows)


@pytest.mark.parametrize("class_weight", ["balanced", {"low": 3.0}], ids=str)
@pytest.mark.parametrize("source", [Arrays, Stream])
def test_class_weights_are_weights_of_the_rows_wherever_they_come_from(source, class_weight) -> None:
    rng = np.random.default_rng(0)
    X, s = rng.standard_normal((90, 3)), rng.uniform(0.5, 2, 90)
    y = np.array(["low"] * 60 + ["high"] * 20 + ["top"] * 10)
    of_class = {"low": 3.0}
    if class_weight == "balanced":
        of_class = {label: s.sum() / (3 * s[y == label].sum()) for label in ("low", "high", "top")}
    expected = SoftmaxClassifier(tol=1e-12).fit(X, y, s * np.array([of_class.get(label, 1.0) for label in y]))
    clf = SoftmaxClassifier(tol=1e-12, class_weight=class_weight)
    for fitted in (clf.fit(X, y, s), clf.fit(source(X, y, s))):
        np.testing.assert_allclose(fitted.coef_, expected.coef_, rtol=0, atol=1e-9)


def test_balance_leaves_out_a_class_without_weight() -> None:
    X, y = DATA["wine"]()
    clf = SoftmaxClassifier(class_weight="balanced").fit(X, y, np.where(y == 2, 0.0, 1.0))
    assert clf.optimality_.met
    assert clf.predict_proba(X[:5])[:, 2].max() < 1e-100


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64, bool, np.float64])
def test_numbers_are_labels_of_their_own_type(dtype) -> None:
    y = np.array([0, 1, 127, 1, 127, 0, 1, 0]).astype(dtype)
    clf = SoftmaxClassifier().fit(np.arange(8.0)[:, None], y)
    assert clf.classes_.dtype == dtype
    np.testing.assert_array_equal(clf.classes_, np.unique(y))
    assert clf.predict([[0.0]]).dtype == dtype


def test_columns_of_several_classes_sum_to_zero() -> None:
    X, y = DATA["wine"]()
    clf = SoftmaxClassifier().fit(X, y)
    assert np.abs(clf.coef_.sum(axis=0)).max() <= 1e-6 * np.abs(clf.coef_).max()
    assert abs(clf.intercept_.sum()) <= 1e-6 * np.abs(clf.intercept_).max()


def test_copies_and_parameters() -> None:
    X, y = DATA["iris"]()
    clf = SoftmaxClassifier(C=3.0, tol=1e-8).fit(X, y)
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    assert clone(clf).get_params() == clf.get_params()
    rebuilt = from_parameters(clf.classes_, clf.coef_, clf.intercept_, C=3.0, n_iter_=clf.n_iter_)
    np.testing.assert_array_equal(rebuilt.predict_log_proba(X), clf.predict_log_proba(X))
    with pytest.raises(ValueError, match=r"3 classes need coef of shape \(3, n_features\)"):
        from_parameters(clf.classes_, clf.coef_[:2], clf.intercept_)


X3, Y3 = np.arange(12.0).reshape(6, 2), np.array([0, 1, 2, 0, 1, 2])


def _with(value: float) -> np.ndarray:
    X = X3.copy()
    X[4, 1] = value
    return X


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: SoftmaxClassifier().fit(_with(np.nan), Y3), ValueError, r"(?s)contains NaN.*row 4, column 1"),
        (lambda: SoftmaxClassifier().fit(_with(np.inf), Y3), ValueError, r"(?s)infinity.*row 4, column 1"),
        (lambda: SoftmaxClassifier().fit(scipy.sparse.csr_array(_with(np.nan)), Y3), ValueError, "row 4, column 1"),
        (lambda: SoftmaxClassifier().fit(X3, Y3[:5]), ValueError, "inconsistent numbers of samples"),
        (lambda: SoftmaxClassifier().fit(X3, np.zeros(6)), ValueError, "one class only"),
        (lambda: SoftmaxClassifier().fit(X3, np.linspace(0, 1, 6)), ValueError, "continuous"),
        (lambda: SoftmaxClassifier().fit(X3, None), ValueError, "requires y"),
        (lambda: SoftmaxClassifier().fit(X3, Y3, -np.ones(6)), ValueError, "[Nn]egative"),
        (lambda: SoftmaxClassifier().fit(X3, Y3, np.zeros(6)), ValueError, "zero"),
        (lambda: SoftmaxClassifier().fit(X3, Y3, [1, 0, 0, 1, 0, 0]), ValueError, "only one class, '0', has rows"),
        (lambda: SoftmaxClassifier().fit(X3, Y3, np.ones(5)), ValueError, r"\(5,\), expected \(6,\)"),
        (lambda: SoftmaxClassifier().fit(X3.astype(complex), Y3), ValueError, "[Cc]omplex"),
        (lambda: SoftmaxClassifier(C=0).fit(X3, Y3), ValueError, "C=0; a number above 0"),
        (lambda: SoftmaxClassifier(C="1").fit(X3, Y3), ValueError, "C='1'; a number above 0"),
        (lambda: SoftmaxClassifier(tol=0).fit(X3, Y3), ValueError, "tol=0"),
        (lambda: SoftmaxClassifier(max_iter=0).fit(X3, Y3), ValueError, "max_iter=0"),
        (lambda: SoftmaxClassifier(threads=0).fit(X3, Y3), ValueError, "threads=0"),
        (lambda: SoftmaxClassifier(l1_ratio=2).fit(X3, Y3), ValueError, "l1_ratio=2"),
        (lambda: SoftmaxClassifier(l1_ratio=0.5, solver="lbfgs").fit(X3, Y3), ValueError, "needs a smooth penalty"),
        (lambda: SoftmaxClassifier(map="hardmax").fit(X3, Y3), ValueError, "no gradient to train by"),
        (lambda: SoftmaxClassifier(map="softmacks").fit(X3, Y3), ValueError, "known are softmax"),
        (lambda: SoftmaxClassifier(solver="adam").fit(X3, Y3), ValueError, "'adam' is not known; known are 'auto'"),
        (lambda: SoftmaxClassifier(solver=["lbfgs"]).fit(X3, Y3), ValueError, "known are 'auto'"),
        (lambda: SoftmaxClassifier(fit_intercept="no").fit(X3, Y3), ValueError, "fit_intercept='no'; True or False"),
        (lambda: SoftmaxClassifier(class_weight="even").fit(X3, Y3), ValueError, "class_weight.*'balanced'"),
        (lambda: SoftmaxClassifier().fit(X3, Y3).predict(X3[:, :1]), ValueError, "expecting 2 features"),
        (lambda: SoftmaxClassifier().predict(X3), ValueError, "not fitted yet"),
        (lambda: SoftmaxClassifier().fit(Arrays(X3, Y3), Y3), ValueError, "brings its own targets"),
    ],
)
def test_what_is_refused(act, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act()


def test_an_interrupted_fit_leaves_the_old_model(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = DATA["iris"]()
    clf = SoftmaxClassifier().fit(X, y)
    before = dict(vars(clf))
    calls = []

    def interrupted(*args: object, **kwargs: object) -> None:
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        kernel(*args, **kwargs)

    kernel = native.cross_entropy_rows
    monkeypatch.setattr("softmaxes.native.cross_entropy_rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X[:, :2], y)
    assert vars(clf) == before


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@parametrize_with_checks([SoftmaxClassifier(), SoftmaxClassifierCV(Cs=[0.1, 1.0], cv=2)])
def test_scikit_learns_own_checks(estimator, check) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
def test_elastic_net_is_that_of_logistic_regression(l1_ratio: float) -> None:
    X, y = DATA["wine"]()
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    ours = SoftmaxClassifier(C=0.3, l1_ratio=l1_ratio).fit(X, y)
    peer = LogisticRegression(C=0.3, l1_ratio=l1_ratio, solver="saga", tol=1e-8, max_iter=20000).fit(X, y)
    assert ours.optimality_.met
    np.testing.assert_array_equal(ours.coef_ == 0, peer.coef_ == 0)
    np.testing.assert_allclose(ours.coef_, peer.coef_, rtol=0, atol=2e-3)


def test_soft_targets_are_weighted_copies_of_labels() -> None:
    X, y = DATA["iris"]()
    rng = np.random.default_rng(0)
    Q = rng.dirichlet(np.ones(3), size=len(y)) * 0.3 + 0.7 * np.eye(3)[y]
    soft = SoftmaxClassifier(tol=1e-9).fit(X, Q)
    copies = SoftmaxClassifier(tol=1e-9).fit(np.repeat(X, 3, axis=0), np.tile(np.arange(3), len(y)), Q.ravel())
    np.testing.assert_allclose(soft.coef_, copies.coef_, rtol=0, atol=1e-4)
    assert soft.classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="row 3 is"):
        Q[3] *= 2
        SoftmaxClassifier().fit(X, Q)


def test_labels_that_are_probabilities_of_one_are_labels() -> None:
    X, y = DATA["iris"]()
    np.testing.assert_allclose(
        SoftmaxClassifier(tol=1e-9).fit(X, np.eye(3)[y]).coef_, SoftmaxClassifier(tol=1e-9).fit(X, y).coef_, atol=1e-4
    )


@pytest.mark.parametrize("name", ["sparsemax", "entmax", "taylor", "softplus", "spherical"])
def test_other_maps_train_predict_and_copy(name: str) -> None:
    X, y = DATA["iris"]()
    clf = SoftmaxClassifier(map=name, max_iter=300).fit(X, y)
    probabilities = clf.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    assert clf.score(X, y) > 0.85
    np.testing.assert_array_equal(clf.predict(X), probabilities.argmax(axis=1))
    binary = SoftmaxClassifier(map=name, max_iter=300).fit(X[y > 0], y[y > 0])
    assert binary.predict_proba(X).shape == (150, 2)
    assert binary.score(X[y > 0], y[y > 0]) > 0.85


def test_without_a_penalty_separable_classes_are_named() -> None:
    X, y = DATA["iris"]()
    with pytest.warns(SeparationWarning, match="classes from all others without an error: 0"):
        clf = SoftmaxClassifier(C=np.inf).fit(X, y)
    assert clf.separated_classes_.tolist() == [0]
    assert np.isfinite(clf.coef_).all()
    assert clf.score(X, y) > 0.97


def test_without_a_penalty_the_maximum_likelihood_and_its_errors() -> None:
    """Iris, versicolor against virginica: the estimates and standard errors that statistics packages print."""
    X, y = _binary()
    clf = SoftmaxClassifier(C=np.inf).fit(X, y)
    assert clf.optimality_.met
    np.testing.assert_allclose(clf.coef_[0], [-2.465, -6.681, 9.429, 18.286], atol=1e-3)
    # The inverse Fisher information from its definition.
    design = np.column_stack([X, np.ones(len(X))])
    p = clf.predict_proba(X)[:, 1]
    errors = np.sqrt(np.diag(np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design)))
    found = clf.wald(X, level=0.9)
    np.testing.assert_allclose([*found.coef_error[0], found.intercept_error[0]], errors, rtol=1e-5)
    np.testing.assert_allclose(
        np.diff(found.coef_interval[0], axis=1)[:, 0], 2 * 1.6448536269514722 * errors[:-1], rtol=1e-5
    )


def test_wald_of_several_classes_is_the_covariance_of_their_differences() -> None:
    X, y = DATA["wine"]()
    X = X[:, :2]
    clf = SoftmaxClassifier(C=np.inf, tol=1e-10).fit(X, y)
    found = clf.wald(X)
    # Fisher information of the symmetric parameters, from its definition, and its pseudo-inverse.
    design, P = np.column_stack([X, np.ones(len(X))]), clf.predict_proba(X)
    information = sum(np.kron(np.diag(p) - np.outer(p, p), np.outer(x, x)) for p, x in zip(P, design, strict=True))
    errors = np.sqrt(np.diag(np.linalg.pinv(information, rcond=1e-12, hermitian=True))).reshape(3, 3)
    np.testing.assert_allclose(found.coef_error, errors[:, :2], rtol=1e-4)
    np.testing.assert_allclose(found.intercept_error, errors[:, 2], rtol=1e-4)


def test_partial_fit_over_and_over_reaches_the_optimum_of_fit() -> None:
    X, y = DATA["wine"]()
    order = np.random.default_rng(0).permutation(len(y))
    clf = SoftmaxClassifier()
    for _ in range(14):
        for rows in np.array_split(order, 5):
            clf.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    full = SoftmaxClassifier(tol=1e-10).fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X), full.predict_proba(X), atol=1e-5)


def test_partial_fit_in_one_pass_is_a_good_model_and_refuses_strangers() -> None:
    X, y = DATA["digits"]()
    clf = SoftmaxClassifier()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        clf.partial_fit(X, y)
    for start in range(0, 300, 60):
        clf.partial_fit(X[start : start + 60], y[start : start + 60], classes=np.arange(10))
    assert clf.score(X, y) > 0.9 * SoftmaxClassifier().fit(X, y).score(X, y)
    with pytest.raises(ValueError, match="label '11' is not one of the 10 known classes"):
        clf.partial_fit(X[:2], [1, 11])
    assert pickle.loads(pickle.dumps(clf)).partial_fit(X[:60], y[:60]).n_iter_ == 6


def test_cross_validation_chooses_the_least_held_out_loss() -> None:
    X, y = DATA["digits"]()
    clf = SoftmaxClassifierCV(Cs=[1e-3, 1e-1, 10.0], cv=3).fit(X, y)
    assert clf.losses_.shape == (3, 3)
    assert clf.Cs_[clf.losses_.mean(axis=0).argmin()] == clf.C_
    np.testing.assert_allclose(clf.coef_, SoftmaxClassifier(C=clf.C_).fit(X, y).coef_, atol=1e-8)
    fold, (train, held) = 1, list(StratifiedKFold(3).split(X, y))[1]
    for C, loss in zip(clf.Cs_, clf.losses_[fold], strict=True):
        model = SoftmaxClassifier(C=C).fit(X[train], y[train])
        expected = -model.predict_log_proba(X[held])[np.arange(len(held)), y[held]].mean()
        np.testing.assert_allclose(loss, expected, rtol=1e-2)  # the folds are solved to a looser tolerance
    with pytest.raises(ValueError, match="Cs=0"):
        SoftmaxClassifierCV(Cs=0).fit(X, y)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_tables_give_their_names(kind: str) -> None:
    X, y = DATA["iris"]()
    names = ["a", "b", "c", "d"]
    module = pytest.importorskip(kind)
    columns = {name: X[:, i] for i, name in enumerate(names)}
    table = module.table(columns) if kind == "pyarrow" else module.DataFrame(columns)
    clf = SoftmaxClassifier().fit(table, y)
    assert clf.feature_names_in_.tolist() == names
    np.testing.assert_allclose(clf.predict_proba(table), SoftmaxClassifier().fit(X, y).predict_proba(X), atol=1e-12)


def test_gradient_descent_records_its_path() -> None:
    X, y = DATA["iris"]()
    clf = SoftmaxClassifier(solver="gradient_descent", max_iter=20).fit(X, y)
    assert len(clf.path_) == len(clf.history_) == 21
    np.testing.assert_allclose(clf.path_[-1][0], clf.coef_, atol=1e-12)
    assert not clf.optimality_.met
    assert math.isfinite(clf.optimality_.suboptimality_bound)


def test_choice_is_told() -> None:
    X, y = DATA["iris"]()
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", told.append)
        clf = SoftmaxClassifier(verbose=True).fit(X, y)
    assert clf.solver_reason_ in told[0]
    assert "of the optimum" in told[-2]


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X + 1e7,
        lambda X: (X + 1e4).astype(np.float32),
        lambda X: X * 1e30,
        lambda X: X.astype(np.float32) * np.float32(1e25),
        lambda X: np.column_stack([X, np.full(len(X), 0.1), np.zeros(len(X))]),
        lambda X: X[::-1][:, ::-1],
        lambda X: X.astype(">f8"),
    ],
    ids=["offset", "offset in float32", "huge", "huge in float32", "constants", "reversed", "byte-swapped"],
)
def test_hard_features_are_no_matter(change) -> None:
    X, y = DATA["iris"]()
    hard = change(X)
    labels = y[::-1] if hard.strides[0] < 0 else y
    with np.errstate(all="raise", under="ignore"):
        clf = SoftmaxClassifier(C=1e3).fit(hard, labels)
    assert clf.score(hard, labels) > 0.96


def test_a_class_without_weight_gets_no_probability() -> None:
    X, y = DATA["iris"]()
    clf = SoftmaxClassifier().fit(X, y, np.where(y == 2, 0.0, 1.0))
    without = SoftmaxClassifier().fit(X[y < 2], y[y < 2])
    assert clf.optimality_.met
    assert clf.predict_proba(X)[:, 2].max() < 1e-300
    # Two symmetric rows are penalised half as much as their difference, so only the labels agree.
    np.testing.assert_array_equal(clf.predict(X), without.predict(X))
