"""Drawing classes from logits: exact draws, draws without replacement, and draws that can be differentiated.

With independent Gumbel noise G_k = -log E_k, E_k ~ Exp(1), the argmax of z + G is a draw from softmax(z); its k
largest entries, in order, are a draw without replacement; and softmax((z + G) / tau) is a point of the simplex whose
argmax is that exact draw for every tau. The noise is made from standard exponentials, whose small values (the large
G, which decide) keep all their digits.

Sources: Gumbel 1954; Maddison, Tarlow & Minka 2014; Jang, Gu & Poole 2017; Maddison, Mnih & Teh 2017; Kool, van Hoof &
Welling 2019.
"""

from __future__ import annotations

from math import inf, lgamma, log
from typing import NamedTuple

import array_api_compat
import numpy as np

from softmaxes import bridges, exponential, generic, native
from softmaxes.arrays import Array, as_floating
from softmaxes.maps.base import surely
from softmaxes.transforms import Chain, MinP, Temperature, TopK, TopP, Transform

__all__ = [
    "OrderedSample",
    "gumbel_max",
    "gumbel_softmax",
    "gumbel_softmax_log_density",
    "sample",
    "sample_without_replacement",
]

_AT_ONCE = 1 << 22  # numbers of noise in memory at a time
_SAFE_IN_FLOAT32 = (1e-30, 1e30)  # inverse temperatures whose two parts, and products with logits, float32 can hold


def sample(
    logits: Array,
    rng: np.random.Generator,
    *,
    size: int | tuple[int, ...] | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    threads: int | None = None,
) -> Array:
    """Return classes drawn from softmax(logits / temperature), after leaving out unlikely ones.

    Parameters
    ----------
    logits : array of shape (..., K)
        -inf marks a class that is never drawn; +inf ones share everything.
    rng : numpy.random.Generator
        Gives 64 bits a draw, row by row, and nothing else depends on chance: not threads, not the instruction set.
    size : int or tuple of int, optional
        How many draws for each row; these axes come first in the result.
    temperature : float, default 1
        Applied first. 0 draws among the maxima.
    top_k : int, optional
        Keep the k most probable classes (and those tied with the k-th).
    top_p : float in [0, 1], optional
        Then keep the smallest set of the most probable classes with this mass (and those tied with its last).
    min_p : float in [0, 1], optional
        Then keep classes with at least this share of the largest probability.
    threads : int, optional
        At most so many; the default is the processors that there are. Rows are divided among them.

    Returns
    -------
    array of int64, shape (*size, ...)

    Raises
    ------
    ValueError
        For a row without a possible class or with NaN, and for options out of range.

    Notes
    -----
    A draw is the inverse of the distribution function, classes in order, at a uniform number of 64 bits: a class of
    probability 0 is never drawn. In NumPy rows of float32 and float64 the rows are summed in place and the one that
    was hit is found in whole numbers, so that a class is drawn with its probability to within a relative 2^-22
    (float32) or 2^-50 (float64) plus 2^-60, however rare; nothing is sorted. Other arrays are looked up in the
    cumulative probabilities (to within 2^-53).

    Examples
    --------
    >>> import numpy as np
    >>> import softmaxes as sm
    >>> sm.sample([[0.0, -np.inf], [-np.inf, 0.0]], np.random.default_rng(0), size=3)
    array([[0, 1],
           [0, 1],
           [0, 1]])
    """
    _check_generator(rng)
    values, shape, draws = _read(logits, size)
    keep = _Kept.read(temperature, top_k, top_p, min_p)
    uniform = rng.integers(0, 1 << 64, (len(values), draws), dtype=np.uint64)
    at_home = bool(values.dtype in (np.float32, np.float64)) and not _is_foreign(logits)
    chosen = _draw_by_kernel(values, uniform, keep, threads) if at_home else _draw_by_text(values, uniform, keep)
    return _returned(chosen.T.reshape(shape), logits)


