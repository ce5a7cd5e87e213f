"""What every output layer has in common: reading a batch, exact evaluation in blocks of rows, fitting by steps."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from math import fsum
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from softmaxes.arrays import as_floating, layout, refuse_clever_arrays
from softmaxes.heads.blocks import spans
from softmaxes.heads.counting import class_indices, whole
from softmaxes.targets import read_target

Vector: TypeAlias = NDArray[Any]
Matrix: TypeAlias = NDArray[Any]
Seed: TypeAlias = np.random.Generator | int | None

_EVALUATION_BYTES = 32 * 2**20


@dataclass(frozen=True, eq=False)
class Batch:
    """The rows of a batch that count.

    hidden: (n, d). labels: (n,) class indices. weight: (n,) shares of the loss, which add up to 1.
    rows: their places in the batch as it was given.
    """

    hidden: Matrix
    labels: Vector
    weight: Vector
    rows: Vector


class Part(Protocol):
    """Arrays that training changes in place."""

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""

    def state(self) -> dict[str, Matrix]:
        """Return copies or views of all that there is."""

    def restore(self, state: Mapping[str, Matrix]) -> None:
        """Take over what `state` returned; raise ValueError if it does not fit."""


class Head(ABC):
    """An output layer: hidden vectors in, a distribution over many classes out.

    A head is trained by steps and evaluated exactly. `step` makes one update of the head and returns the gradient
    with respect to the hidden vectors, so that the layers below can learn too.

    Parameters
    ----------
    n_features : size d of the hidden vectors.
    n_classes : number of classes V; class indices go from 0 to V - 1, in any order.
    counts : (V,) how often each class occurs, used for the order, the proposals or the tree; None means unknown.
        A class with count 0, never seen in training, keeps a positive probability.
    rng : a numpy Generator, an integer seed, or None for fresh entropy.
    learning_rate : the step size, which may be changed between steps.
    dtype : float32 or float64, of the parameters and of the hidden vectors' gradient.
    class_weight : (V,) a weight >= 0 for each class, or None.
    ignore_index : the target of rows that do not count.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        counts: ArrayLike | None = None,
        rng: Seed = None,
        *,
        learning_rate: float = 0.1,
        dtype: DTypeLike = np.float32,
        class_weight: ArrayLike | None = None,
        ignore_index: int | None = None,
    ) -> None:
        self.n_features = whole(n_features, "n_features")
        self.n_classes = whole(n_classes, "n_classes")
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype is {self.dtype}; a head computes in float32 or float64")
        if not 0 < learning_rate < np.inf:
            raise ValueError(f"learning_rate={learning_rate}; it must be positive and finite")
        self.learning_rate = learning_rate
        self.counts = None if counts is None else self._of_classes(counts, "counts")
        self.class_weight = None if class_weight is None else self._of_classes(class_weight, "class_weight")
        self.ignore_index = None if ignore_index is None else operator.index(ignore_index)
        self.rng = np.random.default_rng(rng)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_features={self.n_features}, n_classes={self.n_classes})"

    @property
    def nbytes(self) -> int:
        """Bytes of the parameters and of what their updates remember."""
        return sum(part.nbytes for part in self._parts().values())

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Return the options beyond those of `Head` that make a head like this one, as data for JSON."""

    @abstractmethod
    def _parts(self) -> dict[str, Part]:
        """Return everything that training changes."""

    @abstractmethod
    def log_prob(self, hidden: ArrayLike) -> Matrix:
        """Return the exact log-probability of every class, (n, V) for hidden (n, d)."""

    @abstractmethod
    def _best(self, hidden: Matrix, k: int) -> tuple[Matrix, Matrix]:
        """Return what top_k returns, for a block of rows."""

    @abstractmethod
    def _step(self, hidden: Matrix, labels: Vector, weight: Vector) -> tuple[float, Matrix]:
        """Update the parameters; return the weighted loss before the update and its gradient in hidden."""

    @abstractmethod
    def _log_prob_of(self, hidden: Matrix, labels: Vector) -> Vector:
        """Return the exact log-probability of one class a row, (n,)."""

    def step(
        self, hidden: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> tuple[float, Matrix]:
        """Make one update on a batch; return the loss before it and the loss's gradient in hidden.

        The loss is sum_i s_i c_{y_i} l_i / sum_i s_i c_{y_i} over the rows that are not ignored, with l_i the loss
        of row i, s the sample weights and c the class weights: 0, with gradient 0 and no update, if nothing counts.

        hidden: (n, d). target: (n,) class indices. Result: a float and (n, d).
        Raises ValueError for a target out of range, for shapes that do not fit, and for hidden vectors that are not
        finite in rows that count; nothing is changed then.
        """
        rows = self._hidden(hidden)
        gradient = np.zeros(rows.shape, self.dtype)
        batch = self._batch(rows, target, sample_weight)
        if batch is None:
            return 0.0, gradient
        if not np.isfinite(batch.hidden).all():
            bad = batch.rows[np.flatnonzero(~np.isfinite(batch.hidden).all(axis=1))[0]]
            raise ValueError(
                f"hidden[{bad}] is not finite: a step would spoil the parameters, which are left as they were"
            )
        loss, gradient[batch.rows] = self._step(batch.hidden, batch.labels, batch.weight)
        return loss, gradient

    def loss(self, hidden: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
        """Return the exact mean of -log p(target), weighted as in `step`, whatever the head is trained with."""
        batch = self._batch(self._hidden(hidden), target, sample_weight)
        if batch is None:
            return 0.0
        return 0.0 - fsum(
            float(batch.weight[s] @ self._log_prob_of(batch.hidden[s], batch.labels[s]).astype(np.float64))
            for s in self._evaluation_spans(len(batch.labels))
        )

    def top_k(self, hidden: ArrayLike, k: int) -> tuple[Matrix, Matrix]:
        """Return the k most probable classes of each row and their exact log-probabilities, best first: (n, k) each."""
        rows = self._hidden(hidden)
        if whole(k, "k") > self.n_classes:
            raise ValueError(f"k={k}; there are {self.n_classes} classes, so k goes from 1 to {self.n_classes}")
        classes, log_probabilities = np.empty((len(rows), k), np.int64), np.empty((len(rows), k), self.dtype)
        for s in self._evaluation_spans(len(rows)):
            classes[s], log_probabilities[s] = self._best(rows[s], k)
        return classes, log_probabilities

    def predict(self, hidden: ArrayLike) -> Vector:
        """Return the most probable class of each row, (n,)."""
        return self.top_k(hidden, 1)[0][:, 0]

    def fit(self, hidden: ArrayLike, target: ArrayLike, *, epochs: int = 1, batch_rows: int = 256) -> Self:
        """Make one step per batch of rows, in a fresh random order in every epoch; return the head itself."""
        rows = self._hidden(hidden)
        labels = np.asarray(target)
        self._batch(rows, labels, None)
        size = whole(batch_rows, "batch_rows")
        for _ in range(whole(epochs, "epochs", least=0)):
            order = self.rng.permutation(len(rows))
            for s in spans(len(rows), size):
                self.step(rows[order[s]], labels[order[s]])
        return self

    def save(self, path: str | Path) -> None:
        """Write the head to a file that `softmaxes.load` reads and that executes nothing.

        Everything is kept, the random generator included: training goes on as if it had not been interrupted.
        """
        # The model file knows heads, so it lives some floors above: found by name when asked for.
        import_module("softmaxes.persistence").save(self, path)

    def _hidden(self, hidden: ArrayLike) -> Matrix:
        refuse_clever_arrays(hidden, "hidden")
        rows: Matrix = np.asarray(as_floating(np.asarray(hidden), "hidden").values, self.dtype)
        if rows.ndim != 2 or rows.shape[1] != self.n_features:
            raise ValueError(f"hidden has shape {rows.shape}; needed are rows of {self.n_features} features")
        return rows

    def _batch(self, hidden: Matrix, target: ArrayLike, sample_weight: ArrayLike | None) -> Batch | None:
        labels, kept = self._labels(target, len(hidden))
        weight = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        if weight.shape != labels.shape or not (np.isfinite(weight) & (weight >= 0)).all():
            raise ValueError(f"sample_weight must be {len(labels)} finite numbers >= 0, got shape {weight.shape}")
        if self.class_weight is not None:
            weight = weight * self.class_weight[labels]
        if kept is not None:
            weight = weight * kept
        total = weight.sum()
        if total == 0:
            return None
        rows = np.flatnonzero(weight)
        hidden = hidden if len(rows) == len(hidden) else hidden[rows]
        return Batch(hidden, labels[rows], weight[rows] / total, rows)

    def _labels(self, target: ArrayLike, n_rows: int) -> tuple[Vector, Vector | None]:
        stand_in = np.broadcast_to(np.zeros((), self.dtype), (n_rows, self.n_classes))
        read = read_target(class_indices(target), stand_in, layout(stand_in, -1, np), ignore_index=self.ignore_index)
        assert read.labels is not None
        return read.labels, read.kept

    def _of_classes(self, values: ArrayLike, name: str) -> Vector:
        array = np.asarray(values, np.float64)
        if array.shape != (self.n_classes,):
            raise ValueError(f"{name} has shape {array.shape}; needed is one number a class: shape ({self.n_classes},)")
        if not (np.isfinite(array) & (array >= 0)).all():
            raise ValueError(f"{name} holds numbers that are negative or not finite")
        return array

    def _evaluation_spans(self, n_rows: int) -> Iterator[slice]:
        """Cut rows so that a block of log-probabilities stays small."""
        size = max(1, _EVALUATION_BYTES // (self.dtype.itemsize * self.n_classes))
        return iter(spans(n_rows, size))


def initial_bias(counts: Vector | None, n_classes: int, dtype: DTypeLike) -> Vector:
    """Return the logits of the classes' own frequencies, one pseudo-count added to each; 0 where they are unknown."""
    if counts is None:
        return np.zeros(n_classes, dtype)
    bias: Vector = np.log((counts + 1) / (counts.sum() + n_classes)).astype(dtype)
    return bias


def initial_weight(rng: np.random.Generator, n_rows: int, n_features: int, dtype: DTypeLike) -> Matrix:
    """Return small random weights, uniform with variance 1 / (3 d)."""
    bound = n_features**-0.5
    return rng.uniform(-bound, bound, (n_rows, n_features)).astype(dtype)


def take_over(into: Mapping[str, Matrix], state: Mapping[str, Matrix]) -> None:
    """Copy arrays of the same names, shapes and types into those that there are."""
    for name, array in into.items():
        given = state[name]
        if given.shape != array.shape or given.dtype != array.dtype:
            raise ValueError(f"{name} is {given.dtype} {given.shape}; needed is {array.dtype} {array.shape}")
        if not np.isfinite(given).all():
            raise ValueError(f"{name} is not finite")
        array[...] = given
