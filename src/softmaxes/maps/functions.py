"""The members as plain functions: any axis, masks, and a say over rows without a possible class."""

from __future__ import annotations

from typing import Literal

import numpy as np

from softmaxes import generic
from softmaxes.arrays import Array, Axis, as_floating, checked_out, layout
from softmaxes.maps.base import Member
from softmaxes.maps.linear import Linear, MinShift
from softmaxes.maps.polynomial import Taylor
from softmaxes.maps.spherical import Spherical
from softmaxes.maps.tsallis import Entmax, Sparsemax
from softmaxes.masks import Empty, checked_empty, masked, settled

__all__ = ["entmax", "linear_normalize", "sparsemax", "spherical_softmax", "taylor_softmax"]


def sparsemax(
    x: Array, axis: Axis = -1, *, where: Array | None = None, empty: Empty = "nan", out: Array | None = None
) -> Array:
    """Return the Euclidean projection of the logits onto the probability simplex (Martins & Astudillo 2016).

    p_i = [x_i - tau]_+ with sum p = 1: small scores get exactly 0.

    Parameters
    ----------
    x : array
        Scores of any dtype of the table (bool, integers, floating point) and any Array API library.
    axis : int, tuple of ints or None, default -1
        The axis of the classes.
    where : boolean array that broadcasts to x, optional
        False marks a class that cannot happen, like a score of -inf: it gets 0.
    empty : {"nan", "zero", "uniform", "raise"}
        What a row without a possible class gets.
    out : NumPy array of the result's shape and dtype, optional
        May be x itself.

    Raises
    ------
    TypeError, ValueError
        For a dtype, axis, mask or `out` that does not fit, as in `softmaxes.softmax`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.sparsemax([[0.5, 0.0, -0.5], [3.0, 1.0, 1.0]])
    array([[0.75, 0.25, 0.  ],
           [1.  , 0.  , 0.  ]])
    """
    return _along(Sparsemax(), x, axis, where, empty, out)


def entmax(
    x: Array,
    alpha: float = 1.5,
    axis: Axis = -1,
    *,
    where: Array | None = None,
    empty: Empty = "nan",
    out: Array | None = None,
) -> Array:
    """Return alpha-entmax of the logits: softmax at alpha = 1, sparsemax at alpha = 2 (Peters et al. 2019).

    p_i = [(alpha - 1) x_i - tau]_+^(1 / (alpha - 1)) with sum p = 1; the other parameters are those of `sparsemax`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.entmax([1.0, 0.5, -3.0]).round(4)
    array([0.674, 0.326, 0.   ])
    """
    return _along(Entmax(alpha), x, axis, where, empty, out)


def taylor_softmax(
    x: Array,
    order: int = 2,
    axis: Axis = -1,
    *,
    where: Array | None = None,
    empty: Empty = "nan",
    out: Array | None = None,
) -> Array:
    """Return f(x_i) / sum f(x_j) with f the Taylor polynomial of exp of this order (de Brebisson & Vincent 2016).

    Odd orders need logits above the polynomial's zero, else ValueError; the other parameters are those of
    `sparsemax`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.taylor_softmax([-1.0, 0.0, -2.0])
    array([0.2, 0.4, 0.4])
    """
    return _along(Taylor(order), x, axis, where, empty, out)


def spherical_softmax(
    x: Array,
    epsilon: float = 0.0,
    axis: Axis = -1,
    *,
    where: Array | None = None,
    empty: Empty = "nan",
    out: Array | None = None,
) -> Array:
    """Return (x_i^2 + epsilon) / sum (x_j^2 + epsilon); the other parameters are those of `sparsemax`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.spherical_softmax([1.0, -2.0, 0.0])
    array([0.2, 0.8, 0. ])
    """
    return _along(Spherical(epsilon), x, axis, where, empty, out)


def linear_normalize(
    x: Array,
    axis: Axis = -1,
    *,
    shift: Literal["none", "min"] = "none",
    where: Array | None = None,
    empty: Empty = "nan",
    out: Array | None = None,
) -> Array:
    """Return x / sum x, or (x - min x) / sum (x - min x) for shift="min".

    Without a shift the scores must be >= 0 and not all 0, else ValueError. With it a row without differences gets
    the uniform distribution. The other parameters are those of `sparsemax`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.linear_normalize([2.0, 4.0, 2.0])
    array([0.25, 0.5 , 0.25])
    >>> sm.linear_normalize([5.0, 7.0, 8.0], shift="min")
    array([0. , 0.4, 0.6])
    """
    if shift not in ("none", "min"):
        raise ValueError(f"shift={shift!r}; it is 'none' or 'min'")
    return _along(Linear() if shift == "none" else MinShift(), x, axis, where, empty, out)


def _along(member: Member, x: Array, axis: Axis, where: Array | None, empty: Empty, out: Array | None) -> Array:
    """Apply a member along any axes of x."""
    checked_empty(empty)
    ready = as_floating(x)
    xp = ready.xp
    plan = layout(ready.values, axis, xp)
    if out is not None:
        if xp is not np:
            raise TypeError(f"out= is for NumPy input; x is of {xp.__name__}")
        checked_out(out, plan.shape, ready.result_dtype, x)
    rows = masked(plan.to_rows(ready.values), plan, where)
    result = member(rows)
    if rows.shape[-1] and empty != "nan":
        result = settled(result, generic.possible(rows, xp), empty, 1.0 / rows.shape[-1], xp)
    result = ready.finish(plan.from_rows(result))
    if out is None:
        return result
    out[...] = result
    return out
