"""Rows that pass by once: each block is judged, then learned from; the same pass gives scores and a temperature."""

from itertools import pairwise

import numpy as np
import pytest

import softmaxes as sm
from softmaxes.calibration import TemperatureScaling, TemperatureStream

CLASSES = np.array(["ash", "birch", "cedar", "elm"])
WEIGHTS = np.random.default_rng(0).standard_normal((8, 4))


def stream(blocks, rows=500):
    """Yield blocks that nobody can see again, drawn from a softmax."""
    rng = np.random.default_rng(1)
    for _ in range(blocks):
        X = rng.standard_normal((rows, 8)) * [1, 1, 1, 1, 5, 5, 0.2, 0.2] + [0, 0, 3, 3, 0, 0, 0, 0]
        logits = X @ WEIGHTS
        yield X, CLASSES[(logits + rng.gumbel(size=logits.shape)).argmax(axis=1)], logits


def test_one_pass_trains_scores_and_calibrates():
    clf = sm.SoftmaxClassifier(C=100.0)
    loss, accuracy, calibration = sm.metrics.LogLoss(), sm.metrics.Accuracy(), sm.metrics.CalibrationError(bins=10)
    temperature = TemperatureStream()
    seen, best = [], sm.metrics.LogLoss()
    for X, y, truth in stream(60):
        if hasattr(clf, "classes_"):  # judged before it is learned from: no row is judged by a model that knows it
            logits = clf.decision_function(X)
            codes = np.searchsorted(CLASSES, y)
            p = sm.softmax(logits)
            loss = loss.merge(sm.metrics.LogLoss.of(p, codes))
            accuracy = accuracy.merge(sm.metrics.Accuracy.of(p, codes))
            calibration = calibration.merge(sm.metrics.CalibrationError.of(p, codes, bins=10))
            temperature = temperature.merge(TemperatureStream.of(logits, codes))
            best = best.merge(sm.metrics.LogLoss.of(sm.softmax(truth), codes))
            seen.append((logits, codes))
        clf.partial_fit(X, y, classes=CLASSES)
    # The states that met every block once say what all rows together say.
    logits, codes = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    assert loss == sm.metrics.LogLoss.of(sm.softmax(logits), codes)
    assert accuracy == sm.metrics.Accuracy.of(sm.softmax(logits), codes)
    assert calibration == sm.metrics.CalibrationError.of(sm.softmax(logits), codes, bins=10)
    whole = TemperatureScaling().fit(logits, codes)
    assert temperature.fitted().temperature_ == pytest.approx(whole.temperature_, rel=1e-6)
    assert temperature.fitted().log_loss_ == pytest.approx(whole.log_loss_, rel=1e-9)
    # What was learned on the way cost little against the rows' own distribution: (p / 2n) log n is 0.005 here.
    assert best.value < loss.value < best.value + 0.01
    X, y, truth = next(stream(1, 4000))
    assert sm.metrics.log_loss(clf.predict_proba(X), y, classes=clf.classes_) == pytest.approx(
        sm.metrics.log_loss(sm.softmax(truth), y, classes=CLASSES), abs=0.005
    )


@pytest.mark.parametrize("factor", [0.04, 0.5, 1.0, 2.9, 25.0])
def test_a_streamed_temperature_is_that_of_all_rows(factor):
    rng = np.random.default_rng(2)
    logits = rng.standard_normal((3000, 5)) * 1.5
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    weights = rng.integers(0, 3, len(y)).astype(float)
    cuts = np.array([0, 1, 700, 700, 2999, 3000])
    parts = [TemperatureStream.of(factor * logits[a:b], y[a:b], weights[a:b]) for a, b in pairwise(cuts) if b > a]
    both = parts[0].merge(parts[1]).merge(parts[2].merge(parts[3])).merge(TemperatureStream())
    expected = TemperatureScaling().fit(factor * logits, y, weights)
    assert both.fitted().temperature_ == pytest.approx(expected.temperature_, rel=1e-6)
    assert both.fitted(list("abcde")).predict(logits[:1]).tolist() == ["abcde"[logits[0].argmax()]]


def test_a_streamed_temperature_knows_its_bounds_and_its_rows():
    logits = np.array([[2.0, 0.0], [0.0, 2.0]])
    always_right = TemperatureStream.of(logits, [0, 1]).fitted()
    assert (always_right.temperature_, always_right.at_bound_) == (pytest.approx(1 / 32), "lower")
    misled = TemperatureStream.of(logits, [1, 0]).fitted()
    assert (misled.temperature_, misled.at_bound_) == (pytest.approx(32), "upper")
    with pytest.raises(ValueError, match="no rows of positive weight"):
        TemperatureStream().fitted()
    with pytest.raises(ValueError, match="2 and of 3 classes"):
        TemperatureStream.of(logits, [0, 1]).merge(TemperatureStream.of(2 * np.eye(3), [0, 1, 2]))
