"""Calibration: transforms of a model's logits, fitted on held-out rows, with scikit-learn's manners.

`TemperatureScaling` first: one number, which never changes the answer. `StructuredScaling` next, if held-out rows are
many. `to_dict()` gives a fitted calibration as JSON-able values and `from_dict` brings it back.
"""

from typing import Any

from softmaxes.calibration.affine import DirichletCalibration, MatrixScaling, StructuredScaling, VectorScaling
from softmaxes.calibration.base import Calibration
from softmaxes.calibration.classifier import CalibratedClassifier
from softmaxes.calibration.prior import PriorCorrection
from softmaxes.calibration.stream import TemperatureStream
from softmaxes.calibration.temperature import TemperatureScaling, TemperatureStatistics

__all__ = [
    "CALIBRATIONS",
    "CalibratedClassifier",
    "Calibration",
    "DirichletCalibration",
    "MatrixScaling",
    "PriorCorrection",
    "StructuredScaling",
    "TemperatureScaling",
    "TemperatureStatistics",
    "TemperatureStream",
    "VectorScaling",
    "from_dict",
]

# The name on the command line -> the estimator.
CALIBRATIONS: dict[str, type[Calibration]] = {
    "temperature": TemperatureScaling,
    "vector": VectorScaling,
    "matrix": MatrixScaling,
    "structured": StructuredScaling,
    "dirichlet": DirichletCalibration,
    "prior": PriorCorrection,
}


def from_dict(values: dict[str, Any]) -> Calibration:
    """Return the fitted calibration described by `Calibration.to_dict`; ValueError if it is malformed.

    Examples
    --------
    >>> fitted = TemperatureScaling().fit([[2.0, 0.0], [0.0, 2.0], [1.0, 0.0]], [0, 1, 1])
    >>> from_dict(fitted.to_dict()).temperature_ == fitted.temperature_
    True
    """
    if isinstance(values, dict):
        for kind in CALIBRATIONS.values():
            if kind.__name__ == values.get("method"):
                return kind.from_dict(values)
    raise ValueError(
        f"not a calibration: {values!r}; method must be one of {[c.__name__ for c in CALIBRATIONS.values()]}."
    )
