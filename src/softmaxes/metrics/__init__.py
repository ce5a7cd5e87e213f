"""Scores of predicted probabilities, as plain functions and as states that merge.

Lead with the proper scores, `LogLoss` and `Brier`: they are best in expectation for the true probabilities and for
nothing else. A calibration error comes second: it is 0 for a model that ignores its input and answers with the class
frequencies, and a binned one depends on the bins.

Every class is a frozen value: `M.of(probabilities, y)`, `a.merge(b)`, `.value`, `.interval(0.95)`. Merging is exact:
the states of any split of the rows, merged in any order, are equal to the state of the whole.

Labels are column numbers 0..K-1; with `classes=` (the label of each column, as in `classifier.classes_`) they are
anything.
"""

from softmaxes.metrics.base import Metric
from softmaxes.metrics.bins import Bins
from softmaxes.metrics.brier import Brier
from softmaxes.metrics.calibration_error import CalibrationError, DebiasedCalibrationError
from softmaxes.metrics.confusion import ConfusionMatrix
from softmaxes.metrics.functions import (
    accuracy,
    brier,
    calibration_error,
    confusion_matrix,
    debiased_calibration_error,
    log_loss,
    smooth_calibration_error,
    top_k,
)
from softmaxes.metrics.means import Accuracy, LogLoss, TopK
from softmaxes.metrics.smooth import SmoothCalibrationError

__all__ = [
    "Accuracy",
    "Bins",
    "Brier",
    "CalibrationError",
    "ConfusionMatrix",
    "DebiasedCalibrationError",
    "LogLoss",
    "Metric",
    "SmoothCalibrationError",
    "TopK",
    "accuracy",
    "brier",
    "calibration_error",
    "confusion_matrix",
    "debiased_calibration_error",
    "log_loss",
    "smooth_calibration_error",
    "top_k",
]
