"""A classifier and its calibration are one estimator and one file."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from tests.persistence.cases import fitted

import softmaxes as sm
from softmaxes.errors import UserError

CLASSES = [("no", "yes", "maybe"), ("no", "yes")]
METHODS = [None, sm.VectorScaling(), sm.PriorCorrection(source=[1.0, 2.0])]


@pytest.mark.parametrize("calibration", METHODS, ids=str)
@pytest.mark.parametrize("classes", CLASSES, ids=len)
def test_calibrated_probabilities_and_their_file(tmp_path, classes, calibration):
    if isinstance(calibration, sm.PriorCorrection):
        calibration = sm.PriorCorrection(source=[1.0, 2.0, 3.0][: len(classes)])
    clf, X = fitted(classes, C=100.0)
    rng = np.random.default_rng(3)
    y = np.where(rng.uniform(size=len(X)) < 0.3, rng.permutation(clf.predict(X)), clf.predict(X))
    before = clf.predict_proba(X)
    calibrated = sm.CalibratedClassifier(clf, calibration).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    by_hand = type(calibrated.calibration_)(**calibrated.calibration_.get_params())
    by_hand.fit(np.log(before), y, classes=clf.classes_)
    np.testing.assert_allclose(calibrated.predict_proba(X), by_hand.predict_proba(np.log(before)), rtol=1e-6)
    calibrated.save(tmp_path / "m")
    again = sm.load(tmp_path / "m")
    assert type(again) is sm.CalibratedClassifier
    assert type(again.calibration_) is type(calibrated.calibration_)
    np.testing.assert_array_equal(again.predict_proba(X), calibrated.predict_proba(X))
    assert again.predict(X).tolist() == calibrated.predict(X).tolist()


def test_any_classifier_with_log_probabilities_can_be_calibrated(tmp_path):
    clf, X = fitted()
    y = clf.predict(X)
    calibrated = sm.CalibratedClassifier(LogisticRegression().fit(X, y)).fit(X, y)
    assert calibrated.score(X, y) > 0.9
    with pytest.raises(TypeError, match="a calibrated SoftmaxClassifier can be saved, not a LogisticRegression"):
        calibrated.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_calibrated():
    clf, X = fitted()
    y = clf.predict(X)
    with pytest.raises(TypeError, match="LinearSVC gives no log-probabilities"):
        sm.CalibratedClassifier(LinearSVC().fit(X, y)).fit(X, y)
    with pytest.raises(ValueError, match="at least two classes, but got one class only, 'no'"):
        sm.CalibratedClassifier(clf).fit(X[:3], ["no"] * 3)
    with pytest.raises(ValueError, match="the calibration is for 2 classes, the classifier has 3"):
        sm.CalibratedClassifier.of(clf, sm.TemperatureScaling().fit([[2.0, 0.0], [0.0, 1.0]], [1, 0]))


def test_a_file_with_a_foreign_calibration_is_refused(tmp_path):
    clf, X = fitted()
    calibrated = sm.CalibratedClassifier(clf).fit(X, clf.predict(X))
    calibrated.calibration_ = sm.TemperatureScaling().fit([[2.0, 0.0], [0.0, 1.0]], [1, 0])
    calibrated.save(tmp_path / "m")
    with pytest.raises(UserError, match="for 2 classes, the classifier has 3"):
        sm.load(tmp_path / "m")
