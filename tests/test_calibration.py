"""Laws of calibration: exact minimisers, shards that add up, round trips, refused input."""

from __future__ import annotations

import json
import math

import mpmath
import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from softmaxes import metrics
from softmaxes.calibration import (
    CALIBRATIONS,
    DirichletCalibration,
    MatrixScaling,
    PriorCorrection,
    StructuredScaling,
    TemperatureScaling,
    TemperatureStatistics,
    VectorScaling,
    from_dict,
)

FITTABLE = [
    TemperatureScaling(),
    VectorScaling(),
    MatrixScaling(),
    StructuredScaling(),
    DirichletCalibration(),
    PriorCorrection(source=[0.3, 0.3, 0.4]),
    PriorCorrection(target=[0.5, 0.3, 0.2]),
]
CONVEX = FITTABLE[:5]


def rows(n=400, k=3, temperature=2.5, seed=0):
    """Logits that are `temperature` times too sharp, with their labels and weights (some of them 0)."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k)) * 1.5
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    return z * temperature, y, rng.exponential(size=n) * (rng.uniform(size=n) > 0.1)


@mpmath.workdps(30)
def exact_beta(z, y, w):
    """The root of f'(beta) = sum w (zbar - z_y), by 30-digit arithmetic."""
    exact = [[mpmath.mpf(float(v)) for v in row] for row in z]

    def slope(beta):
        total = mpmath.mpf(0)
        for row, label, weight in zip(exact, y, w, strict=True):
            e = [mpmath.exp(beta * (v - max(row))) for v in row]
            total += mpmath.mpf(float(weight)) * (mpmath.fdot(e, row) / mpmath.fsum(e) - row[label])
        return total

    low, high = mpmath.mpf("1e-6"), mpmath.mpf("1e6")
    for _ in range(70):
        middle = mpmath.sqrt(low * high)
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return mpmath.sqrt(low * high)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
@pytest.mark.parametrize("weighted", [False, True])
def test_temperature_is_the_exact_minimiser(scale, weighted):
    z, y, w = rows(40)
    z *= scale
    w = w if weighted else np.ones(len(y))
    fitted = TemperatureScaling().fit(z, y, w if weighted else None)
    assert fitted.at_bound_ is None
    # The promise is 1e-8; Newton's last step leaves about its square.
    assert fitted.temperature_ == pytest.approx(float(1 / exact_beta(z, y, w)), rel=1e-10)
    assert fitted.log_loss_ == pytest.approx(metrics.log_loss(fitted.predict_proba(z), y, sample_weight=w), rel=1e-9)


def test_many_rows_and_extreme_starts_take_few_passes():
    rng = np.random.default_rng(1)
    for factor in (1e-4, 1.0, 1e4):
        z = rng.normal(size=(50_000, 4))
        y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
        fitted = TemperatureScaling(bounds=(1e-9, 1e9)).fit(factor * z, y)
        slope = TemperatureStatistics.of(factor * z, y, 1 / fitted.temperature_)
        assert abs(slope.slope) / math.sqrt(slope.curvature) < 1e-6 * math.sqrt(slope.weight)
        assert fitted.n_iter_ <= 5


def test_agrees_with_scikit_learn():
    z, y, _ = rows(2000)

    class Scores:
        classes_ = np.arange(3)

        def fit(self, X, y):
            return self

        def decision_function(self, X):
            return X

        def predict(self, X):
            return X.argmax(axis=1)

        def __sklearn_is_fitted__(self):
            return True

        def get_params(self, deep=False):
            return {}

        def __sklearn_tags__(self):
            from sklearn.linear_model import LogisticRegression

            return LogisticRegression().__sklearn_tags__()

    theirs = CalibratedClassifierCV(FrozenEstimator(Scores()), method="temperature").fit(z, y)
    ours = TemperatureScaling().fit(z, y)
    np.testing.assert_allclose(ours.predict_proba(z), theirs.predict_proba(z), atol=1e-7)


