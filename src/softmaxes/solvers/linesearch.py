"""A step along a direction that satisfies the Wolfe conditions, or their form that rounding cannot fool."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from softmaxes.objective import Evaluation, Precision

DECREASE = 1e-4
CURVATURE = 0.9
NOISE = {"single": 1e-7, "double": 1e-15}
"""Relative error of a value: below it a difference of two values says nothing, and slopes decide."""


class Smooth(Protocol):
    """What can be searched: value and gradient at any θ."""

    def evaluate(self, theta: np.ndarray, precision: Precision) -> Evaluation: ...


def search(
    objective: Smooth, current: Evaluation, direction: np.ndarray, precision: Precision, trials: int = 20
) -> Evaluation | None:
    """Return the evaluation at an acceptable point current + step · direction, trying step 1 first; else None.

    Acceptable: the slope has risen to at least 0.9 of the first, and either the value has fallen by 1e-4 of what the
    slope promised (Wolfe) or it is level to rounding and the slope has not overshot (Hager and Zhang 2005).
    """
    slope = float(np.vdot(current.gradient, direction))
    if not slope < 0:
        return None
    level = current.value + NOISE[current.precision] * abs(current.value)
    low, high = 0.0, float("inf")
    low_slope = slope
    step = 1.0
    for _ in range(trials):
        theta = step * direction
        theta += current.theta
        trial = objective.evaluate(theta, precision)
        trial_slope = float(np.vdot(trial.gradient, direction))
        fell = trial.value <= current.value + DECREASE * step * slope
        levelled = trial.value <= level and trial_slope <= (2 * DECREASE - 1) * slope
        if not np.isfinite(trial.value) or not (fell or levelled):
            high = step
            step = _inside(low, high, low_slope, trial_slope)
        elif trial_slope < CURVATURE * slope:
            low, low_slope = step, trial_slope
            step = 2 * step if high == float("inf") else _inside(low, high, low_slope, trial_slope)
        else:
            return trial
    return None


def _inside(low: float, high: float, low_slope: float, high_slope: float) -> float:
    """Return a point of (low, high): the zero of the slope by the secant, kept away from both ends."""
    share = 0.5
    if np.isfinite(high_slope) and high_slope > low_slope:
        share = min(max(-low_slope / (high_slope - low_slope), 0.1), 0.9)
    return low + share * (high - low)
