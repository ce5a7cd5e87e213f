"""The exact head of the spherical family: a training step whose cost does not depend on the number of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from softmaxes.heads.base import Head, Matrix, Part, Seed, Vector, initial_weight
from softmaxes.heads.factorised import FactorisedRows
from softmaxes.heads.ranking import best_columns
from softmaxes.heads.updates import sum_by_row

# Beyond this the shrinking of a step would turn directions around; half of it keeps the inverse well within reach.
_MOST_SHRINKING = 0.5
# The pull of the counts on the initial outputs: how far above the uniform distribution they start.
_INITIAL_SHARPNESS = 4.0


@dataclass(frozen=True)
class Quadratic:
    """A map p_k = f(o_k) / sum f(o_j) with f(o) = constant + linear o + quadratic o^2 > 0."""

    constant: float
    linear: float
    quadratic: float

    def value(self, o: Matrix) -> Matrix:
        """Return f(o), from the completed square so that nothing cancels."""
        top = o + self.linear / (2 * self.quadratic)
        least = self.constant - self.linear**2 / (4 * self.quadratic)
        result: Matrix = self.quadratic * top * top + least
        return result

    def log_slope(self, o: Matrix) -> Matrix:
        """Return f'(o) / f(o)."""
        result: Matrix = (self.linear + 2 * self.quadratic * o) / self.value(o)
        return result

    def inverse(self, f: Matrix) -> Matrix:
        """Return the larger o with f(o) = f."""
        least = self.constant - self.linear**2 / (4 * self.quadratic)
        root: Matrix = np.sqrt(np.maximum(f - least, 0) / self.quadratic) - self.linear / (2 * self.quadratic)
        return root


