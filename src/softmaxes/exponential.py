"""The exponential core: softmax and what is read off the same row, for every kind of input.

Each function validates, finds the kernel or the generic text, and settles rows without a possible class.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from functools import lru_cache
from types import ModuleType
from typing import NamedTuple

import numpy as np

from softmaxes import generic, native
from softmaxes.arrays import Array, Axis, Floating, Layout, as_floating, checked_out, layout
from softmaxes.masks import Empty, checked_empty, checked_mask, masked, no_class, settled


def softmax(
    x: Array,
    axis: Axis = -1,
    *,
    temperature: float = 1.0,
    base: float | None = None,
    where: Array | None = None,
    empty: Empty = "nan",
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Return the probabilities proportional to the exponentials of the logits.

    p_i = exp(x_i / T) / sum_j exp(x_j / T), or psi^x_i / sum_j psi^x_j for a base psi = e^(1/T).

    Parameters
    ----------
    x : array
        Logits of any shape: bool, integers or floating point; -inf marks an impossible class (probability 0),
        +inf the limit (the +inf entries share the probability), NaN makes its row NaN.
    axis : int, tuple of int or None
        The classes; a tuple or None (all axes) normalises over several axes at once.
    temperature : float
        T >= 0: 0 gives hardmax with ties shared, infinity the uniform distribution over the possible classes.
    base : float, optional
        psi > 1 in place of a temperature.
    where : array of bool, optional
        True where the class is possible; broadcasts against x.
    empty : {"nan", "zero", "uniform", "raise"}
        What a row without a possible class becomes.
    out : numpy.ndarray, optional
        Where to write: x itself or memory disjoint from it (NumPy input only).
    threads : int, optional
        How many threads to use at most; the result has the same bits for any number.

    Returns
    -------
    array
        Of x's library and shape; float32 for bool and 8- and 16-bit integers, float64 for wider ones, else x's dtype.

    Raises
    ------
    TypeError
        For complex, object, string, datetime or masked arrays.
    ValueError
        For a bad axis, temperature, base, `where`, `empty` or `out`; for a row without a class if empty="raise".

    Notes
    -----
    Accuracy: `softmaxes.contracts`, at most 2 ULP in float32 and 4 ULP in float64, subnormal results included.
    Source: Blanchard, Higham & Higham 2021, IMA J. Numer. Anal. 41(4).

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.softmax([0.0, 2.0, 3.0]).round(4)
    array([0.0351, 0.2595, 0.7054])
    >>> sm.softmax([0.0, float("inf"), float("inf")])
    array([0. , 0.5, 0.5])
    >>> sm.softmax([[1, 2], [3, 3]], where=[[True, False], [True, True]])
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    if where is None and base is None and _is_one(temperature) and empty == "nan":
        result = native.quick(0, x, axis, out, threads)
        if result is not None:
            return result
    return _map("softmax", x, axis, inverse_temperature(temperature, base), where, empty, out, threads)


def log_softmax(
    x: Array,
    axis: Axis = -1,
    *,
    temperature: float = 1.0,
    base: float | None = None,
    where: Array | None = None,
    empty: Empty = "nan",
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Return the logarithms of the softmax probabilities, to full relative accuracy near 0 as well.

    log p_i = d_i - log(1 + r), d_i = (x_i - max x) / T, r = sum of exp d_j over all j but one at the maximum.
    An impossible class has -inf. Parameters, shapes and errors as in `softmax`; under empty="zero" a row without a
    possible class is -inf.

    Notes
    -----
    Accuracy: `softmaxes.contracts`, at most 2 ULP.

    Examples
    --------
    >>> import softmaxes as sm
    >>> float(sm.log_softmax([0.0, -40.0])[0])
    -4.248354255291589e-18
    """
    if where is None and base is None and _is_one(temperature) and empty == "nan":
        result = native.quick(1, x, axis, out, threads)
        if result is not None:
            return result
    return _map("log_softmax", x, axis, inverse_temperature(temperature, base), where, empty, out, threads)