def test_bounds_are_reported_honestly():
    z, y, _ = rows(200)
    separable = np.eye(3)[y] * 5 + z * 0.01
    fitted = TemperatureScaling().fit(separable, y)
    assert (fitted.temperature_, fitted.at_bound_) == (1e-5, "lower")
    misleading = TemperatureScaling().fit(-separable, y)
    assert (misleading.temperature_, misleading.at_bound_) == (1e5, "upper")
    inside = TemperatureScaling().fit(z, y).temperature_
    low = TemperatureScaling(bounds=(inside * 2, inside * 4)).fit(z, y)
    assert (low.temperature_, low.at_bound_) == (inside * 2, "lower")
    high = TemperatureScaling(bounds=(inside / 4, inside / 2)).fit(z, y)
    assert (high.temperature_, high.at_bound_) == (inside / 2, "upper")
    constant = TemperatureScaling().fit(np.full((10, 2), 3.0), [0, 1] * 5)
    assert constant.at_bound_ == "upper"


def test_one_ambiguous_row_keeps_the_temperature_finite():
    z = np.array([[4.0, 0.0], [0.0, 4.0], [1.0, 0.0]])
    fitted = TemperatureScaling().fit(np.vstack([z] * 5), [0, 1, 1] * 5)
    assert fitted.at_bound_ is None
    # f'(beta) = -2 * 4 sigmoid(-4 beta) + sigmoid(beta) = 0
    root = mpmath.findroot(lambda b: -8 / (1 + mpmath.exp(4 * b)) + 1 / (1 + mpmath.exp(-b)), 0.5)
    assert fitted.temperature_ == pytest.approx(float(1 / root), rel=1e-10)


def test_impossible_classes_are_left_out_exactly():
    z, y, w = rows(300)
    wide = np.insert(z, 1, -np.inf, axis=1)
    fitted = TemperatureScaling().fit(wide, np.array([0, 2, 3])[y], w)
    assert fitted.temperature_ == pytest.approx(TemperatureScaling().fit(z, y, w).temperature_, rel=1e-13)
    assert (fitted.predict_proba(wide)[:, 1] == 0.0).all()


def test_statistics_are_derivatives_and_add_up():
    z, y, w = rows(100)
    beta, h = 0.7, 1e-4
    whole = TemperatureStatistics.of(z, y, beta, w)
    before, after = (TemperatureStatistics.of(z, y, b, w) for b in (beta - h, beta + h))
    assert whole.loss == pytest.approx(w.sum() * metrics.log_loss(softmax(beta * z), y, sample_weight=w), rel=1e-12)
    assert whole.slope == pytest.approx((after.loss - before.loss) / (2 * h), rel=1e-5)
    assert whole.curvature == pytest.approx((after.slope - before.slope) / (2 * h), rel=1e-5)
    assert whole.third == pytest.approx((after.curvature - before.curvature) / (2 * h), rel=1e-5)
    assert whole.slope_at_zero == pytest.approx(TemperatureStatistics.of(z, y, 1e-12, w).slope, rel=1e-9)
    assert whole.slope_at_infinity == pytest.approx(TemperatureStatistics.of(z, y, 1e4, w).slope, rel=1e-9)
    parts = [TemperatureStatistics.of(z[i], y[i], beta, w[i]) for i in np.array_split(np.arange(100), 7)]
    merged = TemperatureStatistics(beta)
    for part in parts:
        merged = merged.merge(part)
    for name in ("weight", "loss", "slope", "curvature", "third", "slope_at_zero", "slope_at_infinity"):
        assert getattr(merged, name) == pytest.approx(getattr(whole, name), rel=1e-13)
    with pytest.raises(ValueError, match="do not add up"):
        whole.merge(after)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_blocks_give_the_temperature_of_the_whole():
    z, y, w = rows(1000)
    labels = np.array(["a", "b", "c"])[y]
    cuts = np.array_split(np.arange(1000), 13)
    passes = 0

    class Stream:
        def __iter__(self):
            nonlocal passes
            passes += 1
            return iter([(z[i], labels[i], w[i]) for i in cuts])

    whole = TemperatureScaling().fit(z, y, w)
    streamed = TemperatureScaling().fit_blocks(Stream(), classes=["a", "b", "c"])
    assert streamed.temperature_ == pytest.approx(whole.temperature_, rel=1e-10)
    assert passes <= 8
    assert list(streamed.classes_) == ["a", "b", "c"]
    sorted_blocks = [(z[y == k], y[y == k]) for k in range(3)]  # one class to a block
    unweighted = TemperatureScaling().fit(z, y).temperature_
    assert TemperatureScaling().fit_blocks(sorted_blocks, classes=[0, 1, 2]).temperature_ == pytest.approx(
        unweighted, rel=1e-10
    )
    with pytest.raises(ValueError, match="at least two classes, but the blocks hold 1"):
        TemperatureScaling().fit_blocks(sorted_blocks[:1], classes=[0, 1, 2])


