"""Where to cut classes sorted by frequency, so that one training step of an adaptive softmax costs least time.

A product of B rows with k classes of d features is taken to cost

    g(k, B, d) = fixed + per_weight k d + per_product max(k B d, least)

seconds: the call itself, the pass over the weights (reading them, updating them), and the arithmetic, which below a
certain size is no faster. The head holds the c_1 most frequent classes and J cluster tokens; cluster j has k_j classes
with the probability mass P_j and sees P_j B rows through a projection to d_j features:

    C = g(c_1 + J, B, d) + sum_j [ g(k_j, P_j B, d_j) + g(d_j, P_j B, d) ]

For every J the best cuts are found exactly by dynamic programming over "the cheapest way to cover classes i .. V-1
with the clusters j .. J". Time alone would push even frequent words into small projections, so two conditions keep
the model good: the head holds at least a given share of the probability mass, and every cluster holds at least as
many classes as all that come before it. Source: Grave et al. 2017, Efficient softmax approximation for GPUs, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from softmaxes.heads.base import Matrix, Vector
from softmaxes.heads.counting import whole
from softmaxes.heads.linear import linear_cross_entropy_and_gradient


@dataclass(frozen=True)
class CostModel:
    """Seconds of one training step of an output layer, as a function of its classes, rows and features.

    The default is a typical machine of 2026 with one thread; `measure` asks the machine at hand.
    """

    fixed: float = 2e-4
    per_weight: float = 2e-9
    per_product: float = 1e-10
    least: float = 1e5

    def __post_init__(self) -> None:
        if not all(0 <= value < np.inf for value in (self.fixed, self.per_weight, self.per_product, self.least)):
            raise ValueError(f"{self!r}: the constants of a cost model are finite and not negative")

    @classmethod
    def measure(cls, n_features: int, batch_rows: int) -> CostModel:
        """Return the model fitted to a few steps timed here and now (a fraction of a second)."""
        few, many, narrow = 64, 8192, max(batch_rows // 16, 1)
        tiny = _seconds_of_a_step(2, 2, n_features)
        small = _seconds_of_a_step(few, batch_rows, n_features)
        flat = _seconds_of_a_step(many, narrow, n_features)
        full = _seconds_of_a_step(many, batch_rows, n_features)
        work = float(many * batch_rows * n_features)
        # a disturbed clock may say that more work takes less time; then all of the time is the work's
        per_product = (full - flat) / (work - many * narrow * n_features) if full > flat else full / work
        per_weight = max(flat - tiny, 0.0) / (many * n_features) - per_product * narrow
        least = min(max(small - tiny, 0.0) / per_product, few * batch_rows * n_features)
        return cls(tiny, max(per_weight, 0.0), per_product, least)

    def seconds(self, n_classes: Matrix | float, n_rows: Matrix | float, n_features: float) -> Matrix:
        """Return g(k, B, d)."""
        weights = np.asarray(n_classes, float) * n_features
        return self.fixed + self.per_weight * weights + self.per_product * np.maximum(weights * n_rows, self.least)


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
    candidates: Vector | None = None,
) -> Cuts:
    """Return the cheapest cut-offs with at most most_clusters clusters.

    probabilities: (V,) of the classes, decreasing. least_mass: the share that the head must hold.
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
        costs = cost.seconds(sizes, rows, d) + cost.seconds(d, rows, n_features)
        return np.where(sizes >= cuts[:, None], costs, np.inf)

    best = Cuts((), float(cost.seconds(v, batch_rows, n_features)))
    for n_clusters in range(1, min(most_clusters, len(cuts)) + 1):
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
    whole = head + to_go[:last]
    at = int(np.argmin(whole))
    seconds, chosen = float(whole[at]), [int(cuts[at])]
    for choice in reversed(choices[1:]):
        at = int(choice[at])
        chosen.append(int(cuts[at]))
    return Cuts(tuple(chosen), seconds)


def _geometric(v: int, n: int = 200) -> Vector:
    points = np.unique(np.geomspace(1, max(v - 1, 1), n).astype(np.int64))
    return np.unique(np.where(points > 64, points // 8 * 8, points))


def _seconds_of_a_step(n_classes: int, n_rows: int, n_features: int) -> float:
    """Return the least time of a few steps of a plain softmax layer of this size."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    weight = rng.standard_normal((n_classes, n_features), dtype=np.float32)
    target = rng.integers(0, n_classes, n_rows)
    best = np.inf
    for _ in range(5):
        start = perf_counter()
        _, (_, d_weight, _) = linear_cross_entropy_and_gradient(hidden, weight, target)
        weight -= 1e-3 * d_weight
        best = min(best, perf_counter() - start)
    return best
