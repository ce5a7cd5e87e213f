"""Adaptive softmax: frequent classes in a short head, rare ones in clusters with smaller projections."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softmaxes.exponential import log_softmax
from softmaxes.heads.base import Head, Matrix, Seed, Vector, initial_bias, initial_weight
from softmaxes.heads.blocks import DEFAULT_MAX_BYTES
from softmaxes.heads.cutoffs import CostModel, choose_cutoffs, projected
from softmaxes.heads.linear import linear_cross_entropy, linear_cross_entropy_and_gradient
from softmaxes.heads.ranking import best_columns
from softmaxes.heads.updates import Rows


@dataclass(frozen=True, eq=False)
class Argmax:
    """The most probable class of each row, and the proof.

    classes: (n,). log_probabilities: (n,) of these classes, exact. bounds: (n,) no class that was not looked at has a
    log-probability above this (-inf if all were looked at), so log_probabilities >= bounds proves the claim.
    n_evaluated: (n,) how many classes were looked at.
    """

    classes: Vector
    log_probabilities: Vector
    bounds: Vector
    n_evaluated: Vector


@dataclass(eq=False)
class _Cluster:
    """Classes [start, stop) in order of frequency: a projection, then a softmax of their own."""

    start: int
    stop: int
    projection: Rows
    weight: Rows
    bias: Rows

    def log_softmax(self, hidden: Matrix) -> Matrix:
        z = (hidden @ self.projection.values.T) @ self.weight.values.T
        z += self.bias.values
        result: Matrix = log_softmax(z)
        return result


class AdaptiveSoftmax(Head):
    r"""A softmax in two levels whose cost follows the frequency of the classes.

    .. math:: \log p(w) = \begin{cases} \ell^0_w & w < c_1 \\
              \ell^0_{c_1 + j - 1} + \ell^j_{w - c_j} & w \text{ in cluster } j \end{cases}

    with l^0 the log-softmax of the head (the c_1 most frequent classes, then one token for each cluster) and l^j that
    of cluster j, which sees the hidden vector through a projection to d / divisor^j features. The order is found from
    `counts`; classes are named by their own indices everywhere. Without counts the order is taken as given: class 0 is
    assumed to be the most frequent, with frequencies as in natural language (Zipf).

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
        max_bytes: int = DEFAULT_MAX_BYTES,
        **options: Any,
    ) -> None:
        super().__init__(n_features, n_classes, counts, rng, **options)
        if not divisor >= 1:
            raise ValueError(f"divisor={divisor}; projections shrink by a factor of at least 1")
        self.max_bytes = int(max_bytes)
        frequency = 1.0 / np.arange(1, n_classes + 1) if self.counts is None else self.counts
        self.order = np.argsort(-frequency, kind="stable")
        self.rank = np.empty(n_classes, np.int64)
        self.rank[self.order] = np.arange(n_classes)
        shares = np.sort(frequency + (frequency.sum() == 0))[::-1]
        shares = shares / shares.sum()
        if cutoffs is None:
            cost = CostModel.measure(n_features, batch_rows) if cost_model is None else cost_model
            chosen = choose_cutoffs(
                shares, n_features, batch_rows, cost,
                divisor=divisor, most_clusters=most_clusters, least_mass=least_mass,
            ).cutoffs  # fmt: skip
        else:
            chosen = _checked_cutoffs(cutoffs, n_classes)
        self.cutoffs = chosen
        self._build(frequency, divisor)

    def _build(self, frequency: Vector, divisor: float) -> None:
        edges = (*self.cutoffs, self.n_classes)
        self.n_short = edges[0]
        sorted_counts = None if self.counts is None else frequency[self.order]
        head_counts = None
        if sorted_counts is not None:
            masses = [sorted_counts[a:b].sum() for a, b in pairwise(edges)]
            head_counts = np.concatenate([sorted_counts[: self.n_short], masses])
        n_head = self.n_short + len(self.cutoffs)
        self.weight = Rows(initial_weight(self.rng, n_head, self.n_features, self.dtype))
        self.bias = Rows(initial_bias(head_counts, n_head, self.dtype))
        self.clusters = []
        for j, (start, stop) in enumerate(pairwise(edges), 1):
            d = projected(self.n_features, divisor, j)
            counts = None if sorted_counts is None else sorted_counts[start:stop]
            self.clusters.append(
                _Cluster(
                    start,
                    stop,
                    Rows(initial_weight(self.rng, d, self.n_features, self.dtype)),
                    Rows(initial_weight(self.rng, stop - start, d, self.dtype)),
                    Rows(initial_bias(counts, stop - start, self.dtype)),
                )
            )

    @property
    def nbytes(self) -> int:
        parts = [self.weight, self.bias, *(p for c in self.clusters for p in (c.projection, c.weight, c.bias))]
        return sum(part.nbytes for part in parts)

    def _step(self, hidden: Matrix, labels: Vector, weight: Vector) -> tuple[float, Matrix]:
        ranks = self.rank[labels]
        cluster = self._cluster_of(ranks)
        in_head = np.where(cluster < 0, ranks, self.n_short + cluster)
        total, d_hidden = self._descend(hidden, in_head, weight, self.weight, self.bias)
        for j, part in enumerate(self.clusters):
            rows = np.flatnonzero(cluster == j)
            if len(rows):
                seen = hidden[rows]
                narrow = seen @ part.projection.values.T
                loss, d_narrow = self._descend(narrow, ranks[rows] - part.start, weight[rows], part.weight, part.bias)
                d_hidden[rows] += d_narrow @ part.projection.values
                part.projection.descend(d_narrow.T @ seen, self.learning_rate)
                total += loss
        return total, d_hidden

    def _descend(
        self, hidden: Matrix, target: Vector, row_weight: Vector, weight: Rows, bias: Rows
    ) -> tuple[float, Matrix]:
        value, (d_hidden, d_weight, d_bias) = linear_cross_entropy_and_gradient(
            hidden, weight.values, target, bias.values,
            sample_weight=row_weight, reduction="sum", max_bytes=self.max_bytes,
        )  # fmt: skip
        assert d_bias is not None
        weight.descend(d_weight, self.learning_rate)
        bias.descend(d_bias, self.learning_rate)
        return float(value), d_hidden

    def _cluster_of(self, ranks: Vector) -> Vector:
        """Return the cluster of each rank, -1 for the short list."""
        return np.searchsorted(np.asarray(self.cutoffs, np.int64), ranks, side="right") - 1

    def _head_log_prob(self, hidden: Matrix) -> Matrix:
        z = hidden @ self.weight.values.T
        z += self.bias.values
        result: Matrix = log_softmax(z)
        return result

    def log_prob(self, hidden: ArrayLike) -> Matrix:
        rows = self._hidden(hidden)
        head = self._head_log_prob(rows)
        result = np.empty((len(rows), self.n_classes), self.dtype)
        result[:, self.order[: self.n_short]] = head[:, : self.n_short]
        for j, part in enumerate(self.clusters):
            inside = part.log_softmax(rows)
            inside += head[:, self.n_short + j, None]
            result[:, self.order[part.start : part.stop]] = inside
        return result

    def _log_prob_of(self, hidden: Matrix, labels: Vector) -> Vector:
        ranks = self.rank[labels]
        cluster = self._cluster_of(ranks)
        in_head = np.where(cluster < 0, ranks, self.n_short + cluster)
        result = -self._losses(hidden, in_head, self.weight, self.bias)
        for j, part in enumerate(self.clusters):
            rows = np.flatnonzero(cluster == j)
            narrow = hidden[rows] @ part.projection.values.T
            result[rows] -= self._losses(narrow, ranks[rows] - part.start, part.weight, part.bias)
        return result

    def _losses(self, hidden: Matrix, target: Vector, weight: Rows, bias: Rows) -> Vector:
        return np.asarray(
            linear_cross_entropy(hidden, weight.values, target, bias.values, reduction="none", max_bytes=self.max_bytes)
        )

    def _best(self, hidden: Matrix, k: int) -> tuple[Matrix, Matrix]:
        ranks, scores, _, _ = self._search(hidden, k)
        return self.order[ranks], scores

    def argmax(self, hidden: ArrayLike) -> Argmax:
        """Return the most probable class of each row with the bound that proves it (see `Argmax`).

        p(class) <= p(token of its cluster), so a cluster whose token is less probable than the best class found so far
        is never evaluated.
        """
        ranks, scores, bounds, n_evaluated = self._search(self._hidden(hidden), 1)
        return Argmax(self.order[ranks[:, 0]], scores[:, 0], bounds, n_evaluated)

    def _search(self, hidden: Matrix, k: int) -> tuple[Matrix, Matrix, Vector, Vector]:
        """Return ranks and log-probabilities of the k best classes, the bound on all others, and how many were seen."""
        n, n_clusters = len(hidden), len(self.clusters)
        head = self._head_log_prob(hidden)
        tokens = head[:, self.n_short :]
        short = min(k, self.n_short)
        ranks, scores = np.zeros((n, k), np.int64), np.full((n, k), -np.inf, self.dtype)
        ranks[:, :short], scores[:, :short] = best_columns(head[:, : self.n_short], short)
        seen = np.full(n, self.n_short)
        likely_first = np.argsort(-tokens, axis=1, kind="stable")
        bounds = np.full(n, -np.inf, self.dtype)
        active = np.ones(n, bool)
        for turn in range(n_clusters):
            token = tokens[np.arange(n), likely_first[:, turn]]
            # a row of NaN must be looked at everywhere: nothing about it can be ruled out
            stops = active & (token <= scores[:, -1]) & (seen >= k)
            bounds[stops] = token[stops]
            active &= ~stops
            for j, part in enumerate(self.clusters):
                rows = np.flatnonzero(active & (likely_first[:, turn] == j))
                if len(rows):
                    inside = part.log_softmax(hidden[rows]) + tokens[rows, j, None]
                    found, values = best_columns(inside, min(k, inside.shape[1]))
                    both = np.concatenate([scores[rows], values], axis=1)
                    names = np.concatenate([ranks[rows], found + part.start], axis=1)
                    columns, scores[rows] = best_columns(both, k)
                    ranks[rows] = np.take_along_axis(names, columns, axis=1)
                    seen[rows] += part.stop - part.start
        return ranks, scores, bounds, seen


def _checked_cutoffs(cutoffs: tuple[int, ...], n_classes: int) -> tuple[int, ...]:
    cuts = tuple(int(c) for c in cutoffs)
    if any(a >= b for a, b in zip((0, *cuts), (*cuts, n_classes), strict=True)):
        raise ValueError(
            f"cutoffs={cuts} must increase strictly between 0 and the number of classes, {n_classes}, both left out"
        )
    return cuts
