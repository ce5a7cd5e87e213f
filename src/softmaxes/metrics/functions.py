"""Each metric as a plain function of probabilities and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmaxes.metrics.bins import Kind, Scheme
from softmaxes.metrics.brier import Brier
from softmaxes.metrics.calibration_error import CalibrationError, DebiasedCalibrationError
from softmaxes.metrics.confusion import ConfusionMatrix
from softmaxes.metrics.means import Accuracy, LogLoss, TopK
from softmaxes.metrics.smooth import SmoothCalibrationError

__all__ = [
    "accuracy",
    "brier",
    "calibration_error",
    "confusion_matrix",
    "debiased_calibration_error",
    "log_loss",
    "smooth_calibration_error",
    "top_k",
]


def log_loss(
    probabilities: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None, classes: Any = None
) -> float:
    """Return the mean of -log p_y, in nats; +inf if a true class had probability 0. See `LogLoss`.

    Examples
    --------
    >>> round(log_loss([[0.5, 0.5], [0.25, 0.75]], [0, 1]), 6)
    0.490415
    """
    return LogLoss.of(probabilities, y, sample_weight=sample_weight, classes=classes).value


def brier(
    probabilities: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None, classes: Any = None
) -> float:
    """Return the mean of sum_k (p_k - [k = y])^2, from 0 to 2. See `Brier`.

    Examples
    --------
    >>> brier([[0.5, 0.5], [0.25, 0.75]], [0, 1])
    0.3125
    """
    return Brier.of(probabilities, y, sample_weight=sample_weight, classes=classes).value


def accuracy(
    probabilities: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None, classes: Any = None
) -> float:
    """Return the share of rows whose most probable class is the true one. See `Accuracy`.

    Examples
    --------
    >>> accuracy([[0.5, 0.5], [0.25, 0.75]], ["no", "no"], classes=["no", "yes"])
    0.5
    """
    return Accuracy.of(probabilities, y, sample_weight=sample_weight, classes=classes).value


def top_k(
    probabilities: ArrayLike, y: ArrayLike, k: int = 5, *, sample_weight: ArrayLike | None = None, classes: Any = None
) -> float:
    """Return the share of rows whose true class is among the k most probable. See `TopK`.

    Examples
    --------
    >>> top_k([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], [1, 2], k=2)
    0.5
    """
    return TopK(k=k).of(probabilities, y, sample_weight=sample_weight, classes=classes).value


def calibration_error(
    probabilities: ArrayLike,
    y: ArrayLike,
    bins: int = 15,
    scheme: Scheme = "equal_width",
    kind: Kind = "top_label",
    *,
    sample_weight: ArrayLike | None = None,
    classes: Any = None,
) -> float:
    """Return the expected calibration error (ECE); no proper score: judge by `log_loss` first. See `CalibrationError`.

    Examples
    --------
    >>> calibration_error([[0.75, 0.25], [0.25, 0.75]], [0, 1])
    0.25
    """
    metric = CalibrationError(bins=bins, scheme=scheme, kind=kind)
    return metric.of(probabilities, y, sample_weight=sample_weight, classes=classes).value


def debiased_calibration_error(
    probabilities: ArrayLike,
    y: ArrayLike,
    bins: int = 15,
    scheme: Scheme = "equal_mass",
    kind: Kind = "top_label",
    *,
    sample_weight: ArrayLike | None = None,
    classes: Any = None,
) -> float:
    """Return the root mean square calibration error less its sampling noise. See `DebiasedCalibrationError`.

    Examples
    --------
    >>> debiased_calibration_error([[0.75, 0.25]] * 4, [0, 0, 0, 1])
    0.0
    """
    metric = DebiasedCalibrationError(bins=bins, scheme=scheme, kind=kind)
    return metric.of(probabilities, y, sample_weight=sample_weight, classes=classes).value


def smooth_calibration_error(
    probabilities: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None, classes: Any = None
) -> float:
    """Return the smooth calibration error of the top label. See `SmoothCalibrationError`.

    Examples
    --------
    >>> round(smooth_calibration_error([[0.9, 0.1]] * 4, [0, 0, 1, 1]), 6)
    0.4
    """
    return SmoothCalibrationError.of(probabilities, y, sample_weight=sample_weight, classes=classes).value


def confusion_matrix(
    probabilities: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None, classes: Any = None
) -> NDArray[np.float64]:
    """Return the (K, K) weights of true class (row) against most probable class (column). See `ConfusionMatrix`.

    Examples
    --------
    >>> confusion_matrix([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], [0, 1, 1])
    array([[1., 0.],
           [1., 1.]])
    """
    return ConfusionMatrix.of(probabilities, y, sample_weight=sample_weight, classes=classes).value
