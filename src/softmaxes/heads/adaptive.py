"""Adaptive softmax: frequent classes in a short head, rare ones in clusters with smaller projections."""

from __future__ import annotations

import operator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softmaxes.heads.adaptive_functions import adaptive_log_softmax, row_losses, weighted_sum
from softmaxes.heads.adaptive_search import Search, adaptive_argmax, adaptive_top_k
from softmaxes.heads.adaptive_weights import AdaptiveWeights
from softmaxes.heads.base import Head, Matrix, Part, Seed, Vector, initial_bias, initial_weight
from softmaxes.heads.blocks import DEFAULT_MAX_BYTES
from softmaxes.heads.counting import budget, whole
from softmaxes.heads.cutoffs import CostModel, choose_cutoffs, projected
from softmaxes.heads.updates import Rows


class AdaptiveSoftmax(Head):
    """A softmax in two levels whose cost follows the frequency of the classes: see `AdaptiveWeights` for the formula.

    Cluster j sees the hidden vector through a projection to d / divisor^j features. The order is found from `counts`;
    classes are named by their own indices everywhere. Without counts the order is taken as given: class 0 is assumed
    to be the most frequent, with frequencies as in natural language (Zipf). The `weights` are what the functions
    `adaptive_log_softmax`, `adaptive_cross_entropy` and their like take.

    Besides the parameters of `Head`:

    Parameters
    ----------
    cutoffs : increasing class ranks c_1 < ... < c_J below V, () for a plain softmax; None chooses the cheapest ones.
    cost_model : the cost that cutoffs=None minimises; None measures this machine, so that other machines may choose
        other cut-offs (look at `.cutoffs`, and pass them on to repeat a model).
    batch_rows : the rows of a training step that the cost is meant for.
    divisor : how fast projections shrink.
    most_clusters : the largest J to consider.
    least_mass : the share of all occurrences that the short list must hold at least.
    least_features : no cluster but the first may see fewer.
    max_bytes : memory for the logits of one step, as in `linear_cross_entropy`.

    Notes
    -----
    Source: Grave et al. 2017, Efficient softmax approximation for GPUs.

    Examples
    --------
    >>> import numpy as np
    >>> import softmaxes as sm
    >>> head = sm.heads.AdaptiveSoftmax(4, 6, counts=[1, 50, 2, 30, 9, 1], rng=0, cutoffs=(2, 4))
    >>> hidden = np.eye(4)
    >>> np.exp(head.log_prob(hidden)).sum(axis=1).round(6)
    array([1., 1., 1., 1.], dtype=float32)
    >>> head.predict(hidden)[0] == head.log_prob(hidden)[0].argmax()
    np.True_
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        counts: ArrayLike | None = None,
        rng: Seed = None,
        *,
        cutoffs: tuple[int, ...] | None = None,
        cost_model: CostModel | None = None,
        batch_rows: int = 256,
        divisor: float = 4.0,
        most_clusters: int = 4,
        least_mass: float = 0.8,
        least_features: int = 8,
        max_bytes: int = DEFAULT_MAX_BYTES,
        **options: Any,
    ) -> None:
        super().__init__(n_features, n_classes, counts, rng, **options)
        if not divisor >= 1:
            raise ValueError(f"divisor={divisor}; projections shrink by a factor of at least 1")
        self.max_bytes = budget(max_bytes)
        frequency = 1.0 / np.arange(1, n_classes + 1) if self.counts is None else self.counts
        if cutoffs is None:
            shares = np.sort(frequency + (frequency.sum() == 0))[::-1]
            cost = CostModel.measure(n_features, whole(batch_rows, "batch_rows")) if cost_model is None else cost_model
            chosen = choose_cutoffs(
                shares / shares.sum(), n_features, batch_rows, cost,
                divisor=divisor, most_clusters=most_clusters, least_mass=least_mass, least_features=least_features,
            ).cutoffs  # fmt: skip
        else:
            chosen = _checked_cutoffs(cutoffs, n_classes)
        self.divisor = float(divisor)
        self.weights = self._initial(frequency, chosen)
        self._updates = [Rows(x) for x in self.weights.arrays()]

    def _initial(self, frequency: Vector, cutoffs: tuple[int, ...]) -> AdaptiveWeights:
        """Return random weights, with biases that give each class its frequency at first."""
        edges, d, order = (*cutoffs, self.n_classes), self.n_features, np.argsort(-frequency, kind="stable")
        sorted_counts = None if self.counts is None else frequency[order]
        of_head = None
        if sorted_counts is not None:
            masses = [sorted_counts[a:b].sum() for a, b in pairwise(edges)]
            of_head = np.concatenate([sorted_counts[: edges[0]], masses])
        n_head = edges[0] + len(cutoffs)
        arrays = [initial_weight(self.rng, n_head, d, self.dtype), initial_bias(of_head, n_head, self.dtype)]
        for j, (start, stop) in enumerate(pairwise(edges), 1):
            narrow = projected(d, self.divisor, j)
            counts = None if sorted_counts is None else sorted_counts[start:stop]
            arrays += [
                initial_weight(self.rng, narrow, d, self.dtype),
                initial_weight(self.rng, stop - start, narrow, self.dtype),
                initial_bias(counts, stop - start, self.dtype),
            ]
        return AdaptiveWeights.of(order, arrays)

    @property
    def cutoffs(self) -> tuple[int, ...]:
        """The ranks c_1 < ... < c_J where the clusters begin."""
        return self.weights.cutoffs

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self._updates)

    def _step(self, hidden: Matrix, labels: Vector, weight: Vector) -> tuple[float, Matrix]:
        total, d_hidden, gradients = weighted_sum(hidden, self.weights, labels, weight, self.max_bytes)
        for part, gradient in zip(self._updates, gradients, strict=True):
            if gradient is not None:
                part.descend(gradient, self.learning_rate)
        return total, d_hidden

    def _settings(self) -> dict[str, Any]:
        return {"cutoffs": list(self.cutoffs), "divisor": self.divisor, "max_bytes": self.max_bytes}

    def _parts(self) -> dict[str, Part]:
        return {f"weights_{i}": part for i, part in enumerate(self._updates)}

    def log_prob(self, hidden: ArrayLike) -> Matrix:
        return adaptive_log_softmax(self._hidden(hidden), self.weights)

    def _log_prob_of(self, hidden: Matrix, labels: Vector) -> Vector:
        return -row_losses(hidden, self.weights, labels, self.max_bytes)

    def _best(self, hidden: Matrix, k: int) -> tuple[Matrix, Matrix]:
        found = adaptive_top_k(hidden, self.weights, k)
        return found.classes, found.log_probabilities

    def argmax(self, hidden: ArrayLike) -> Search:
        """Return the most probable class of each row with the bound that proves it: see `adaptive_argmax`."""
        return adaptive_argmax(self._hidden(hidden), self.weights)


def _checked_cutoffs(cutoffs: tuple[int, ...], n_classes: int) -> tuple[int, ...]:
    try:
        cuts = tuple(operator.index(c) for c in cutoffs)
    except TypeError:
        raise TypeError(f"cutoffs={cutoffs!r}; whole numbers are needed: (2000, 10000), or () for none") from None
    if any(a >= b for a, b in zip((0, *cuts), (*cuts, n_classes), strict=True)):
        raise ValueError(
            f"cutoffs={cuts} must increase strictly between 0 and the number of classes, {n_classes}, both left out"
        )
    return cuts
