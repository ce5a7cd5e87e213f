"""Where negative classes are drawn from: samplers that know, and report, their own proposal.

A sampler draws classes with replacement. What an importance weight needs is the expected number of times that a class
is among the draws: `log_expected(classes, size)`, log(size q) for size independent draws from q.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softmaxes.heads.base import Vector
from softmaxes.heads.counting import whole


class Sampler(ABC):
    """A proposal over n_classes classes."""

    n_classes: int

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int) -> Vector:
        """Return `size` classes (a mixture adds the ones that it always takes)."""

    @abstractmethod
    def log_expected(self, classes: Vector, size: int) -> Vector:
        """Return the log of the expected number of times that each class is among draw(rng, size)."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that make a sampler like this one, for the model file."""
        raise TypeError(f"{self!r} can't be saved: a file can name the samplers of softmaxes.heads, and no others")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_classes={self.n_classes})"


class UniformSampler(Sampler):
    """q_k = 1 / V."""

    def __init__(self, n_classes: int) -> None:
        self.n_classes = whole(n_classes, "n_classes")

    def arguments(self) -> dict[str, Any]:
        return {"n_classes": self.n_classes}

    def draw(self, rng: np.random.Generator, size: int) -> Vector:
        return rng.integers(0, self.n_classes, size)

    def log_expected(self, classes: Vector, size: int) -> Vector:
        return np.full(len(classes), np.log(size / self.n_classes))


class LogUniformSampler(Sampler):
    """q of rank r is log((r + 2) / (r + 1)) / log(V + 1), r = 0 for the most frequent class: Zipf's law, no table.

    counts give the ranks; without them class 0 is taken to be the most frequent.
    """

    def __init__(self, n_classes: int, counts: ArrayLike | None = None) -> None:
        self.n_classes = whole(n_classes, "n_classes")
        self.counts = None if counts is None else _counts(counts, n_classes)
        frequency = -np.arange(n_classes) if self.counts is None else self.counts
        self._order = np.argsort(-frequency, kind="stable")
        self._rank = np.empty(n_classes, np.int64)
        self._rank[self._order] = np.arange(n_classes)

    def arguments(self) -> dict[str, Any]:
        return {"n_classes": self.n_classes, "counts": self.counts}

    def draw(self, rng: np.random.Generator, size: int) -> Vector:
        ranks = np.exp(rng.random(size) * np.log(self.n_classes + 1)).astype(np.int64) - 1
        drawn: Vector = self._order[np.minimum(ranks, self.n_classes - 1)]
        return drawn

    def log_expected(self, classes: Vector, size: int) -> Vector:
        ranks = self._rank[classes]
        q = np.log1p(1 / (ranks + 1)) / np.log(self.n_classes + 1)
        result: Vector = np.log(size * q)
        return result


class AliasTable:
    """Walker's table: one draw from any distribution in constant time, after O(V) of preparation.

    Column k keeps its own class with probability keep[k] and gives way to alias[k] otherwise.
    """

    def __init__(self, probabilities: Vector) -> None:
        n = len(probabilities)
        scaled = (probabilities / probabilities.sum() * n).tolist()
        self.keep = np.ones(n)
        self.alias = np.arange(n)
        small = [k for k, p in enumerate(scaled) if p < 1]
        large = [k for k, p in enumerate(scaled) if p >= 1]
        while small and large:
            poor, rich = small.pop(), large[-1]
            self.keep[poor], self.alias[poor] = scaled[poor], rich
            scaled[rich] -= 1 - scaled[poor]
            if scaled[rich] < 1:
                small.append(large.pop())

    def draw(self, rng: np.random.Generator, size: int) -> Vector:
        """Return size independent draws."""
        columns = rng.integers(0, len(self.keep), size)
        drawn: Vector = np.where(rng.random(size) < self.keep[columns], columns, self.alias[columns])
        return drawn


class UnigramSampler(Sampler):
    """q_k proportional to (count_k + 1)^alpha, drawn with an alias table.

    The added one lets classes that were never seen be drawn: with q = 0 the estimate of the partition sum would be
    biased.
    """

    def __init__(self, counts: ArrayLike, alpha: float = 0.75) -> None:
        if not 0 <= alpha < np.inf:
            raise ValueError(f"alpha={alpha}; it must be finite and not negative")
        self.counts = _counts(counts)
        raised = (self.counts + 1) ** alpha
        self.n_classes = len(raised)
        self.alpha = alpha
        self._log_q = np.log(raised / raised.sum())
        self._table = AliasTable(raised)

    def arguments(self) -> dict[str, Any]:
        return {"counts": self.counts, "alpha": self.alpha}

    def draw(self, rng: np.random.Generator, size: int) -> Vector:
        return self._table.draw(rng, size)

    def log_expected(self, classes: Vector, size: int) -> Vector:
        result: Vector = self._log_q[classes] + np.log(size)
        return result


class TopMixSampler(Sampler):
    """The n_top most frequent classes always, once each; the draws come from the unigram^alpha of the others.

    The heavy part of the partition sum is then exact, and only its tail is estimated.
    """

    def __init__(self, counts: ArrayLike, n_top: int, alpha: float = 0.75) -> None:
        frequency = self.counts = _counts(counts)
        self.n_classes = len(frequency)
        if whole(n_top, "n_top", least=0) >= self.n_classes:
            raise ValueError(f"n_top={n_top}; it must leave something to draw from the {self.n_classes} classes")
        order = np.argsort(-frequency, kind="stable")
        self.top, self._tail = order[:n_top], order[n_top:]
        self._within = UnigramSampler(frequency[self._tail], alpha)
        self._place = np.full(self.n_classes, -1)
        self._place[self._tail] = np.arange(len(self._tail))

    def arguments(self) -> dict[str, Any]:
        return {"counts": self.counts, "n_top": len(self.top), "alpha": self._within.alpha}

    def draw(self, rng: np.random.Generator, size: int) -> Vector:
        return np.concatenate([self.top, self._tail[self._within.draw(rng, size)]])

    def log_expected(self, classes: Vector, size: int) -> Vector:
        place = self._place[classes]
        return np.where(place < 0, 0.0, self._within.log_expected(np.maximum(place, 0), size))


def _counts(counts: ArrayLike, n_classes: int | None = None) -> Vector:
    """Return how often each class occurs, checked."""
    array = np.asarray(counts, np.float64)
    if array.ndim != 1 or not len(array) or (n_classes is not None and len(array) != n_classes):
        needed = "one number a class" if n_classes is None else f"({n_classes},)"
        raise ValueError(f"counts has shape {array.shape}; needed is {needed}")
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError("counts holds numbers that are negative or not finite")
    return array
