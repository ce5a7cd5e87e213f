"""The plain softmax layer, trained and evaluated without its matrix of logits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softmaxes.exponential import log_softmax
from softmaxes.heads.base import Head, Matrix, Part, Seed, Vector, initial_bias, initial_weight
from softmaxes.heads.blocks import DEFAULT_MAX_BYTES
from softmaxes.heads.counting import budget
from softmaxes.heads.linear import linear_cross_entropy, weighted_sum_and_gradient
from softmaxes.heads.ranking import best_columns
from softmaxes.heads.updates import Rows


class LinearHead(Head):
    """A head whose distribution is the softmax of hidden @ weight.T + bias, however it is trained."""

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        counts: ArrayLike | None = None,
        rng: Seed = None,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        **options: Any,
    ) -> None:
        super().__init__(n_features, n_classes, counts, rng, **options)
        self.max_bytes = budget(max_bytes)
        self.weight = Rows(initial_weight(self.rng, n_classes, n_features, self.dtype))
        self.bias = Rows(initial_bias(self.counts, n_classes, self.dtype))

    def _settings(self) -> dict[str, Any]:
        return {"max_bytes": self.max_bytes}

    def _parts(self) -> dict[str, Part]:
        return {"weight": self.weight, "bias": self.bias}

    def logits(self, hidden: ArrayLike) -> Matrix:
        """Return hidden @ weight.T + bias, (n, V)."""
        z: Matrix = self._hidden(hidden) @ self.weight.values.T
        z += self.bias.values
        return z

    def log_prob(self, hidden: ArrayLike) -> Matrix:
        log_probabilities: Matrix = log_softmax(self.logits(hidden))
        return log_probabilities

    def _best(self, hidden: Matrix, k: int) -> tuple[Matrix, Matrix]:
        return best_columns(self.log_prob(hidden), k)

    def _log_prob_of(self, hidden: Matrix, labels: Vector) -> Vector:
        losses = linear_cross_entropy(
            hidden, self.weight.values, labels, self.bias.values, reduction="none", max_bytes=self.max_bytes
        )
        return -np.asarray(losses)


class FullSoftmax(LinearHead):
    """The exact softmax over all classes: log p = hidden @ weight.T + bias - log Z.

    Every step costs O(V d) for each row, and takes at most max_bytes beside the parameters and their gradient.
    The parameters are those of `Head`; max_bytes is that of `linear_cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> import softmaxes as sm
    >>> head = sm.heads.FullSoftmax(2, 3, rng=0, learning_rate=0.5)
    >>> hidden, target = np.eye(2), np.array([2, 0])
    >>> for _ in range(100):
    ...     loss, d_hidden = head.step(hidden, target)
    >>> head.predict(hidden)
    array([2, 0])
    """

    def _step(self, hidden: Matrix, labels: Vector, weight: Vector) -> tuple[float, Matrix]:
        value, (d_hidden, d_weight, d_bias) = weighted_sum_and_gradient(
            hidden, self.weight.values, labels, self.bias.values, weight, self.max_bytes
        )
        self.weight.descend(d_weight, self.learning_rate)
        self.bias.descend(d_bias, self.learning_rate)
        return value, d_hidden