class SphericalHead(Head):
    r"""A head of the spherical family, trained exactly in O(d^2) a row whatever the number of classes.

    .. math:: p_k = \frac{f(o_k)}{\sum_j f(o_j)}, \quad o = W h + b,
              f(o) = 1 + o + \tfrac12 o^2 \text{ ("taylor")} \quad\text{or}\quad o^2 + \epsilon \text{ ("spherical")}

    The sum over the classes is V a + b t.h + c h^T Q h with Q = W^T W and t = W^T 1 kept up to date, so loss, gradient
    and one exact step of gradient descent need no pass over the classes. Predicting does: `log_prob` and `top_k` cost
    O(V d) a row, `loss` O(d^2).

    Say it plainly: as a model the family is the weaker one. Its probabilities fall off quadratically, not
    exponentially, so on language it loses to softmax by a wide margin; it is competitive with few, balanced classes
    (de Brebisson & Vincent 2016). Use it when the number of classes makes everything else impossible.

    Besides the parameters of `Head`:

    Parameters
    ----------
    map : "taylor" or "spherical".
    epsilon : the constant of the spherical map, positive.
    max_condition : see `FactorisedRows`.
    learning_rate : of plain gradient descent on the mean loss. A step never shrinks the weights by more than one half:
        the rate of a step is the smaller of this one and 1 / (2 |M|), M the quadratic part of the gradient, and is
        left in `.applied_rate`.
    dtype : float64 by default; float32 halves the memory, and the kept sums then drift (see `FactorisedRows.refresh`).

    Examples
    --------
    >>> import numpy as np
    >>> import softmaxes as sm
    >>> head = sm.heads.SphericalHead(2, 1000, rng=0, learning_rate=10.0)
    >>> hidden, target = np.eye(2), np.array([7, 123])
    >>> for _ in range(50):
    ...     loss, d_hidden = head.step(hidden, target)
    >>> head.predict(hidden)
    array([  7, 123])
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        counts: ArrayLike | None = None,
        rng: Seed = None,
        *,
        map: Literal["taylor", "spherical"] = "taylor",
        epsilon: float = 1e-2,
        max_condition: float = 1e6,
        learning_rate: float = 1.0,
        dtype: Any = np.float64,
        **options: Any,
    ) -> None:
        super().__init__(n_features, n_classes, counts, rng, learning_rate=learning_rate, dtype=dtype, **options)
        if map not in ("taylor", "spherical"):
            raise ValueError(f"map={map!r}; the exact head knows 'taylor' (second order) and 'spherical'")
        if not 0 < epsilon < np.inf:
            raise ValueError(f"epsilon={epsilon}; it must be positive: at 0 the loss has no bound on its gradient")
        self.map_name, self.epsilon = map, float(epsilon)
        self.map = Quadratic(1.0, 1.0, 0.5) if map == "taylor" else Quadratic(float(epsilon), 0.0, 1.0)
        self.applied_rate = learning_rate
        weight = initial_weight(self.rng, n_classes, n_features, self.dtype)
        self.weight = FactorisedRows(np.column_stack([weight, self._initial_bias()]), max_condition)

    def _initial_bias(self) -> Vector:
        """Return outputs whose distribution is that of the counts mixed with the uniform one."""
        if self.counts is None:
            return np.zeros(self.n_classes, self.dtype)
        shares = (self.counts + 1) / (self.counts.sum() + self.n_classes) * self.n_classes
        return self.map.inverse(self.map.constant * (1 + _INITIAL_SHARPNESS * shares)).astype(self.dtype)

    def _settings(self) -> dict[str, Any]:
        return {"map": self.map_name, "epsilon": self.epsilon, "max_condition": self.weight.max_condition}

    def _parts(self) -> dict[str, Part]:
        return {"weight": self.weight}

    def _step(self, hidden: Matrix, labels: Vector, weight: Vector) -> tuple[float, Matrix]:
        x, f = _with_one(hidden), self.map
        of_targets = self.weight.rows(labels)
        o = np.einsum("ij,ij->i", x, of_targets)
        through_gram = x @ self.weight.gram
        total = self._total(x, through_gram)
        loss = float(weight @ (np.log(total) - np.log(f.value(o))))
        spread, sharp = weight / total, weight * f.log_slope(o)
        d_x = 2 * f.quadratic * spread[:, None] * through_gram
        d_x += np.outer(f.linear * spread, self.weight.total) - sharp[:, None] * of_targets

        curvature = 2 * f.quadratic * spread
        most = _MOST_SHRINKING / float(curvature @ np.einsum("ij,ij->i", x, x))
        rate = self.applied_rate = min(self.learning_rate, most)
        rows, pull = sum_by_row(labels, (rate * sharp)[:, None] * x)
        self.weight.update(np.sqrt(rate * curvature)[:, None] * x, rate * f.linear * (spread @ x), rows, pull)
        return loss, d_x[:, :-1].astype(self.dtype)

    def _total(self, x: Matrix, through_gram: Matrix) -> Vector:
        """Return the sum of f over all classes, for each row, from the Gram matrix and the total."""
        f = self.map
        squares = np.maximum(np.einsum("ij,ij->i", x, through_gram), 0)
        total: Vector = self.n_classes * f.constant + f.linear * (x @ self.weight.total) + f.quadratic * squares
        return total

    def _log_prob_of(self, hidden: Matrix, labels: Vector) -> Vector:
        x = _with_one(hidden)
        o = np.einsum("ij,ij->i", x, self.weight.rows(labels))
        result: Vector = np.log(self.map.value(o)) - np.log(self._total(x, x @ self.weight.gram))
        return result

    def log_prob(self, hidden: ArrayLike) -> Matrix:
        f = self.map.value(self.weight.products(_with_one(self._hidden(hidden))))
        total = f.sum(axis=1, keepdims=True)
        result: Matrix = np.log(f, out=f)
        result -= np.log(total)
        return result

    def _best(self, hidden: Matrix, k: int) -> tuple[Matrix, Matrix]:
        return best_columns(self.log_prob(hidden), k)


def _with_one(hidden: Matrix) -> Matrix:
    """Return float64 rows with a constant feature at the end, whose weights are the biases."""
    return np.column_stack([hidden.astype(np.float64, copy=False), np.ones(len(hidden))])