# ---- the affine family


def penalised_loss(calibration, z, y, w, matrix, intercept, temperature):
    """The documented objective, written out."""
    k = z.shape[1]
    u = (
        np.log(softmax(z))
        if isinstance(calibration, DirichletCalibration)
        else (z - z.mean(1, keepdims=True)) / temperature
    )
    p = softmax(u @ matrix.T + intercept)
    value = -(w * np.log(p[np.arange(len(y)), y])).sum()
    off = getattr(calibration, "off_diagonal", 0.0)
    for i in range(k):
        for j in range(k):
            scale = calibration.diagonal if i == j else off
            if scale:
                value += 0.5 * ((matrix[i, j] - (i == j)) / scale) ** 2
            else:
                assert matrix[i, j] == (i == j)
    return (value + 0.5 * ((intercept / calibration.intercept) ** 2).sum()) / w.sum()


@pytest.mark.parametrize("calibration", FITTABLE[1:5], ids=repr)
def test_affine_fits_minimise_the_documented_objective(calibration):
    z, y, w = rows(300)
    w = w + 0.01
    fitted = clone(calibration).fit(z, y, w)
    t, k = fitted.temperature_, 3
    best = penalised_loss(calibration, z, y, w, fitted.matrix_, fitted.intercept_, t)
    free = np.eye(k, dtype=bool) if isinstance(calibration, VectorScaling) else np.ones((k, k), bool)

    def unpacked(x):
        matrix = np.eye(k)
        matrix[free] = x[:-k]
        return matrix, x[-k:]

    start = np.concatenate([np.eye(k)[free], np.zeros(k)])
    rival = minimize(
        lambda x: penalised_loss(calibration, z, y, w, *unpacked(x), t), start, method="BFGS", options={"gtol": 1e-7}
    )
    assert best <= rival.fun + 1e-12
    # The objective is strictly convex: equal values mean equal arguments.
    np.testing.assert_allclose(np.concatenate([fitted.matrix_[free], fitted.intercept_]), rival.x, atol=1e-4)
    assert fitted.log_loss_ == pytest.approx(metrics.log_loss(fitted.predict_proba(z), y, sample_weight=w), rel=1e-9)


@pytest.mark.parametrize("calibration", FITTABLE[1:5], ids=repr)
def test_what_softmax_cannot_see_does_not_matter(calibration):
    z, y, _ = rows(300)
    shifted = z + np.random.default_rng(0).normal(size=(300, 1)) * 10
    np.testing.assert_allclose(
        clone(calibration).fit(z, y).predict_proba(z),
        clone(calibration).fit(shifted, y).predict_proba(shifted),
        atol=1e-7,
    )


