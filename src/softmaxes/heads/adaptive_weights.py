"""The weights of an adaptive softmax: a short list of frequent classes, and clusters with smaller projections."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmaxes.arrays import as_floating, refuse_clever_arrays
from softmaxes.exponential import log_softmax

Matrix: TypeAlias = NDArray[Any]
Vector: TypeAlias = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Cluster:
    """The k rare classes of one cluster, with the scores weight @ (projection @ hidden) + bias.

    projection: (d_j, d). weight: (k, d_j). bias: (k,).
    """

    projection: Matrix
    weight: Matrix
    bias: Vector

    def log_softmax(self, hidden: Matrix) -> Matrix:
        """Return the log-probability of each class of the cluster, given the cluster: (n, k)."""
        return log_softmax_of(hidden @ self.projection.T, self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class AdaptiveWeights:
    r"""The weights of an adaptive softmax over V classes.

    .. math:: \log p(w) = \begin{cases} \ell^0_w & w < c_1 \\
              \ell^0_{c_1 + j - 1} + \ell^j_{w - c_j} & w \text{ in cluster } j \end{cases}

    where w counts in the order given, l^0 is the log-softmax of weight @ hidden + bias (the c_1 most frequent classes,
    then one token for each cluster), and l^j that of cluster j.

    Parameters
    ----------
    order : (V,) the classes, from the most to the least frequent.
    weight, bias : (c_1 + J, d) and (c_1 + J,).
    clusters : the J clusters.

    Raises
    ------
    ValueError
        If the shapes do not fit, or order is not one of the V classes.

    Examples
    --------
    Class 1 is frequent; 0 and 2 form a cluster that sees the first feature alone.

    >>> import numpy as np
    >>> from softmaxes import heads
    >>> rare = heads.Cluster(np.array([[1.0, 0.0]]), np.array([[2.0], [-1.0]]), np.zeros(2))
    >>> weights = heads.AdaptiveWeights(np.array([1, 0, 2]), np.eye(2), np.zeros(2), (rare,))
    >>> weights.cutoffs
    (1,)
    >>> np.exp(heads.adaptive_log_softmax([[1.0, 0.0]], weights)).round(4)
    array([[0.2562, 0.7311, 0.0128]])
    """

    order: Vector
    weight: Matrix
    bias: Vector
    clusters: tuple[Cluster, ...]

    def __post_init__(self) -> None:
        n_classes, (n_head, d) = len(self.order), np.shape(self.weight)
        inside = sum(len(c.bias) for c in self.clusters)
        if n_head - len(self.clusters) != n_classes - inside or n_head <= len(self.clusters):
            raise ValueError(
                f"weight has {n_head} rows; needed are {n_classes - inside} for the classes that are in no cluster "
                f"({n_classes} in all), at least 1, and {len(self.clusters)} for the clusters"
            )
        if np.shape(self.bias) != (n_head,):
            raise ValueError(f"bias has shape {np.shape(self.bias)}; needed is ({n_head},)")
        for j, c in enumerate(self.clusters):
            shapes = np.shape(c.projection), np.shape(c.weight), np.shape(c.bias)
            if shapes != ((shapes[0][0], d), (len(c.bias), shapes[0][0]), (len(c.bias),)) or not len(c.bias):
                raise ValueError(
                    f"cluster {j} has a projection {shapes[0]}, a weight {shapes[1]} and a bias {shapes[2]}; needed "
                    f"are (d_j, {d}), (k, d_j) and (k,)"
                )
        if not np.array_equal(np.sort(self.order), np.arange(n_classes)):
            raise ValueError(f"order must hold each of the classes 0 to {n_classes - 1} once")

    @property
    def n_features(self) -> int:
        return int(self.weight.shape[1])

    @cached_property
    def cutoffs(self) -> tuple[int, ...]:
        """The ranks c_1 < ... < c_J where the clusters begin."""
        starts = np.cumsum([len(self.weight) - len(self.clusters), *(len(c.bias) for c in self.clusters[:-1])])
        return tuple(map(int, starts[: len(self.clusters)]))

    @cached_property
    def rank(self) -> Vector:
        """(V,) the place of each class in the order."""
        rank = np.empty(len(self.order), np.int64)
        rank[self.order] = np.arange(len(self.order))
        return rank

    @property
    def n_short(self) -> int:
        """The number of classes in no cluster, c_1."""
        return len(self.weight) - len(self.clusters)

    def rows(self, hidden: ArrayLike) -> Matrix:
        """Return hidden vectors, (n, d), in the dtype of the arithmetic."""
        refuse_clever_arrays(hidden, "hidden")
        rows: Matrix = as_floating(np.asarray(hidden), "hidden").values
        if rows.ndim != 2 or rows.shape[1] != self.n_features:
            raise ValueError(f"hidden has shape {rows.shape}; needed are rows of {self.n_features} features")
        return rows.astype(np.result_type(rows, self.weight), copy=False)

    def spans(self) -> list[tuple[int, int, Cluster]]:
        """Return the first rank of each cluster, the one after its last, and the cluster."""
        edges = pairwise((*self.cutoffs, len(self.order)))
        return [(start, stop, c) for (start, stop), c in zip(edges, self.clusters, strict=True)]

    @classmethod
    def of(cls, order: Vector, arrays: list[Matrix]) -> AdaptiveWeights:
        """Return the weights that `arrays` came from."""
        clusters = tuple(Cluster(*arrays[i : i + 3]) for i in range(2, len(arrays), 3))
        return cls(order, arrays[0], arrays[1], clusters)

    def arrays(self) -> list[Matrix]:
        """Return weight, bias, and projection, weight and bias of each cluster."""
        return [self.weight, self.bias, *(x for c in self.clusters for x in (c.projection, c.weight, c.bias))]

    def head_log_softmax(self, hidden: Matrix) -> Matrix:
        """Return the log-probabilities of the short list and of the clusters, (n, c_1 + J)."""
        return log_softmax_of(hidden, self.weight, self.bias)

    def places(self, labels: Vector) -> tuple[Vector, list[Vector], Vector]:
        """Return each label's column in the head, the rows of each cluster, and the labels' ranks."""
        ranks = self.rank[labels]
        cluster = np.searchsorted(np.asarray(self.cutoffs, np.int64), ranks, side="right") - 1
        in_head = np.where(cluster < 0, ranks, self.n_short + cluster)
        return in_head, [np.flatnonzero(cluster == j) for j in range(len(self.clusters))], ranks


def log_softmax_of(hidden: Matrix, weight: Matrix, bias: Vector) -> Matrix:
    """Return the log-softmax of hidden @ weight.T + bias."""
    z = hidden @ weight.T
    z += bias
    result: Matrix = log_softmax(z)
    return result
