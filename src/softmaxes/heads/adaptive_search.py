"""The most probable classes of an adaptive softmax, with proof, and without looking at all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from softmaxes.heads.adaptive_weights import AdaptiveWeights, Vector
from softmaxes.heads.counting import whole
from softmaxes.heads.ranking import best_columns


@dataclass(frozen=True, eq=False)
class Search:
    """The k best classes of each row, (n, k), or the best one, (n,), and the proof.

    log_probabilities: exact, best first. bounds: (n,) no class that was not looked at has a log-probability
    above this (-inf if all were). n_evaluated: (n,) how many classes were looked at.
    """

    classes: Vector
    log_probabilities: Vector
    bounds: Vector
    n_evaluated: Vector


def adaptive_top_k(hidden: ArrayLike, weights: AdaptiveWeights, k: int) -> Search:
    """Return the k most probable classes of each row, with the bound that proves it: see `Search`.

    p(class) <= p(token of its cluster), so a cluster whose token is less probable than the k-th best class found so
    far is never evaluated.

    Examples
    --------
    >>> from softmaxes import heads
    >>> weights = heads.AdaptiveSoftmax(2, 6, [50, 30, 9, 5, 2, 1], rng=0, cutoffs=(2, 4)).weights
    >>> found = heads.adaptive_top_k([[1.0, 0.0]], weights, 2)
    >>> found.classes, found.n_evaluated
    (array([[0, 1]]), array([4]))
    """
    rows, n_classes = weights.rows(hidden), len(weights.order)
    if whole(k, "k") > n_classes:
        raise ValueError(f"k={k}; there are {n_classes} classes, so k goes from 1 to {n_classes}")
    n, spans = len(rows), weights.spans()
    head = weights.head_log_softmax(rows)
    tokens = head[:, weights.n_short :]
    short = min(k, weights.n_short)
    ranks, scores = np.zeros((n, k), np.int64), np.full((n, k), -np.inf, head.dtype)
    ranks[:, :short], scores[:, :short] = best_columns(head[:, : weights.n_short], short)
    seen, bounds, active = np.full(n, weights.n_short), np.full(n, -np.inf, head.dtype), np.ones(n, bool)
    likely_first = np.argsort(-tokens, axis=1, kind="stable")
    for turn in range(len(spans)):
        token = tokens[np.arange(n), likely_first[:, turn]]
        # a row of NaN must be looked at everywhere: nothing about it can be ruled out
        stops = active & (token <= scores[:, -1]) & (seen >= k)
        bounds[stops] = token[stops]
        active &= ~stops
        for j, (start, stop, cluster) in enumerate(spans):
            chosen = np.flatnonzero(active & (likely_first[:, turn] == j))
            if len(chosen):
                inside = cluster.log_softmax(rows[chosen]) + tokens[chosen, j, None]
                found, values = best_columns(inside, min(k, inside.shape[1]))
                both = np.concatenate([scores[chosen], values], axis=1)
                names = np.concatenate([ranks[chosen], found + start], axis=1)
                columns, scores[chosen] = best_columns(both, k)
                ranks[chosen] = np.take_along_axis(names, columns, axis=1)
                seen[chosen] += stop - start
    return Search(weights.order[ranks], scores, bounds, seen)


def adaptive_argmax(hidden: ArrayLike, weights: AdaptiveWeights) -> Search:
    """Return the most probable class of each row with the bound that proves it: log_probabilities >= bounds.

    Examples
    --------
    >>> from softmaxes import heads
    >>> weights = heads.AdaptiveSoftmax(2, 6, [50, 30, 9, 5, 2, 1], rng=0, cutoffs=(2, 4)).weights
    >>> found = heads.adaptive_argmax([[1.0, 0.0]], weights)
    >>> found.log_probabilities >= found.bounds
    array([ True])
    """
    best = adaptive_top_k(hidden, weights, 1)
    return Search(best.classes[:, 0], best.log_probabilities[:, 0], best.bounds, best.n_evaluated)
