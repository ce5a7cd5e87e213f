"""Where to cut classes sorted by frequency, so that one training step of an adaptive softmax costs least time.

A step on B rows with k classes of d features is taken to cost

    g(k, B, d) = fixed + per_row B + per_class k + per_weight k d + per_logit k B + per_product k B d

seconds: the call itself, what is done once a row, the pass over the weights (reading them, updating them), exponentials
and sums, and the arithmetic of the matrix products. A projection has no logits: p(k, B, d) is g without its first,
third and fifth terms. The head holds the c_1 most frequent classes and J cluster tokens; cluster j has k_j classes with
the probability mass P_j and sees P_j B rows through a projection to d_j features:

    C = g(c_1 + J, B, d) + sum_j [ g(k_j, P_j B, d_j) + p(d_j, P_j B, d) ]

For every J the best cuts are found exactly by dynamic programming over "the cheapest way to cover classes i .. V-1
with the clusters j .. J". Time alone would push even frequent words into small projections, so conditions keep the
model good: the head holds at least a given share of the probability mass, every cluster holds at least as many classes
as all that come before it, and sees at least a given number of features.
Source: Grave et al. 2017, Efficient softmax approximation for GPUs, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from time import perf_counter

import numpy as np

from softmaxes.heads.base import Matrix, Vector
from softmaxes.heads.blocks import DEFAULT_MAX_BYTES
from softmaxes.heads.counting import whole
from softmaxes.heads.linear import weighted_sum_and_gradient
from softmaxes.heads.updates import Rows


@dataclass(frozen=True)
class CostModel:
    """Seconds of one training step of an output layer, as a function of its classes, rows and features.

    The default is a typical machine of 2026 with one thread; `measure` asks the machine at hand.
    """

    fixed: float = 2e-4
    per_row: float = 2e-7
    per_class: float = 1e-8
    per_weight: float = 1e-9
    per_logit: float = 1e-9
    per_product: float = 7e-11

    def __post_init__(self) -> None:
        if not all(0 <= value < np.inf for value in astuple(self)):
            raise ValueError(f"{self!r}: the constants of a cost model are finite and not negative")

    @classmethod
    def measure(cls, n_features: int, batch_rows: int) -> CostModel:
        """Return the model fitted to a few steps timed here and now (a fraction of a second)."""
        d, rows = n_features, batch_rows
        small, few = max(d // 16, 1), max(rows // 16, 1)
        many = int(min(max(2**28 // (rows * d), 256), 4096))
        sizes = ((64, few, small), (64, rows, d), (many // 4, rows, d), (many, rows, d), (many, few, d),
                 (many, rows, small), (many, few, small), (many // 4, rows, small))  # fmt: skip
        seconds = np.array([_seconds_of_a_step(*size) for size in sizes])
        terms = np.array([_terms(*size) for size in sizes], float)
        return cls(*_nonnegative_fit(terms / seconds[:, None]))

    def seconds(self, n_classes: Matrix | float, n_rows: Matrix | float, n_features: float) -> Matrix:
        """Return g(k, B, d)."""
        terms = _terms(n_classes, n_rows, n_features)
        return np.asarray(sum(c * term for c, term in zip(astuple(self), terms, strict=True)))

    def seconds_of_projection(self, n_rows: Matrix, to_features: float, n_features: float) -> Matrix:
        """Return p(k, B, d)."""
        weights = to_features * n_features
        return np.asarray(self.per_row * n_rows + self.per_weight * weights + self.per_product * weights * n_rows)


@dataclass(frozen=True)
class Cuts:
    """The cut-offs c_1 < ... < c_J (none: one plain softmax) and the seconds a step is expected to take."""

    cutoffs: tuple[int, ...]
    seconds: float


def projected(n_features: int, divisor: float, cluster: int) -> int:
    """Return the features of cluster 1, 2, ...: d / divisor^j, rounded down, at least 1."""
    return max(1, int(n_features / divisor**cluster))


def choose_cutoffs(
    probabilities: Vector,
    n_features: int,
    batch_rows: int,
    cost: CostModel,
    *,
    divisor: float = 4.0,
    most_clusters: int = 4,
    least_mass: float = 0.8,
    least_features: int = 8,
    candidates: Vector | None = None,
) -> Cuts:
    """Return the cheapest cut-offs with at most most_clusters clusters.

    probabilities: (V,) of the classes, decreasing. least_mass: the share that the head must hold.
    least_features: no cluster but the first may see fewer.
    candidates: the cuts to consider; by default about 200 in geometric progression.
    """
    v = len(probabilities)
    if not 0 <= least_mass <= 1:
        raise ValueError(f"least_mass={least_mass}; it is a share, from 0 to 1")
    whole(most_clusters, "most_clusters", least=0)
    cuts = _geometric(v) if candidates is None else np.unique(np.asarray(candidates, np.int64))
    cuts = cuts[(cuts > 0) & (cuts < v)]
    edges = np.append(cuts, v)
    below = np.concatenate([[0.0], np.cumsum(probabilities)])
    sizes = (edges[None, :] - cuts[:, None]).astype(float)  # [i, j]: the cluster from cut i to edge j
    masses = below[edges][None, :] - below[cuts][:, None]

    def cluster_costs(j: int) -> Matrix:
        d = projected(n_features, divisor, j)
        rows = masses * batch_rows
        costs = cost.seconds(sizes, rows, d) + cost.seconds_of_projection(rows, d, n_features)
        return np.where(sizes >= cuts[:, None], costs, np.inf)

    best = Cuts((), float(cost.seconds(v, batch_rows, n_features)))
    for n_clusters in range(1, min(most_clusters, len(cuts)) + 1):
        if n_clusters > 1 and projected(n_features, divisor, n_clusters) < least_features:
            break
        head = cost.seconds(cuts + float(n_clusters), batch_rows, n_features)
        head = np.where(below[cuts] >= least_mass, head, np.inf)
        found = _cover(cuts, n_clusters, head, cluster_costs)
        best = min(best, found, key=lambda c: c.seconds)
    return best


def _cover(cuts: Vector, n_clusters: int, head: Matrix, cluster_costs: Callable[[int], Matrix]) -> Cuts:
    """Find the best cuts for one number of clusters, from the last cluster to the first."""
    last = len(cuts)
    to_go = np.append(np.full(last, np.inf), 0.0)  # cost of covering from this edge on with no cluster left
    choices = []
    for j in range(n_clusters, 0, -1):
        total = cluster_costs(j) + to_go
        choice = np.argmin(total, axis=1)
        choices.append(choice)
        to_go = np.append(total[np.arange(last), choice], np.inf)
    in_all = head + to_go[:last]
    at = int(np.argmin(in_all))
    seconds, chosen = float(in_all[at]), [int(cuts[at])]
    for choice in reversed(choices[1:]):
        at = int(choice[at])
        chosen.append(int(cuts[at]))
    return Cuts(tuple(chosen), seconds)


def _geometric(v: int, n: int = 200) -> Vector:
    points = np.unique(np.geomspace(1, max(v - 1, 1), n).astype(np.int64))
    return np.unique(np.where(points > 64, points // 8 * 8, points))


def _terms(k: Matrix | float, rows: Matrix | float, d: float) -> tuple[Matrix | float, ...]:
    """Return what each constant of the model is multiplied by."""
    return 1.0, rows, k, k * d, k * rows, k * rows * d


def _nonnegative_fit(terms: Matrix) -> list[float]:
    """Return constants >= 0 with which terms @ constants is near 1, by dropping the terms that would be negative."""
    kept = list(range(terms.shape[1]))
    while True:
        found = np.linalg.lstsq(terms[:, kept], np.ones(len(terms)), rcond=None)[0]
        if (found >= 0).all():
            break
        kept.pop(int(np.argmin(found * terms[:, kept].max(axis=0))))
    constants = np.zeros(terms.shape[1])
    constants[kept] = found
    return [float(c) for c in constants]


def _seconds_of_a_step(n_classes: int, n_rows: int, n_features: int) -> float:
    """Return the least time of a few steps of a plain softmax layer of this size."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    weight = Rows(rng.standard_normal((n_classes, n_features), dtype=np.float32))
    bias = Rows(np.zeros(n_classes, np.float32))
    target, share = rng.integers(0, n_classes, n_rows), np.full(n_rows, 1 / n_rows)
    best = spent = np.inf
    for turn in range(9):
        start = perf_counter()
        _, (_, d_weight, d_bias) = weighted_sum_and_gradient(
            hidden, weight.values, target, bias.values, share, DEFAULT_MAX_BYTES
        )
        weight.descend(d_weight, 1e-3)
        bias.descend(d_bias, 1e-3)
        taken = perf_counter() - start
        best, spent = min(best, taken), taken + (spent if turn else 0.0)
        if turn > 1 and spent > 0.05:
            break
    return best