def test_structure_helps_between_few_rows_and_many():
    """Matrix scaling overfits few rows, temperature underfits many; structured scaling is near the better of them."""
    rng = np.random.default_rng(5)
    k = 10
    mix = np.diag(rng.uniform(0.6, 1.6, k)) + rng.normal(size=(k, k)) * 0.05

    def losses(n):
        z = rng.normal(size=(n + 20_000, k)) * 2
        y = (z @ mix.T + rng.gumbel(size=z.shape)).argmax(axis=1)
        return [
            metrics.log_loss(method.fit(z[:n], y[:n]).predict_proba(z[n:]), y[n:])
            for method in (TemperatureScaling(), MatrixScaling(), StructuredScaling())
        ]

    temperature, matrix, structured = losses(150)
    assert structured < min(temperature, matrix)
    temperature, matrix, structured = losses(5000)
    assert structured < temperature and structured < matrix + 0.002


@pytest.mark.parametrize("calibration", CONVEX, ids=repr)
def test_calibrating_does_not_hurt_where_it_was_fitted(calibration):
    z, y, w = rows(1000)
    fitted = clone(calibration).fit(z, y, w)
    assert fitted.log_loss_ < metrics.log_loss(softmax(z), y, sample_weight=w)


def test_prior_correction_is_bayes_rule():
    z, y, w = rows(500)
    source, target = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.3, 0.1])
    p = PriorCorrection(source, target).fit(z, y).predict_proba(z)
    expected = softmax(z) * target / source
    np.testing.assert_allclose(p, expected / expected.sum(axis=1, keepdims=True), rtol=1e-12)
    seen = np.bincount(y, weights=w) / w.sum()
    np.testing.assert_allclose(PriorCorrection(source=source).fit(z, y, w).target_, seen, rtol=1e-14)
    np.testing.assert_allclose(PriorCorrection(target=2 * target).fit(z, y, w).source_, seen, rtol=1e-14)


# ---- manners shared by all


@pytest.mark.parametrize("calibration", FITTABLE, ids=repr)
def test_weights_count_rows(calibration):
    z, y, _ = rows(300)
    times = np.random.default_rng(2).integers(0, 3, 300)
    again = np.repeat(np.arange(300), times)
    weighted = clone(calibration).fit(z, y, times)
    np.testing.assert_allclose(
        weighted.transform(z), clone(calibration).fit(z[again], y[again]).transform(z), atol=1e-6
    )


@pytest.mark.parametrize("calibration", FITTABLE, ids=repr)
def test_round_trip_through_json(calibration):
    z, y, w = rows(300)
    for labels in (y, np.array(["x", "y", "z"])[y]):
        fitted = clone(calibration).fit(z, labels, w)
        again = from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
        np.testing.assert_array_equal(again.transform(z), fitted.transform(z))
        np.testing.assert_array_equal(again.predict(z), fitted.predict(z))
        assert type(again) is type(fitted) and again.to_dict() == fitted.to_dict()
        assert isinstance(again.predict(z)[0], type(labels[0]))


@pytest.mark.parametrize("calibration", FITTABLE, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_types_and_shapes(calibration, dtype):
    z, y, _ = rows(300)
    fitted = clone(calibration).fit(z.astype(dtype), y)
    assert fitted.transform(z.astype(dtype)).dtype == dtype
    p = fitted.predict_proba(z.astype(dtype))
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-6)
    assert fitted.transform(z[:1]).shape == (1, 3)
    with pytest.raises(ValueError, match="fitted on 3 classes, not 4"):
        fitted.transform(np.zeros((2, 4)))
    np.testing.assert_array_equal(fitted.predict(z), p.argmax(axis=1)) if dtype == np.float64 else None


@pytest.mark.parametrize("calibration", FITTABLE, ids=repr)
def test_labels_find_their_columns(calibration):
    z, y, _ = rows(300)
    plain = clone(calibration).fit(z, y)
    names = np.array(["cherry", "apple", "banana"])
    named = clone(calibration).fit(z, names[y], classes=names)
    np.testing.assert_array_equal(named.predict(z), names[plain.predict(z)])
    ordered = np.array(["apple", "banana", "cherry"])
    np.testing.assert_array_equal(clone(calibration).fit(z, ordered[y]).transform(z), plain.transform(z))