class _Kept(NamedTuple):
    """Which classes may be drawn, and how sharply: the options of `sample`, checked."""

    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None

    @classmethod
    def read(cls, temperature: float, top_k: int | None, top_p: float | None, min_p: float | None) -> _Kept:
        keep = cls(temperature, top_k, top_p, min_p)
        exponential.inverse_temperature(temperature)
        keep.transform()
        return keep

    def transform(self) -> Transform:
        """Return logits -> logits, the specification of what the kernel does."""
        steps: list[Transform] = [] if self.temperature == 1 else [Temperature(self.temperature)]
        steps += [] if self.top_k is None else [TopK(self.top_k)]
        steps += [] if self.top_p is None else [TopP(self.top_p)]
        steps += [] if self.min_p is None else [MinP(self.min_p)]
        return Chain(tuple(steps))


def _draw_by_text(values: Array, uniform: Array, keep: _Kept) -> Array:
    """Return classes (n, draws) at the uniform numbers (n, draws), looked up in the cumulative probabilities."""
    rows = np.asarray(values, dtype=np.float64)
    _refuse_impossible(rows)
    cumulative = np.cumsum(exponential.softmax(keep.transform()(rows)), axis=-1)
    chosen = np.empty(uniform.shape, dtype=np.int64)
    for row, row_uniform in enumerate(uniform):
        target = row_uniform * 2.0**-64 * cumulative[row, -1]
        chosen[row] = np.searchsorted(cumulative[row], target, side="right")
    # u * total may round up to the total: that draw belongs to the last class with any probability.
    last = np.argmax(cumulative == cumulative[:, -1:], axis=-1)
    return np.minimum(chosen, last[:, None])


def _draw_by_kernel(values: Array, uniform: Array, keep: _Kept, threads: int | None) -> Array:
    """Return what `_draw_by_text` does, straight from the logits."""
    beta = exponential.inverse_temperature(keep.temperature)
    if values.dtype == np.float32 and not _SAFE_IN_FLOAT32[0] <= beta.high <= _SAFE_IN_FLOAT32[1]:
        values = values.astype(np.float64)
    classes = values.shape[-1]
    reach = -inf if not keep.min_p else log(keep.min_p) * keep.temperature
    chosen = np.empty(uniform.shape, dtype=np.int64)
    top_k = classes if keep.top_k is None else min(int(keep.top_k), classes)
    top_p = 1.0 if keep.top_p is None else float(keep.top_p)
    bad = native.draw_rows(values, uniform, chosen, beta, top_k, top_p, reach, threads)
    if bad >= 0:
        raise _impossible(bad)
    return chosen


