"""The two-class case: sigmoid, its logarithm, and softplus, each accurate at both ends.

softmax([z, 0])_1 = sigmoid(z); the loss of the two classes is softplus(-z) and softplus(z).
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

from softmaxes.arrays import Array, as_floating

__all__ = ["log_sigmoid", "log_sigmoid_of", "sigmoid", "softplus", "softplus_of"]


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e^-x), entry by entry, without overflow and down to the smallest number.

    It is 1 / (1 + e^-x) for x >= 0 and e^x / (1 + e^x) below.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.sigmoid([-800.0, 0.0, 800.0])
    array([0. , 0.5, 1. ])
    """
    return _entrywise(_sigmoid_of, x)


def log_sigmoid(x: Array) -> Array:
    """Return log sigmoid(x) = -softplus(-x), entry by entry, accurate at both ends.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.log_sigmoid([-800.0, 40.0])
    array([-8.00000000e+02, -4.24835426e-18])
    """
    return _entrywise(log_sigmoid_of, x)


def softplus(x: Array) -> Array:
    """Return log(1 + e^x), entry by entry: x + log1p(e^-x) for x >= 0 and log1p(e^x) below.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.softplus([-40.0, 0.0, 800.0])
    array([4.24835426e-18, 6.93147181e-01, 8.00000000e+02])
    """
    return _entrywise(softplus_of, x)


def _entrywise(function: Callable[[Array, ModuleType], Array], x: Array) -> Array:
    ready = as_floating(x)
    with np.errstate(all="ignore"):
        result = ready.finish(function(ready.values, ready.xp))
    return result[()] if ready.xp is np else result


def _halves(z: Array, xp: ModuleType) -> tuple[Array, Array, Array]:
    """Return where z is negative, and z with 0 put in its negative or its other part.

    Two halves, not |z|: the derivative at 0, where autograd libraries take that of |z| as 0, stays right.
    """
    below, nothing = z < 0, xp.zeros_like(z)
    return below, xp.where(below, z, nothing), xp.where(below, nothing, z)


def _sigmoid_of(z: Array, xp: ModuleType) -> Array:
    below, low, high = _halves(z, xp)
    t = xp.exp(low)
    return xp.where(below, t / (1 + t), 1 / (1 + xp.exp(-high)))


def softplus_of(z: Array, xp: ModuleType) -> Array:
    """Return softplus of a floating-point array in its own words."""
    below, low, high = _halves(z, xp)
    return xp.where(below, xp.log1p(xp.exp(low)), high + xp.log1p(xp.exp(-high)))


def log_sigmoid_of(z: Array, xp: ModuleType) -> Array:
    """Return log sigmoid of a floating-point array in its own words."""
    return -softplus_of(-z, xp)
