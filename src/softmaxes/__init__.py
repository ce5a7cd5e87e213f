"""softmaxes: the softmax family, exact, fast, and carried through to a trained, calibrated classifier.

The names below are the public ones. The core needs NumPy and array-api-compat; what needs more loads on first use.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# public name -> the room that defines it
_ROOMS = {
    "entropy": "exponential",
    "hardmax": "exponential",
    "kl_divergence": "exponential",
    "log_softmax": "exponential",
    "logsumexp": "exponential",
    "soft_argmax": "exponential",
    "softmax": "exponential",
    "softmin": "exponential",
    "LogZ": "logz",
    "FAMILY": "maps",
    "Entmax": "maps",
    "Generalized": "maps",
    "Hardmax": "maps",
    "Linear": "maps",
    "MinShift": "maps",
    "Softmax": "maps",
    "Sparsemax": "maps",
    "Spherical": "maps",
    "Taylor": "maps",
    "entmax": "maps",
    "linear_normalize": "maps",
    "log_sigmoid": "maps",
    "sigmoid": "maps",
    "softplus": "maps",
    "sparsemax": "maps",
    "spherical_softmax": "maps",
    "taylor_softmax": "maps",
    "gumbel_softmax": "sampling",
    "sample": "sampling",
    "sample_without_replacement": "sampling",
    "cross_entropy": "losses",
    "cross_entropy_and_gradient": "losses",
    "linear_cross_entropy": "heads",
    "linear_cross_entropy_and_gradient": "heads",
    "SoftmaxClassifier": "classifier",
    "SoftmaxClassifierCV": "selection",
    "load": "persistence",
    "CalibratedClassifier": "calibration",
    "DirichletCalibration": "calibration",
    "MatrixScaling": "calibration",
    "PriorCorrection": "calibration",
    "StructuredScaling": "calibration",
    "TemperatureScaling": "calibration",
    "VectorScaling": "calibration",
}

# rooms that are public as a whole
_MODULES = (
    "calibration",
    "losses",
    "maps",
    "maximum_entropy",
    "sampling",
    "transforms",
    "metrics",
    "sources",
    "heads",
    "errors",
)

__all__ = ["__version__", *sorted(_ROOMS), *_MODULES]  # noqa: PLE0604 - names come from the table above


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        value = getattr(import_module(f"softmaxes.{_ROOMS[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"softmaxes.{name}")
    else:
        raise AttributeError(f"module 'softmaxes' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
