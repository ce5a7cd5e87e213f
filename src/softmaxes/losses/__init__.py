"""Losses of logits against labels or distributions; never of probabilities.

Each is a function that gives the value, and a frozen value that gives its gradient and Hessian product as well:
`focal(z, y)` is `Focal()(z, y)`, and `Focal().value_and_gradient(z, y)` has the gradient.

Examples
--------
>>> from softmaxes import losses
>>> value, gradient = losses.Brier().value_and_gradient([[0.0, 0.0]], [0])
>>> gradient
array([[-0.5,  0.5]])
"""

from softmaxes.losses.base import Reduction
from softmaxes.losses.crossentropy import CrossEntropy, cross_entropy, cross_entropy_and_gradient
from softmaxes.losses.family import (
    FenchelYoung,
    LogitAdjusted,
    MapLoss,
    SoftMargin,
    fenchel_young,
    log_spherical,
    log_taylor,
    logit_adjusted_cross_entropy,
    perceptron,
    soft_margin_cross_entropy,
)
from softmaxes.losses.focal import Focal, focal
from softmaxes.losses.loss import Loss, Options
from softmaxes.losses.squared import Brier, SquaredError, ZeroOne, brier, squared_error, zero_one

__all__ = [
    "Brier",
    "CrossEntropy",
    "FenchelYoung",
    "Focal",
    "LogitAdjusted",
    "Loss",
    "MapLoss",
    "Options",
    "Reduction",
    "SoftMargin",
    "SquaredError",
    "ZeroOne",
    "brier",
    "cross_entropy",
    "cross_entropy_and_gradient",
    "fenchel_young",
    "focal",
    "log_spherical",
    "log_taylor",
    "logit_adjusted_cross_entropy",
    "perceptron",
    "soft_margin_cross_entropy",
    "squared_error",
    "zero_one",
]
