"""Count, mean and spread of a column, as a state that merges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moments"]


@dataclass(frozen=True)
class Moments:
    """The count, mean, sum of squared deviations and range of some numbers.

    Two states merge by the pairwise formula of Chan, Golub and LeVeque: with d = mean_b - mean_a and n = n_a + n_b,

        mean = mean_a + d n_b / n,     spread = spread_a + spread_b + d^2 n_a n_b / n,

    which never subtracts two large sums. The empty state is neutral. Merging is associative in exact
    arithmetic; in floating point the last bits depend on where the blocks are cut, and a profile therefore
    always cuts them at the same rows.

    Examples
    --------
    >>> import numpy as np
    >>> state = Moments.of(np.array([1.0, 2.0])).merge(Moments.of(np.array([6.0])))
    >>> state.count, state.mean, state.spread, state.low, state.high
    (3, 3.0, 14.0, 1.0, 6.0)
    """

    count: int = 0
    mean: float = 0.0
    spread: float = 0.0
    low: float = np.inf
    high: float = -np.inf

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Moments:
        """Return the state of an array of finite numbers."""
        if values.size == 0:
            return cls()
        mean = float(values.mean())
        deviations = values - mean
        # Not a dot product: the BLAS would cut that differently for another number of threads.
        spread = float(np.square(deviations, out=deviations).sum())
        return cls(values.size, mean, spread, float(values.min()), float(values.max()))

    def merge(self, other: Moments) -> Moments:
        """Return the state of both together."""
        if other.count == 0:
            return self
        if self.count == 0:
            return other
        count = self.count + other.count
        step = other.mean - self.mean
        return Moments(
            count,
            self.mean + step * (other.count / count),
            self.spread + other.spread + step * step * (self.count * other.count / count),
            min(self.low, other.low),
            max(self.high, other.high),
        )
