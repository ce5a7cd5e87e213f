"""Temperature scaling: one number, fitted exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import exp, inf, log
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmaxes.calibration.base import Calibration, HeldOut, finite_array

__all__ = ["TemperatureScaling", "TemperatureStatistics"]

# Numbers in a block of rows: what stays in the second-level cache.
_BLOCK_NUMBERS = 1 << 15
_WARM_UP_ROWS = 20_000
# A step of Halley's method this small leaves an error of its cube, times a constant of the problem.
_LAST_STEP = 3e-5
_IMPOSSIBLE = -1e200


@dataclass(frozen=True)
class TemperatureStatistics:
    """Everything one pass over some rows tells about beta = 1/T: sums over rows, so that shards merge by addition.

    With f(beta) = sum_i w_i (lse(beta z_i) - beta z_i,y): loss = f, slope = f' = sum w (zbar - z_y), curvature = f'' =
    sum w var(z) and third = f''' = sum w (third central moment of z), under softmax(beta z); slope_at_zero and
    slope_at_infinity are the limits of f', between which it rises. The minimum is finite if and only if slope_at_zero <
    0 < slope_at_infinity.
    """

    beta: float
    weight: float = 0.0
    loss: float = 0.0
    slope: float = 0.0
    curvature: float = 0.0
    third: float = 0.0
    slope_at_zero: float = 0.0
    slope_at_infinity: float = 0.0

    @staticmethod
    def of(
        logits: ArrayLike, target: NDArray[np.int64], beta: float, weight: NDArray[np.float64] | None = None
    ) -> TemperatureStatistics:
        """Return the statistics of checked rows: logits (n, K), target (n,) column numbers, weight (n,)."""
        z = np.asarray(logits)
        return _Rows(z, target, np.ones(len(z)) if weight is None else weight).at(beta)

    def merge(self, other: TemperatureStatistics) -> TemperatureStatistics:
        """Return the statistics of the rows of both, which must be taken at the same beta."""
        if self.beta != other.beta:
            raise ValueError(f"statistics at beta {self.beta!r} and {other.beta!r} do not add up.")
        return TemperatureStatistics(
            self.beta,
            self.weight + other.weight,
            self.loss + other.loss,
            self.slope + other.slope,
            self.curvature + other.curvature,
            self.third + other.third,
            self.slope_at_zero + other.slope_at_zero,
            self.slope_at_infinity + other.slope_at_infinity,
        )


@dataclass(frozen=True, eq=False)
class _Rows:
    """Checked rows, ready for passes: logits (n, K), target (n,), weight (n,)."""

    z: NDArray[Any]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]

    def __post_init__(self) -> None:
        impossible = self.z[np.arange(len(self.z)), self.target] == -inf
        if impossible.any():
            row = int(np.flatnonzero(impossible)[0])
            raise ValueError(f"row {row} has logit -inf for its own class: no temperature makes it possible.")

    def sample(self, step: int) -> _Rows:
        """Return every so-manieth row."""
        return _Rows(self.z[::step], self.target[::step], self.weight[::step])

    def at(self, beta: float) -> TemperatureStatistics:
        """Return the statistics at beta: one pass, in blocks that stay in the cache, classes first so that sums run
        along memory.
        """
        n, k = self.z.shape
        step = max(1, _BLOCK_NUMBERS // k)
        scratch = np.empty((2, k, min(step, n)))
        sums = np.zeros(7)
        for start in range(0, n, step):
            rows = slice(start, start + step)
            y, w = self.target[rows], self.weight[rows]
            d, e = scratch[:, :, : len(y)]
            d[...] = self.z[rows].T
            d -= d.max(axis=0)
            own = d[y, np.arange(len(y))]
            mean = d.mean(axis=0)
            if not np.isfinite(mean).all():
                # A class that cannot happen gets a very low logit: its exponential is 0, and every product with it.
                possible = np.isfinite(d)
                mean = np.where(possible, d, 0.0).sum(axis=0) / possible.sum(axis=0)
                np.maximum(d, _IMPOSSIBLE, out=d)
            np.exp(np.multiply(d, beta, out=e), out=e)
            s = e.sum(axis=0)
            first, second, third = (np.multiply(e, d, out=e).sum(axis=0) / s for _ in range(3))
            variance = np.maximum(second - first * first, 0.0)
            skewed = third - first * (3.0 * second - 2.0 * first * first)
            per_row = (np.log(s) - beta * own, first - own, variance, skewed, mean - own, -own)
            sums += [float(w.sum()), *(float(w @ row) for row in per_row)]
        return TemperatureStatistics(beta, *sums.tolist())


@dataclass(frozen=True)
class _Minimum:
    log_beta: float
    statistics: TemperatureStatistics
    at_bound: Literal["lower", "upper"] | None
    passes: int


def _halley(seen: TemperatureStatistics) -> float:
    """Return the step in log beta to where f' vanishes, by Halley's method: Newton's with the third derivative."""
    beta = seen.beta
    first, second, third = beta * seen.slope, beta**2 * seen.curvature, beta**3 * seen.third
    bend = second + first  # derivatives with respect to log beta
    twist = third + 3.0 * second + first
    if bend <= 0.0:
        return 2.0 if first < 0.0 else -2.0
    newton = -first / bend
    correction = 1.0 + 0.5 * newton * twist / bend
    return newton / correction if 0.5 < correction < 2.0 else newton


def _minimise(
    evaluate: Callable[[float], TemperatureStatistics], start: float, bounds: tuple[float, float]
) -> _Minimum:
    """Minimise f over log beta within bounds (low, high), from `start`; one evaluation is one pass over the rows."""
    low, high = bounds
    floor, ceiling = False, False  # whether f' was seen to be negative at low, positive at high
    log_beta, passes = min(max(start, low), high), 0
    while True:
        seen = evaluate(exp(log_beta))
        passes += 1
        if seen.slope <= 0.0 and log_beta == bounds[1]:
            return _Minimum(log_beta, seen, "lower", passes)
        if seen.slope >= 0.0 and log_beta == bounds[0]:
            return _Minimum(log_beta, seen, "upper", passes)
        if seen.slope_at_zero >= 0.0:
            log_beta = bounds[0]
            continue
        if seen.slope_at_infinity <= 0.0:
            log_beta = bounds[1]
            continue
        if seen.slope > 0.0:
            high, ceiling = log_beta, True
        else:
            low, floor = log_beta, True
        step = _halley(seen)
        if abs(step) < _LAST_STEP:
            return _Minimum(log_beta + step, seen, None, passes)
        target = log_beta + min(max(step, -3.0), 3.0)
        if (target >= high and ceiling) or (target <= low and floor):
            target = 0.5 * (low + high)
        log_beta = min(max(target, low), high)
        if floor and ceiling and high - low < 1e-15 * max(1.0, abs(low)):
            return _Minimum(log_beta, seen, None, passes)


class TemperatureScaling(Calibration):
    """Divide all logits by one temperature, the one that minimises the log-loss of held-out rows.

    With beta = 1/T the loss is convex and its minimum unique. Halley's method in log beta, kept inside a bracket, finds
    it to about 1e-12 relative in two or three passes. The most probable class never changes; only the confidence does.

    Parameters
    ----------
    bounds : (float, float)
        Lowest and highest temperature allowed. The optimum lies at 0 if every row is right by a margin (no held-out row
        argues for modesty), and at infinity if the logits mislead on average; then the bound is returned, and
        `at_bound_` says so.

    Attributes
    ----------
    temperature_ : float
    at_bound_ : None, "lower" or "upper"
        None if the minimum was found inside the bounds; else the bound at which the temperature was stopped.
    log_loss_ : float
        Mean held-out log-loss at the temperature, in nats.
    n_iter_ : int
        Passes over all rows.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=(50_000, 4))
    >>> y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)  # the logits are calibrated ...
    >>> round(TemperatureScaling().fit(3.0 * logits, y).temperature_, 1)  # ... these are thrice overconfident
    3.0
    """

    temperature_: float
    at_bound_: Literal["lower", "upper"] | None
    log_loss_: float
    n_iter_: int

    def __init__(self, bounds: tuple[float, float] = (1e-5, 1e5)) -> None:
        self.bounds = bounds

    def fit(
        self,
        logits: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Fit on held-out logits (n, K) and labels (n,); see `Calibration.fit`."""
        rows = HeldOut.of(logits, y, sample_weight, classes)
        whole = _Rows(rows.logits, rows.target, rows.weight)
        self.classes_, self.n_features_in_ = rows.classes, rows.logits.shape[1]
        start = 0.0
        if len(rows.target) > _WARM_UP_ROWS:
            sample = whole.sample(len(rows.target) // _WARM_UP_ROWS + 1)
            found = _minimise(sample.at, 0.0, self._log_bounds())
            start = found.log_beta if found.at_bound is None else 0.0
        return self._keep(_minimise(whole.at, start, self._log_bounds()))

    def fit_blocks(self, blocks: Iterable[tuple[Any, ...]], *, classes: ArrayLike) -> Self:
        """Fit on rows that arrive in blocks (logits, y) or (logits, y, sample_weight), in a few passes over `blocks`.

        blocks is iterated once per pass, so it must be re-iterable: a list, or an object whose __iter__ starts again.
        classes: the label of each column. The result is that of `fit` on all rows at once, up to rounding.
        """
        names = np.asarray(classes)
        met: set[int] = set()

        def evaluate(beta: float) -> TemperatureStatistics:
            total = TemperatureStatistics(beta)
            for logits, y, *rest in blocks:
                rows = HeldOut.of(logits, y, rest[0] if rest else None, names, block=True)
                met.update(np.unique(rows.target).tolist())
                total = total.merge(TemperatureStatistics.of(rows.logits, rows.target, beta, rows.weight))
            return total

        first = evaluate(1.0)
        if len(met) < 2:
            raise ValueError(
                f"calibration needs held-out rows of at least two classes, but the blocks hold {len(met)}."
            )
        start = -first.slope / max(first.curvature + first.slope, 1e-300)
        self.classes_, self.n_features_in_ = names, len(names)
        return self._keep(_minimise(evaluate, min(max(start, -1.0), 1.0), self._log_bounds()))

    def _log_bounds(self) -> tuple[float, float]:
        low, high = self.bounds
        if not 0.0 < low < high < inf:
            raise ValueError(f"bounds must be two temperatures 0 < low < high < inf, not {self.bounds!r}.")
        return -log(high), -log(low)

    def _keep(self, found: _Minimum) -> Self:
        low, high = self.bounds
        self.at_bound_ = found.at_bound
        # The bound itself, not what is left of it after a logarithm and back.
        self.temperature_ = {None: exp(-found.log_beta), "lower": low, "upper": high}[found.at_bound]
        self.log_loss_ = found.statistics.loss / found.statistics.weight
        self.n_iter_ = found.passes
        return self

    def _transformed(self, z: NDArray[Any]) -> NDArray[Any]:
        scaled: NDArray[Any] = z / z.dtype.type(self.temperature_)
        return scaled

    def _parameters(self) -> dict[str, Any]:
        return {"temperature": self.temperature_, "at_bound": self.at_bound_}

    def _restore(self, parameters: dict[str, Any]) -> None:
        self.temperature_ = float(finite_array(parameters, "temperature", ()))
        self.at_bound_ = parameters.get("at_bound")
        if self.temperature_ <= 0.0 or self.at_bound_ not in (None, "lower", "upper"):
            raise ValueError(f"malformed temperature calibration: {parameters!r}.")
