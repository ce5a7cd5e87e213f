"""How an iterative rival is tuned to a level: the fewest iterations that reach it, and what they cost.

Nobody who uses a solver can know that number beforehand, so these are the best times that it can have.
"""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LADDER = 2.0
"""Iterations grow by this factor (by its square while the level is far) until the strictest level is reached,"""

FAR = 100.0

FINE = 1.1
"""and the least number for a level is then found to this factor."""


@dataclass(frozen=True)
class Setting:
    """A rival's solver and precision: `make(max_iter=...)` gives an estimator."""

    name: str
    make: Callable[..., Any]
    dtype: Any


@dataclass
class Ladder:
    """Fits of one setting with different numbers of iterations: for each the seconds and the distance reached."""

    setting: Setting
    X: Any
    y: np.ndarray
    distance: Callable[[Any], float]
    runs: dict[int, tuple[float, float]] = field(default_factory=dict)
    exhausted: bool = False
    """Whether more iterations take longer than is allowed, or change nothing."""

    settled: bool = False
    """Whether they change nothing: the rival stopped by itself."""

    def run(self, iterations: int, seconds: float) -> None:
        """Fit once, unless it takes longer than `seconds`, which is noted too."""
        try:
            with _limited(seconds):
                start = time.perf_counter()
                model = fitted(self.setting, self.X, self.y, iterations)
                took = time.perf_counter() - start
        except TimeoutError:
            self.runs[iterations] = (seconds, float("inf"))
            self.exhausted = True
            return
        self.runs[iterations] = (took, self.distance(model))
        self.settled = self.exhausted = int(np.max(model.n_iter_)) < iterations

    def climb(self, level: float, seconds: float) -> None:
        """Take more and more iterations until the level is reached, or a fit takes nearly as long as allowed."""
        iterations = 4.0
        while not self.exhausted:
            self.run(int(iterations), seconds)
            took, reached = self.runs[int(iterations)]
            factor = min(LADDER if reached <= FAR * level else LADDER**2, 0.9 * seconds / took)
            if reached <= level or int(iterations * factor) < iterations + 1:
                return
            iterations *= factor

    def least(self, level: float) -> int | None:
        """Return the fewest iterations known to reach the level."""
        return min((n for n, (_, reached) in self.runs.items() if reached <= level), default=None)

    def longest(self) -> float:
        """Return the seconds of the longest fit."""
        return max(took for took, _ in self.runs.values())

    def refine(self, level: float, seconds: float) -> None:
        """Find the fewest iterations between those that reach the level and those that do not."""
        while (enough := self.least(level)) is not None:
            short = max((n for n in self.runs if n < enough), default=0)
            between = round((max(short, 1) * enough) ** 0.5)
            if enough <= max(short, 1) * FINE or between in self.runs:
                return
            self.run(between, seconds)


def fitted(setting: Setting, X: Any, y: np.ndarray, iterations: int) -> Any:
    """Return the rival's model after so many iterations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return setting.make(max_iter=iterations).fit(X, y)


@dataclass(frozen=True)
class Best:
    """The best rival at a level: its call and its name. reached False: nobody did, each in more than these seconds."""

    name: str
    call: Callable[[], Any]
    seconds: float
    reached: bool


def best(
    settings: Iterator[Setting],
    X: Any,
    y: np.ndarray,
    distance: Callable[[Any], float],
    levels: tuple[float, ...],
    seconds: float,
) -> dict[float, Best]:
    """Return the best rival at each level, tuned to it.

    distance: of a fitted model, (f - f*) / f*. levels: decreasing. seconds: the longest a single fit may take. A rival
    is given up once a fit takes twice as long as another rival needed for the strictest level.
    """
    ladders, allowed = [], seconds
    copies = {np.dtype(dtype): X.astype(dtype) for dtype in (np.float32, np.float64)}
    for setting in settings:
        ladder = Ladder(setting, copies[np.dtype(setting.dtype)], y, distance)
        ladder.climb(levels[-1], allowed)
        ladders.append(ladder)
        if (n := ladder.least(levels[-1])) is not None:
            allowed = min(allowed, max(2 * ladder.runs[n][0], 0.1))  # a first call is slow, and times are noisy
    found = {}
    for level in levels:
        there = [ladder for ladder in ladders if ladder.least(level) is not None]
        if not there:
            open_ = [ladder for ladder in ladders if not ladder.settled] or ladders
            first = min(open_, key=Ladder.longest)  # who might have arrived first, had we waited
            found[level] = Best(f"{first.setting.name}, not reached", lambda: None, first.longest(), False)
            continue
        quickest = min(seconds_at(ladder, level) for ladder in there)
        near = [ladder for ladder in there if seconds_at(ladder, level) <= LADDER * quickest]
        for ladder in near:
            ladder.refine(level, seconds)
        winner = min(near, key=lambda ladder: seconds_at(ladder, level))
        n = winner.least(level)
        call = _call(winner, n)
        found[level] = Best(f"{winner.setting.name}, {n} iterations", call, seconds_at(winner, level), True)
    return found


def seconds_at(ladder: Ladder, level: float) -> float:
    """Return the seconds of the fit with the fewest iterations that reach the level."""
    return ladder.runs[ladder.least(level)][0]


def _call(ladder: Ladder, iterations: int | None) -> Callable[[], Any]:
    return lambda: fitted(ladder.setting, ladder.X, ladder.y, int(iterations or 1))


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block once it takes longer, as soon as Python has the word."""
    assert threading.current_thread() is threading.main_thread()

    def ring(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.05))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
