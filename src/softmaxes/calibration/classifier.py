"""A classifier together with its calibration: one estimator, one file."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from softmaxes.calibration.base import Calibration
from softmaxes.calibration.temperature import TemperatureScaling

__all__ = ["CalibratedClassifier"]


class CalibratedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier plus one transform of its logits; the classifier itself stays as it is.

    The logits are the classifier's log-probabilities, which differ from its scores by a constant of each row, and that
    softmax cannot see.

    Parameters
    ----------
    classifier : a fitted classifier with `predict_log_proba` and `classes_`
    calibration : Calibration, default TemperatureScaling()
        What to fit; it is cloned, not changed.

    Attributes
    ----------
    calibration_ : Calibration
        The fitted one.
    classes_ : the labels, in the order of the columns of probabilities

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from softmaxes.classifier import SoftmaxClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> clf = SoftmaxClassifier().fit(X[::2], y[::2])
    >>> calibrated = CalibratedClassifier(clf).fit(X[1::2], y[1::2])
    >>> calibrated.predict_proba(X[:2]).argmax(axis=1).tolist()
    [0, 0]
    """

    calibration_: Calibration
    classes_: NDArray[Any]

    def __init__(self, classifier: Any, calibration: Calibration | None = None) -> None:
        self.classifier = classifier
        self.calibration = calibration

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the calibration on rows that the classifier was not trained on.

        Raises
        ------
        TypeError
            If the classifier gives no log-probabilities.
        ValueError
            If the rows are too few or too uniform for the calibration; see `Calibration.fit`.
        """
        logits = self._logits(X)
        wanted = TemperatureScaling() if self.calibration is None else clone(self.calibration)
        return self._keep(wanted.fit(logits, y, sample_weight, classes=self.classifier.classes_))

    @classmethod
    def of(cls, classifier: Any, fitted: Calibration) -> Self:
        """Return a classifier with a calibration that is fitted already, on its log-probabilities or its logits."""
        if fitted.n_features_in_ != len(classifier.classes_):
            raise ValueError(
                f"the calibration is for {fitted.n_features_in_} classes, the classifier has {len(classifier.classes_)}"
            )
        return cls(classifier, clone(fitted))._keep(fitted)

    def _keep(self, fitted: Calibration) -> Self:
        self.calibration_, self.classes_ = fitted, self.classifier.classes_
        self.n_features_in_ = self.classifier.n_features_in_
        return self

    def _logits(self, X: Any) -> NDArray[Any]:
        if not callable(getattr(self.classifier, "predict_log_proba", None)):
            raise TypeError(
                f"{type(self.classifier).__name__} gives no log-probabilities (predict_log_proba), and a calibration "
                "transforms logits: bring a classifier that has them, or fit a calibration on its scores by itself."
            )
        logits: NDArray[Any] = np.asarray(self.classifier.predict_log_proba(X))
        return logits

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the calibrated logits, (n_rows, n_classes)."""
        check_is_fitted(self)
        return self.calibration_.transform(self._logits(X))

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the calibrated probabilities, (n_rows, n_classes)."""
        check_is_fitted(self)
        return self.calibration_.predict_proba(self._logits(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable label of each row."""
        labels: NDArray[Any] = self.classes_[self.decision_function(X).argmax(axis=1)]
        return labels

    def save(self, path: str | Path) -> None:
        """Write classifier and calibration to one file that `softmaxes.load` reads and that executes nothing."""
        # The model file knows calibrations, so it lives a floor above: found by name when asked for.
        import_module("softmaxes.persistence").save(self, path)