def gumbel_max(logits: Array, rng: np.random.Generator, *, size: int | tuple[int, ...] | None = None) -> Array:
    """Return classes drawn from softmax(logits) as argmax(z + G): one noise a class, so that draws can be coupled.

    With the same rng state, changed logits change few draws. Parameters and shapes as in `sample`; K numbers of noise
    a draw make it slower.

    Examples
    --------
    >>> import numpy as np
    >>> import softmaxes as sm
    >>> sm.sampling.gumbel_max([0.0, -np.inf], np.random.default_rng(0), size=3)
    array([0, 0, 0])
    """
    rows, shape, draws = _read_wide(logits, size)
    rows = generic.limit_of_infinities(rows, np)
    chosen = np.empty((draws, len(rows)), dtype=np.int64)
    step = max(1, _AT_ONCE // max(rows.size, 1))
    for start in range(0, draws, step):
        block = min(step, draws - start)
        chosen[start : start + block] = np.argmax(rows + _gumbel(rng, (block, *rows.shape)), axis=-1)
    return _returned(chosen.reshape(shape), logits)


class OrderedSample(NamedTuple):
    """An ordered draw without replacement: indices (..., k), and log_probability (...) of exactly this order."""

    indices: Array
    log_probability: Array


def sample_without_replacement(logits: Array, k: int, rng: np.random.Generator) -> OrderedSample:
    """Return k different classes of each row, drawn one after the other from softmax of what is left.

    They are the k largest entries of z + G, in order (Kool et al. 2019). The logarithm of the probability of the draw
    (Plackett-Luce) is sum_j (z_{i_j} - logsumexp of z without i_1 .. i_{j-1}), formed from -log1p of ratios.

    Raises ValueError if a row has fewer than k possible classes.

    Examples
    --------
    >>> import numpy as np
    >>> import softmaxes as sm
    >>> draw = sm.sample_without_replacement([0.0, -np.inf, 0.0], 2, np.random.default_rng(0))
    >>> sorted(draw.indices.tolist()), round(float(draw.log_probability), 6)
    ([0, 2], -0.693147)
    """
    rows, shape, _ = _read_wide(logits, None)
    possible = (rows != -np.inf).sum(-1)
    if k < 0 or k != int(k) or np.any(possible < k):
        raise ValueError(f"k={k!r} different classes cannot be drawn; a row has only {possible.min()} possible ones")
    if np.isposinf(rows).any():
        raise ValueError("a logit is +inf: it leaves no other class to draw without replacement")
    order = np.argsort(-(rows + _gumbel(rng, rows.shape)), axis=-1, kind="stable")[:, :k]
    left = rows.copy()
    np.put_along_axis(left, order, -np.inf, axis=-1)
    rest = exponential.logsumexp(left)
    total = np.zeros(len(rows))
    with np.errstate(all="ignore"):
        for j in range(k - 1, -1, -1):
            drawn = np.take_along_axis(rows, order[:, j, None], axis=-1)[:, 0]
            total -= np.logaddexp(0.0, rest - drawn)
            rest = np.logaddexp(rest, drawn)
    return OrderedSample(
        _returned(order.astype(np.int64).reshape(*shape, k), logits), _returned(total.reshape(shape)[()], logits)
    )


def gumbel_softmax(logits: Array, rng: np.random.Generator, *, temperature: float, hard: bool = False) -> Array:
    """Return a relaxed draw y = softmax((z + G) / tau), (..., K): a point of the simplex near a corner for small tau.

    Its argmax is an exact draw from softmax(z) for every tau; tau <= 1 / (K - 1) leaves the density without modes
    inside. tau = 0 gives the corner itself. Torch and JAX differentiate through it with respect to the logits; with
    hard=True the value is the corner and the derivative is that of y (straight-through: biased).

    A relaxed choice of k classes repeats this on what is left: subtract y from the mass of each class, k times.

    Raises ValueError for a temperature that is negative or NaN, or a row without a possible class.

    Examples
    --------
    >>> import numpy as np
    >>> import softmaxes as sm
    >>> y = sm.gumbel_softmax([1.0, 0.0, -np.inf], np.random.default_rng(0), temperature=0.5)
    >>> float(y[2])
    0.0
    >>> sm.gumbel_softmax([1.0, 0.0, -np.inf], np.random.default_rng(0), temperature=0.5, hard=True)
    array([1., 0., 0.])
    """
    ready = as_floating(logits, "logits")
    xp, z = ready.xp, ready.values
    if surely(xp.any(xp.all(z == -xp.inf, axis=-1))):
        raise ValueError("a row has no possible class (all -inf): nothing can be drawn from it")
    noise = xp.asarray(_gumbel(rng, tuple(z.shape)), dtype=z.dtype, device=array_api_compat.device(z))
    y = exponential.softmax(generic.limit_of_infinities(z, xp) + noise, temperature=temperature)
    if hard:
        corner = exponential.hardmax(bridges.constant(y))
        y = corner + (y - bridges.constant(y))
    return ready.finish(y)


def gumbel_softmax_log_density(log_y: Array, logits: Array, *, temperature: float) -> Array:
    """Return the logarithm of the density of `gumbel_softmax` at y = exp(log_y), (...).

    In the coordinates y_1 .. y_{K-1} it is

        log (K-1)! + (K-1) log tau + sum_k (z_k - (tau + 1) log y_k) - K logsumexp(z - tau log y).

    log_y, not y, because small temperatures put most entries below the smallest number. Impossible classes (-inf)
    have log_y = -inf and are left out of the sums and of K; a finite log_y there has density 0.

    Examples
    --------
    >>> import softmaxes as sm
    >>> round(float(sm.sampling.gumbel_softmax_log_density([-0.6931471805599453] * 2, [0.0, 0.0], temperature=1.0)), 9)
    0.0
    """
    tau = float(temperature)
    if not 0 < tau < inf:
        raise ValueError(f"temperature={temperature!r}; a density needs a finite temperature > 0")
    ready, at = as_floating(logits, "logits"), as_floating(log_y, "log_y")
    xp, z = ready.xp, ready.values
    z, y = xp.broadcast_arrays(z, xp.astype(xp.asarray(at.values), z.dtype))
    with np.errstate(all="ignore"):
        possible = z != -xp.inf
        nothing = xp.zeros_like(z)
        count = xp.sum(xp.astype(possible, z.dtype), axis=-1)
        most = int(z.shape[-1])
        factorials = xp.asarray([0.0, *(lgamma(n) for n in range(1, most + 1))], dtype=z.dtype)
        shifted = xp.where(possible, z - tau * xp.where(possible, y, nothing), xp.full_like(z, -xp.inf))
        inside = xp.where(possible, z - (tau + 1) * xp.where(possible, y, nothing), nothing)
        index = xp.reshape(xp.astype(count, xp.int64), (-1,))
        constant = xp.reshape(xp.take(factorials, index, axis=0), tuple(count.shape)) + (count - 1) * log(tau)
        density = constant + xp.sum(inside, axis=-1) - count * generic.logsumexp(shifted, xp)
        outside = xp.any(~possible & (y != -xp.inf), axis=-1)
        density = xp.where(outside, xp.full_like(density, -xp.inf), density)
    density = ready.finish(density)
    return density[()] if xp is np else density


def _gumbel(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return standard Gumbel noise, in float64."""
    _check_generator(rng)
    with np.errstate(divide="ignore"):
        return -np.log(rng.standard_exponential(shape))


def _check_generator(rng: object) -> None:
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is {rng!r}; pass a generator, numpy.random.default_rng(seed)")


def _read(logits: Array, size: int | tuple[int, ...] | None) -> tuple[Array, tuple[int, ...], int]:
    """Return rows (n, K) as NumPy has them, the shape of the result, and the number of draws a row."""
    values = as_floating(logits, "logits").values
    values = np.asarray(values.detach() if hasattr(values, "detach") else values)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(f"logits have shape {values.shape}; rows of at least one class are needed: (..., K)")
    rows = values.reshape(-1, values.shape[-1])
    if rows.strides[-1] != rows.itemsize or not rows.flags.aligned:
        rows = np.ascontiguousarray(rows)
    lead = () if size is None else size if isinstance(size, tuple) else (size,)
    if any(n < 0 for n in lead):
        raise ValueError(f"size={size}; a number of draws is at least 0")
    return rows, (*lead, *values.shape[:-1]), int(np.prod(lead, dtype=np.int64))


def _read_wide(logits: Array, size: int | tuple[int, ...] | None) -> tuple[Array, tuple[int, ...], int]:
    """Return what `_read` does with rows in float64, every one of which has a possible class."""
    values, shape, draws = _read(logits, size)
    rows = np.asarray(values, dtype=np.float64)
    _refuse_impossible(rows)
    return rows, shape, draws


def _refuse_impossible(rows: Array) -> None:
    bad = np.isnan(rows).any(-1) | (rows == -np.inf).all(-1)
    if bad.any():
        raise _impossible(int(np.argmax(bad)))


def _impossible(row: int) -> ValueError:
    return ValueError(f"row {row} holds NaN or has no possible class: nothing can be drawn from it")


def _is_foreign(logits: Array) -> bool:
    """Return whether logits belong to another array library."""
    return array_api_compat.is_array_api_obj(logits) and not array_api_compat.is_numpy_array(logits)


def _returned(result: Array, logits: Array) -> Array:
    """Return a NumPy result as an array of the logits' library."""
    if _is_foreign(logits):
        xp = array_api_compat.array_namespace(logits)
        return xp.asarray(result, device=array_api_compat.device(logits))
    return result[()] if isinstance(result, np.ndarray) else result
