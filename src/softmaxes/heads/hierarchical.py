"""Hierarchical softmax: a class is a path of binary decisions down a Huffman tree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softmaxes.heads.base import Head, Matrix, Part, Seed, Vector, initial_weight
from softmaxes.heads.huffman import Tree
from softmaxes.heads.ranking import best_columns
from softmaxes.heads.updates import Rows, sum_by_row


class HierarchicalSoftmax(Head):
    r"""Probabilities as products of binary decisions, in O(d log V) a row for training.

    .. math:: \log p(w) = -\sum_{(n, \sigma) \text{ on the path of } w} \log(1 + e^{-\sigma (w_n \cdot h + b_n)})

    The probabilities of all classes add up to 1 by construction, and `log_prob` is exact. Huffman's tree over `counts`
    makes the paths of frequent classes short; without counts the tree is balanced. `log_prob` and `top_k` cost
    O(V d) a row.

    Source: Morin & Bengio 2005; the Huffman tree of Mikolov et al. 2013.

    Examples
    --------
    >>> import numpy as np
    >>> import softmaxes as sm
    >>> head = sm.heads.HierarchicalSoftmax(2, 5, counts=[10, 1, 1, 3, 0], rng=0, dtype="float64")
    >>> np.exp(head.log_prob(np.eye(2))).sum(axis=1).round(12)
    array([1., 1.])
    """

    def __init__(
        self, n_features: int, n_classes: int, counts: ArrayLike | None = None, rng: Seed = None, **options: Any
    ) -> None:
        super().__init__(n_features, n_classes, counts, rng, **options)
        frequency = np.ones(n_classes) if self.counts is None else self.counts
        self.tree = Tree.of(frequency)
        self.weight = Rows(initial_weight(self.rng, n_classes - 1, n_features, self.dtype))
        self.bias = Rows(self._initial_bias(frequency))

    def _initial_bias(self, frequency: Vector) -> Vector:
        """Return the log-odds of the two sides of every node by the counts, one added to each class."""
        n = self.n_classes
        sizes = np.concatenate([frequency + 1, np.zeros(n - 1)])
        for nodes in reversed(self.tree.levels):
            sizes[n + nodes] = sizes[self.tree.children[nodes]].sum(axis=1)
        first, second = sizes[self.tree.children].T
        odds: Vector = np.log(first / second).astype(self.dtype)
        return odds

    @property
    def nbytes(self) -> int:
        tree = self.tree
        paths = (tree.children, tree.starts, tree.nodes, tree.signs, *tree.levels)
        return super().nbytes + sum(x.nbytes for x in paths)

    def _settings(self) -> dict[str, Any]:
        return {}

    def _parts(self) -> dict[str, Part]:
        return {"weight": self.weight, "bias": self.bias}

    def _logits(self, seen: Matrix, nodes: Vector) -> Vector:
        """Return the logit of each decision in float64; seen: the hidden vector that comes to each node."""
        z: Vector = np.einsum("ij,ij->i", seen, self.weight.values[nodes], dtype=np.float64)
        return z + self.bias.values[nodes]

    def _step(self, hidden: Matrix, labels: Vector, weight: Vector) -> tuple[float, Matrix]:
        if self.n_classes == 1:
            return 0.0, np.zeros_like(hidden)
        rows, nodes, signs = self.tree.paths(labels)
        seen = hidden[rows]
        signed = signs * self._logits(seen, nodes)
        loss = float(weight[rows] @ np.logaddexp(0, -signed))
        d_z = (-signs * weight[rows] / (1 + np.exp(signed))).astype(self.dtype)
        starts = np.searchsorted(rows, np.arange(len(labels)))
        d_hidden: Matrix = np.add.reduceat(d_z[:, None] * self.weight.values[nodes], starts, axis=0)
        distinct, gradient = sum_by_row(nodes, d_z[:, None] * seen)
        self.weight.descend_rows(distinct, gradient, self.learning_rate)
        self.bias.descend_rows(distinct, sum_by_row(nodes, d_z)[1], self.learning_rate)
        return loss, d_hidden

    def _log_prob_of(self, hidden: Matrix, labels: Vector) -> Vector:
        rows, nodes, signs = self.tree.paths(labels)
        losses = np.logaddexp(0, -signs * self._logits(hidden[rows], nodes))
        return -np.bincount(rows, losses, minlength=len(labels))

    def log_prob(self, hidden: ArrayLike) -> Matrix:
        rows, n = self._hidden(hidden), self.n_classes
        z = self.weight.values @ rows.T + self.bias.values[:, None]
        log_probabilities = np.zeros((2 * n - 1, len(rows)), self.dtype)  # classes, then inner nodes: the root is last
        for nodes in self.tree.levels:
            first, second = self.tree.children[nodes].T
            here = log_probabilities[n + nodes]
            log_probabilities[first] = here - np.logaddexp(0, -z[nodes])
            log_probabilities[second] = here - np.logaddexp(0, z[nodes])
        return np.ascontiguousarray(log_probabilities[:n].T)

    def _best(self, hidden: Matrix, k: int) -> tuple[Matrix, Matrix]:
        return best_columns(self.log_prob(hidden), k)