def with_(z, row, column, value):
    z = z.copy()
    z[row, column] = value
    return z


@pytest.mark.parametrize("calibration", FITTABLE, ids=repr)
@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda z, y: (with_(z, 7, 1, np.nan), y), "NaN in 1 of 300 rows, first in row 7"),
        (lambda z, y: (with_(z, 7, 1, np.inf), y), "infinite in row 7"),
        (lambda z, y: (softmax(z), y), "these are probabilities"),
        (lambda z, y: (z, np.zeros(300, int)), "at least two classes, but got one class only"),
        (lambda z, y: (z[:, 0], y), "np.column_stack"),
        (lambda z, y: (z[:, :1], y), "at least 2"),
        (lambda z, y: (z, y[:-1]), "300 rows of logits but 299 labels"),
        (lambda z, y: (z, y + 7 * (y == 2) + (y == 0) * 0.5), "pass classes=|class indices|distinct labels|not one of"),
        (lambda z, y: (z[:0], y[:0]), "at least two classes|distinct labels"),
    ],
)
def test_refused_with_advice(calibration, spoil, match):
    z, y, _ = rows(300)
    if match.startswith("pass classes=") and len(np.unique(spoil(z, y)[1])) == 3:
        return  # three labels for three columns are the sorted labels
    with pytest.raises(ValueError, match=match):
        clone(calibration).fit(*spoil(z, y))


def test_probabilities_are_refused_at_use_too():
    z, y, _ = rows(300)
    fitted = TemperatureScaling().fit(z, y)
    with pytest.raises(ValueError, match="these are probabilities"):
        fitted.predict_proba(softmax(z))


@pytest.mark.parametrize(
    ("calibration", "needed"),
    [(VectorScaling(), 10), (MatrixScaling(), 30), (StructuredScaling(), 10), (DirichletCalibration(), 30)],
    ids=repr,
)
def test_fewer_rows_than_parameters(calibration, needed):
    z, y, _ = rows(needed - 1, k=5, seed=3)
    with pytest.raises(ValueError, match=rf"{needed - 1} held-out rows cannot determine {needed} parameters.*use"):
        calibration.fit(z, y, classes=range(5))
    z, y, _ = rows(needed, k=5, seed=3)
    calibration.fit(z, y, classes=range(5))


def test_refused_settings_and_descriptions():
    z, y, w = rows(300)
    with pytest.raises(ValueError, match="0 < low < high < inf"):
        TemperatureScaling(bounds=(2.0, 1.0)).fit(z, y)
    with pytest.raises(ValueError, match="needs source= or target="):
        PriorCorrection().fit(z, y)
    with pytest.raises(ValueError, match="frequency > 0"):
        PriorCorrection(source=[1.0, 0.0, 0.0]).fit(z, y)
    with pytest.raises(ValueError, match="prior deviations"):
        VectorScaling(diagonal=-1.0).fit(z, y)
    with pytest.raises(ValueError, match="logit -inf for its own class"):
        TemperatureScaling().fit(with_(z, 3, y[3], -np.inf), y)
    with pytest.raises(ValueError, match="finite and >= 0"):
        TemperatureScaling().fit(z, y, -w)
    good = TemperatureScaling().fit(z, y).to_dict()
    for bad in (
        None,
        {},
        {**good, "method": "Oracle"},
        {**good, "parameters": {}},
        {**good, "parameters": {"temperature": -1.0, "at_bound": None}},
        {**good, "parameters": {"temperature": "hot", "at_bound": None}},
        {**good, "parameters": {**good["parameters"], "extra": 1}},
        {**good, "settings": {"colour": 1}},
        {key: value for key, value in good.items() if key != "classes"},
    ):
        with pytest.raises(ValueError, match=r"not a calibration|malformed|must be finite"):
            from_dict(bad)


def test_every_method_has_a_name_for_the_command_line():
    assert {type(c) for c in FITTABLE} == set(CALIBRATIONS.values())
