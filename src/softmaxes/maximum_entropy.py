"""The temperature that meets a constraint.

Among all distributions over K classes with a given mean of z, the one with the largest entropy is softmax(beta z):
the beta is the multiplier of the constraint (docs/maximum_entropy.md derives it). Each function here finds the one
beta at which softmax(beta z) has a given mean, entropy, perplexity or largest probability, for many rows at once.

With p = softmax(beta z), zbar = sum p z and var = sum p (z - zbar)^2:

    d mean / d beta = var        d entropy / d beta = -beta var        d log(max p) / d beta = max z - zbar

all of one sign, so each root is unique; Newton's steps are kept inside a bracket that always holds it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from softmaxes import generic
from softmaxes.arrays import Array, as_floating

__all__ = ["beta_from_entropy", "beta_from_mean", "beta_from_perplexity", "beta_from_top_probability"]

_MOST_STEPS = 200


def beta_from_mean(z: Array, value: Array) -> Array:
    """Return beta, (...), with sum p z = value under p = softmax(beta z); beta < 0 below the plain mean of z.

    z: (..., K) finite or -inf (impossible). value: (...) within [min z, max z]; the ends give -inf and inf.
    Raises ValueError for a value that no distribution over the row has.

    Examples
    --------
    >>> from softmaxes.maximum_entropy import beta_from_mean
    >>> beta_from_mean([0.0, 1.0, 2.0, 3.0], [1.0, 2.2]).round(4)
    array([-0.4196,  0.6185])
    """
    rows, goal = _read(z, value)
    possible = rows > -np.inf
    low, high = np.where(possible, rows, np.inf).min(-1), rows.max(-1)
    _refuse(goal, low, high, "mean", "lowest and the highest logit")
    size = np.where(high > low, high - low, 1.0)
    unit = np.where(possible, (rows - high[..., None]) / size[..., None], -np.inf)
    wanted = (goal - high) / size

    def mean(beta: Array) -> tuple[Array, Array]:
        up = beta >= 0  # a negative beta would turn -inf into +inf: negate the row instead
        w = np.where(possible, unit, 0.0)
        turned = np.where(up[..., None], w, -w) * np.abs(beta)[..., None]
        p = generic.softmax(np.where(possible, turned, -np.inf), 1.0, np)
        centre = (p * w).sum(-1)
        return centre - wanted, (p * (w - centre[..., None]) ** 2).sum(-1)

    beta = _root(mean, np.full(goal.shape, -1.0), np.full(goal.shape, 1.0))
    with np.errstate(all="ignore"):
        plain = np.abs(mean(np.zeros(goal.shape))[0]) <= 2.0**-51  # the plain mean, up to rounding
    beta = np.where(plain, 0.0, beta)
    beta = np.where(goal == high, np.inf, np.where(goal == low, -np.inf, beta))
    return np.where(high == low, 0.0, beta) / size


def beta_from_entropy(z: Array, nats: Array) -> Array:
    """Return beta >= 0, (...), at which softmax(beta z) has this entropy in nats.

    nats lies between log(number of maxima), which gives inf, and log(number of possible classes), which gives 0.

    Examples
    --------
    >>> from softmaxes.maximum_entropy import beta_from_entropy
    >>> float(beta_from_entropy([0.0, 1.0], 0.6931471805599453))
    0.0
    """
    rows, goal = _read(z, nats)
    unit, size, most, least = _nonnegative(rows)
    _refuse(goal, np.log(least), np.log(most), "entropy", "log of the number of maxima and of possible classes")

    def entropy(beta: Array) -> tuple[Array, Array]:
        scaled = np.where(unit > -np.inf, unit * beta[..., None], -np.inf)
        p = generic.softmax(scaled, 1.0, np)
        w = np.where(unit > -np.inf, unit, 0.0)
        centre = (p * w).sum(-1)
        spread = (p * (w - centre[..., None]) ** 2).sum(-1)
        return goal - generic.entropy(scaled, 1.0, np), beta * spread

    beta = _root(entropy, np.zeros(goal.shape), np.ones(goal.shape))
    beta = np.where(goal >= np.log(most), 0.0, np.where(goal <= np.log(least), np.inf, beta))
    return beta / size


def beta_from_perplexity(z: Array, perplexity: Array) -> Array:
    """Return beta >= 0, (...), at which softmax(beta z) has the perplexity e^H, an effective number of classes."""
    value = np.asarray(perplexity, dtype=np.float64)
    if not np.all(value >= 1):
        raise ValueError(f"perplexity={perplexity!r}; an effective number of classes is at least 1")
    return beta_from_entropy(z, np.log(value))


def beta_from_top_probability(z: Array, probability: Array) -> Array:
    """Return beta >= 0, (...), at which each maximum of the row has this probability under softmax(beta z).

    probability lies between 1 / (number of possible classes), which gives 0, and 1 / (number of maxima): inf.

    Examples
    --------
    >>> from softmaxes.maximum_entropy import beta_from_top_probability
    >>> round(float(beta_from_top_probability([0.0, 1.0], 0.75)), 12) == round(float(np.log(3)), 12)
    True
    """
    rows, goal = _read(z, probability)
    unit, size, most, least = _nonnegative(rows)
    _refuse(goal, 1 / most, 1 / least, "probability", "1 / possible classes and 1 / maxima")

    def log_top(beta: Array) -> tuple[Array, Array]:
        scaled = np.where(unit > -np.inf, unit * beta[..., None], -np.inf)
        centre = (generic.softmax(scaled, 1.0, np) * np.where(unit > -np.inf, unit, 0.0)).sum(-1)
        return generic.log_softmax(scaled, 1.0, np).max(-1) - np.log(goal), -centre

    beta = _root(log_top, np.zeros(goal.shape), np.ones(goal.shape))
    beta = np.where(goal <= 1 / most, 0.0, np.where(goal >= 1 / least, np.inf, beta))
    return beta / size


def _read(z: Array, value: Array) -> tuple[Array, Array]:
    """Return rows in float64 and the value of every row, of one shape."""
    rows = np.asarray(as_floating(z, "z").values, dtype=np.float64)
    goal = np.asarray(value, dtype=np.float64)
    if rows.ndim == 0 or rows.shape[-1] == 0:
        raise ValueError(f"z has shape {rows.shape}; rows of at least one score are needed")
    shape = np.broadcast_shapes(rows.shape[:-1], goal.shape)
    rows = np.broadcast_to(rows, (*shape, rows.shape[-1]))
    if not np.all(rows < np.inf) or not np.all(np.any(rows > -np.inf, axis=-1)):
        raise ValueError("z holds NaN, +inf, or a row without a possible class; no temperature is defined there")
    return rows, np.broadcast_to(goal, shape)


def _nonnegative(rows: Array) -> tuple[Array, Array, Array, Array]:
    """Return rows scaled to have maximum 0 and range 1, the scale, and the numbers of classes and of maxima."""
    top = rows.max(-1, keepdims=True)
    possible = rows > -np.inf
    size = np.where(possible, top - rows, 0.0).max(-1)
    size = np.where(size > 0, size, 1.0)
    return (rows - top) / size[..., None], size, possible.sum(-1), (rows == top).sum(-1)


def _refuse(goal: Array, low: Array, high: Array, what: str, ends: str) -> None:
    slack = 4e-16 * np.maximum(np.abs(low), np.abs(high))
    bad = ~((goal >= low - slack) & (goal <= high + slack))
    if np.any(bad):
        i = tuple(int(k[0]) for k in np.nonzero(np.atleast_1d(bad)))
        low, high, goal = (np.atleast_1d(np.broadcast_to(x, bad.shape))[i] for x in (low, high, goal))
        raise ValueError(
            f"no temperature gives the {what} {goal:.6g}: it lies between {low:.6g} and {high:.6g} (the {ends})"
        )


def _root(rising: Callable[[Array], tuple[Array, Array]], low: Array, high: Array) -> Array:
    """Return the root of a rising function of each row, which gives its value and derivative.

    The bracket [low, high] is first widened by factors of 4 where it does not hold the root.
    """
    with np.errstate(all="ignore"):
        for _ in range(60):
            short = rising(high)[0] < 0
            if not short.any():
                break
            high = np.where(short, high * 4, high)
        for _ in range(60):
            long = (rising(low)[0] > 0) & (low < 0)
            if not long.any():
                break
            low = np.where(long, low * 4, low)
        at = np.where((low < 0) & (high > 0), 0.0, 0.5 * (low + high))
        for _ in range(_MOST_STEPS):
            value, slope = rising(at)
            low, high = np.where(value <= 0, at, low), np.where(value >= 0, at, high)
            new = at - value / slope
            new = np.where((new > low) & (new < high), new, 0.5 * (low + high))
            settled = (new == at) | (np.abs(new - at) <= 4e-16 * np.abs(new)) | (low == high)
            at = np.where(low == high, low, new)
            if settled.all():
                break
    return at