def softmin(
    x: Array,
    axis: Axis = -1,
    *,
    temperature: float = 1.0,
    base: float | None = None,
    where: Array | None = None,
    empty: Empty = "nan",
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Return the softmax of the negated scores: the smallest score gets the largest probability.

    p_i = exp(-x_i / T) / sum_j exp(-x_j / T). Here +inf is the impossible class and -inf the limit. Parameters,
    shapes and errors as in `softmax`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.softmin([0.0, 2.0, 3.0]).round(4)
    array([0.8438, 0.1142, 0.042 ])
    """
    return _map("softmin", x, axis, inverse_temperature(temperature, base), where, empty, out, threads)


def hardmax(
    x: Array, axis: Axis = -1, *, where: Array | None = None, empty: Empty = "nan", out: Array | None = None
) -> Array:
    """Return the limit of softmax at temperature 0: the largest entries share the probability, the others have 0.

    Parameters, shapes and errors as in `softmax`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.hardmax([2.0, 4.0, 4.0, 1.0])
    array([0. , 0.5, 0.5, 0. ])
    """
    return _map("softmax", x, axis, Beta(math.inf, 0.0), where, empty, out, None)


def logsumexp(
    x: Array,
    axis: Axis = -1,
    *,
    weights: Array | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: Array | None = None,
    threads: int | None = None,
) -> Array | tuple[Array, Array]:
    """Return the logarithm of the sum of the exponentials, the smooth maximum of each row.

    log |sum_i w_i exp x_i|, and its sign if asked for.

    Parameters
    ----------
    x : array
        Logits as in `softmax`. A row without a possible class gives -inf, a row with +inf gives +inf.
    axis : int, tuple of int or None
        The axes to sum over.
    weights : array, optional
        Real factors, broadcast against x; an entry of weight 0 does not take part.
    keepdims : bool
        Keep the summed axes with length one.
    return_sign : bool
        Return a pair (log |sum|, sign); without it a negative sum gives NaN.
    where : array of bool, optional
        True where the entry takes part.

    Returns
    -------
    array or pair of arrays
        Without the summed axes, in the dtype of `softmax`.

    Notes
    -----
    Accuracy: `softmaxes.contracts`, at most 1 ULP without weights, near cancellation included for NumPy input.

    Examples
    --------
    >>> import softmaxes as sm
    >>> float(sm.logsumexp([0.0, -40.0]))
    4.248354255291589e-18
    >>> sm.logsumexp([1.0, 1.0], weights=[1.0, -1.0], return_sign=True)
    (np.float64(-inf), np.float64(0.0))
    """
    if weights is None and where is None and not keepdims and not return_sign:
        quick = native.quick(2, x, axis, None, threads)
        if quick is not None:
            return quick
    ready = as_floating(x)
    xp = ready.xp
    plan = layout(ready.values, axis, xp)
    if weights is None and native.takes(ready.values):
        value = _logsumexp_by_kernel(ready.values, plan, where, threads)
        sign = np.where(value == -np.inf, np.zeros_like(value), np.ones_like(value))
    elif weights is None:
        rows = masked(plan.to_rows(ready.values), plan, where)
        with np.errstate(all="ignore"):
            value = generic.logsumexp(rows, xp) if rows.shape[-1] else _all(rows, -math.inf, xp)
        sign = xp.where(value == -xp.inf, xp.zeros_like(value), xp.ones_like(value))
    else:
        factors = as_floating(weights, "weights").values
        shape = np.broadcast_shapes(plan.shape, tuple(factors.shape))
        values = xp.broadcast_to(ready.values, shape)
        factors = xp.astype(xp.broadcast_to(xp.asarray(factors), shape), values.dtype)
        plan = layout(values, axis, xp)
        rows = masked(plan.to_rows(values), plan, where)
        with np.errstate(all="ignore"):
            if rows.shape[-1]:
                value, sign = generic.weighted_logsumexp(rows, plan.to_rows(factors), xp)
            else:
                value, sign = _all(rows, -math.inf, xp), _all(rows, 0.0, xp)
            if not return_sign:
                value = xp.where(sign < 0, xp.full_like(value, xp.nan), value)
    value = plan.from_reduced(ready.finish(value), keepdims)
    if not return_sign:
        return _scalar(value, xp)
    return _scalar(value, xp), _scalar(plan.from_reduced(ready.finish(sign), keepdims), xp)


def _logsumexp_by_kernel(values: Array, plan: Layout, where: Array | None, threads: int | None) -> Array:
    if len(plan.axes) != 1 or where is not None:
        source, axis = masked(plan.to_rows(values), plan, where), len(plan.outer)
    else:
        source, axis = values, plan.axes[0]
    shape = tuple(1 if i == axis else n for i, n in enumerate(source.shape))
    out = np.empty(shape, dtype=source.dtype)
    native.rows("logsumexp", source, axis, ONE, "nan", out, threads)
    return out.reshape(plan.outer)


def entropy(
    x: Array,
    axis: Axis = -1,
    *,
    temperature: float = 1.0,
    base: float | None = None,
    where: Array | None = None,
    empty: Empty = "nan",
    keepdims: bool = False,
) -> Array:
    """Return the Shannon entropy of softmax(x / T) in nats, straight from the logits.

    H = -sum p log p = log(1 + r) - sum d e / (1 + r) with d = (x - max x) / T <= 0, e = exp d, r as in `log_softmax`.
    Both parts are non-negative, so confident rows keep their digits. 0 <= H <= log K; impossible classes add nothing.
    Parameters and errors as in `softmax`; under empty="zero" a row without a possible class has 0, under "uniform"
    log K.

    Examples
    --------
    >>> import softmaxes as sm
    >>> float(sm.entropy([0.0, 0.0]))
    0.6931471805599453
    """
    beta = inverse_temperature(temperature, base)
    return _reduce("entropy", x, axis, beta, where, empty, keepdims)


def soft_argmax(
    x: Array,
    axis: Axis = -1,
    *,
    temperature: float = 1.0,
    base: float | None = None,
    where: Array | None = None,
    empty: Empty = "nan",
    keepdims: bool = False,
) -> Array:
    """Return the mean position sum_i i p_i under softmax(x / T), counted from 0.

    It is the differentiable stand-in for argmax where one maximum dominates; with several maxima it averages their
    positions, and a low temperature sharpens it. Over several axes the position is that in the flattened axes.
    Parameters and errors as in `softmax`; under empty="zero" a row without a possible class gives 0, under "uniform"
    (K - 1) / 2.

    Examples
    --------
    >>> import softmaxes as sm
    >>> round(float(sm.soft_argmax([2.0, 4.0, 18.0, 3.0])), 6)
    1.999999
    """
    beta = inverse_temperature(temperature, base)
    return _reduce("soft_argmax", x, axis, beta, where, empty, keepdims)


def kl_divergence(
    a: Array,
    b: Array,
    axis: Axis = -1,
    *,
    temperature: float = 1.0,
    base: float | None = None,
    where: Array | None = None,
    keepdims: bool = False,
) -> Array:
    """Return the divergence KL(p || q) in nats between p = softmax(a / T) and q = softmax(b / T), from the logits.

    KL = sum p (log p - log q) >= 0, formed without cancellation when a and b are close. An impossible class of p adds
    nothing; a class possible in p and impossible in q makes it +inf. a and b broadcast against each other. A row
    without a possible class gives NaN.

    Raises
    ------
    TypeError, ValueError
        As in `softmax`.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.kl_divergence([1.0, 2.0, 3.0], [1.0, 2.0, 3.0 + 1e-9]) > 0
    np.True_
    """
    beta = inverse_temperature(temperature, base)
    first, second = as_floating(a, "a"), as_floating(b, "b")
    xp = second.xp if first.xp is np else first.xp
    left, right = (v.values if v.xp is xp else xp.asarray(v.values) for v in (first, second))
    dtype = xp.result_type(left.dtype, right.dtype)
    result_dtype = first.result_dtype if first.result_dtype == second.result_dtype else dtype
    shape = np.broadcast_shapes(tuple(left.shape), tuple(right.shape))
    left, right = (xp.broadcast_to(xp.astype(v, dtype), shape) for v in (left, right))
    plan = layout(left, axis, xp)
    rows_a, rows_b = (masked(plan.to_rows(v), plan, where) for v in (left, right))
    if rows_a.shape[-1] == 0:
        value = _all(rows_a, math.nan, xp)
    else:
        with np.errstate(all="ignore"):
            value = generic.kl_divergence(rows_a, rows_b, beta.high, xp)
            value = settled(value, generic.possible(rows_a, xp)[..., 0], "nan", 0.0, xp)
            value = settled(value, generic.possible(rows_b, xp)[..., 0], "nan", 0.0, xp)
    value = xp.astype(value, result_dtype) if value.dtype != result_dtype else value
    return _scalar(plan.from_reduced(value, keepdims), xp)


class Beta(NamedTuple):
    """An inverse temperature as an unevaluated sum: rounding it alone would cost |d| half-units in every result."""

    high: float
    low: float


ONE = Beta(1.0, 0.0)


@lru_cache(maxsize=256)
def _beta(temperature: float, base: float) -> Beta:
    """Return 1 / temperature (if base is 0) or ln base to twice the working precision."""
    with localcontext() as context:
        context.prec = 50
        exact = Decimal(base).ln() if base else 1 / Decimal(temperature)
        high = float(exact)
        return Beta(high, float(exact - Decimal(high)) if math.isfinite(high) else 0.0)


def inverse_temperature(temperature: float = 1.0, base: float | None = None) -> Beta:
    """Return beta = 1 / T = ln psi, in [0, inf]; T and psi are the same knob, so at most one may be given.

    Raises ValueError for a negative or NaN temperature, for a base below 1 or not a number, and for both at once.
    """
    if base is not None:
        if not _is_one(temperature):
            raise ValueError(
                f"base={base} and temperature={temperature} are the same knob (psi = e^(1/T)); pass one of them"
            )
        psi = _real(base, "base")
        if not psi >= 1:
            raise ValueError(
                f"base={base}; needed is psi >= 1 (e is plain softmax, 1 the uniform distribution); "
                "to prefer small scores use softmin"
            )
        return Beta(math.inf, 0.0) if psi == math.inf else _beta(0.0, psi)
    value = _real(temperature, "temperature")
    if not value >= 0:
        raise ValueError(
            f"temperature={temperature}; needed is a number >= 0 (0 gives hardmax, inf the uniform distribution)"
        )
    if value == 1:
        return ONE
    if value in (0, math.inf):
        return Beta(0.0 if value else math.inf, 0.0)
    beta = _beta(value, 0.0)
    if beta.high == math.inf:
        raise ValueError(f"temperature={temperature} is so small that 1/T overflows; pass 0 for its limit, hardmax")
    return beta


def _is_one(temperature: object) -> bool:
    return isinstance(temperature, (int, float)) and temperature == 1


def _real(value: object, name: str) -> float:
    """Return one real number as a float; anything else is refused by name."""
    if isinstance(value, (str, bytes)) or np.ndim(value) != 0:  # type: ignore[arg-type]
        raise TypeError(f"{name}={value!r}; one real number is needed")
    return float(value)  # type: ignore[arg-type]


def _all(rows: Array, value: float, xp: ModuleType) -> Array:
    return xp.full(rows.shape[:-1], value, dtype=rows.dtype, device=getattr(rows, "device", None))


def _scalar(value: Array, xp: ModuleType) -> Array:
    """Return a NumPy reduction over all axes as a NumPy scalar, as numpy.sum does."""
    return np.asarray(value)[()] if xp is np else value


def _map(
    kind: str,
    x: Array,
    axis: Axis,
    beta: Beta,
    where: Array | None,
    empty: str,
    out: Array | None,
    threads: int | None,
) -> Array:
    """Run a function that keeps the shape: softmax, softmin or log_softmax."""
    checked_empty(empty)
    ready = Floating(x, np, x.dtype) if native.takes(x) else as_floating(x)
    plan = layout(ready.values, axis, ready.xp)
    if out is not None:
        if ready.xp is not np:
            raise TypeError(f"out= is for NumPy input; x is of {ready.xp.__name__}")
        checked_out(out, plan.shape, ready.result_dtype, x)
    if native.takes(ready.values) and 0 < beta.high < math.inf:
        return _map_by_kernel(kind, ready.values, plan, beta, where, empty, out, threads, x)
    result = ready.finish(_map_by_text(kind, as_floating(ready.values), plan, beta, where, empty))
    if out is None:
        return result
    out[...] = result
    return out


def _map_by_text(kind: str, ready: Floating, plan: Layout, beta: Beta, where: Array | None, empty: str) -> Array:
    """Run the generic text on an array of any library; returns the dtype that it computes in."""
    xp = plan.xp
    rows = masked(plan.to_rows(-ready.values if kind == "softmin" else ready.values), plan, where)
    size = rows.shape[-1]
    if size == 0:
        return plan.from_rows(rows)
    log = kind == "log_softmax"
    uniform, zero = (-math.log(size), -math.inf) if log else (1.0 / size, 0.0)
    with np.errstate(all="ignore"):
        result = (generic.log_softmax if log else generic.softmax)(rows, beta.high, xp)
        return plan.from_rows(settled(result, generic.possible(rows, xp), empty, uniform, xp, zero))


def _map_by_kernel(
    kind: str,
    values: Array,
    plan: Layout,
    beta: Beta,
    where: Array | None,
    empty: str,
    out: Array | None,
    threads: int | None,
    x: Array,
) -> Array:
    """Run a kernel on a NumPy array that it reads; x is what the caller gave, which must not be written to."""
    if kind == "softmin":
        kind, values = "softmax", np.negative(values)
    if where is not None:
        mask = np.broadcast_to(checked_mask(where, plan), plan.shape)
        values = values.copy() if values is x else values
        np.copyto(values, values.dtype.type(-math.inf), where=~mask)
    one_axis = len(plan.axes) == 1
    source = values if one_axis else plan.to_rows(values)
    if out is not None and one_axis and empty != "raise":
        target = out
    elif source is x or np.may_share_memory(source, x):
        target = np.empty_like(source)
    else:
        target = source
    without = native.rows(kind, source, plan.axes[0] if one_axis else source.ndim - 1, beta, empty, target, threads)
    if without < 0:
        raise no_class(-1 - without)
    if target is out:
        return out
    result = target if one_axis else plan.from_rows(target)
    if out is None:
        return result
    out[...] = result
    return out


def _reduce(kind: str, x: Array, axis: Axis, beta: Beta, where: Array | None, empty: str, keepdims: bool) -> Array:
    """Run a function that gives one value a row: entropy or soft_argmax."""
    checked_empty(empty)
    ready = as_floating(x)
    xp = ready.xp
    plan = layout(ready.values, axis, xp)
    rows = masked(plan.to_rows(ready.values), plan, where)
    size = rows.shape[-1]
    compute = generic.entropy if kind == "entropy" else generic.soft_argmax
    uniform = (math.log(size) if kind == "entropy" else (size - 1) / 2) if size else 0.0
    with np.errstate(all="ignore"):
        value = compute(rows, beta.high, xp) if size else _all(rows, math.nan, xp)
        possible = generic.possible(rows, xp)[..., 0] if size else value == 0
        value = settled(value, possible, empty, uniform, xp)
    return _scalar(plan.from_reduced(ready.finish(value), keepdims), xp)
