"""Cut-offs are the cheapest there are; probabilities and the proof of the argmax are exact."""

import itertools
from dataclasses import astuple

import numpy as np
import pytest

from softmaxes import heads
from softmaxes.heads import cutoffs
from softmaxes.heads.cutoffs import projected

COSTS = {
    "calls are dear": heads.CostModel(1000.0, 0.1, 0.0, 0.01, 0.01, 0.01),
    "weights are dear": heads.CostModel(1.0, 0.0, 0.5, 1.0, 0.0, 0.01),
    "products are dear": heads.CostModel(0.5, 0.0, 0.0, 0.01, 0.3, 0.2),
}


def zipf(v):
    p = 1 / np.arange(1, v + 1)
    return p / p.sum()


def cost_of(cutoffs, p, d, rows, cost, divisor):
    """Return the seconds of the formula at the head of cutoffs.py, term by term."""

    c = cost

    def g(k, b, f):
        return (c.fixed + c.per_row * b + c.per_class * k + c.per_weight * k * f + c.per_logit * k * b
                + c.per_product * k * b * f)  # fmt: skip

    def projection(k, b, f):
        return c.per_row * b + c.per_weight * k * f + c.per_product * k * b * f

    edges = (*cutoffs, len(p))
    total = g(edges[0] + len(cutoffs), rows, d)
    for j, (start, stop) in enumerate(itertools.pairwise(edges), 1):
        small = projected(d, divisor, j)
        total += g(stop - start, p[start:stop].sum() * rows, small) + projection(small, p[start:stop].sum() * rows, d)
    return total


@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS.keys())
@pytest.mark.parametrize("most_clusters", (1, 2, 3))
@pytest.mark.parametrize("least_mass", (0.0, 0.5))
def test_cutoffs_are_the_best_of_an_exhaustive_search(cost, most_clusters, least_mass):
    v, d, rows = 14, 16, 10
    p = zipf(v)
    allowed = [()]
    for n in range(1, most_clusters + 1):
        for cuts in itertools.combinations(range(1, v), n):
            sizes = [b - a for a, b in itertools.pairwise((*cuts, v))]
            if p[: cuts[0]].sum() >= least_mass and all(s >= c for s, c in zip(sizes, cuts, strict=True)):
                allowed.append(cuts)
    best = min(cost_of(cuts, p, d, rows, cost, 4.0) for cuts in allowed)
    found = heads.choose_cutoffs(
        p,
        d,
        rows,
        cost,
        most_clusters=most_clusters,
        least_mass=least_mass,
        least_features=1,
        candidates=np.arange(1, v),
    )
    assert found.cutoffs in allowed
    assert found.seconds == pytest.approx(best, rel=1e-12)
    assert cost_of(found.cutoffs, p, d, rows, cost, 4.0) == pytest.approx(best, rel=1e-12)


def test_no_cluster_but_the_first_sees_too_few_features():
    cost = heads.CostModel(0.0, 0.0, 0.0, 1.0, 0.0, 1.0)
    for least, most in ((1, 4), (2, 3), (8, 2), (32, 1), (99, 1)):
        found = heads.choose_cutoffs(zipf(5000), 128, 64, cost, least_mass=0.0, least_features=least)
        assert len(found.cutoffs) == most, least


def test_the_costs_of_the_search_lead_to_different_cuts():
    found = {
        heads.choose_cutoffs(zipf(14), 16, 10, cost, least_mass=0.0, candidates=np.arange(1, 14)).cutoffs
        for cost in COSTS.values()
    }
    assert len(found) > 1
    assert () in found


@pytest.mark.parametrize("v", (1, 2, 3, 70, 5000))
def test_candidates_suit_any_number_of_classes(v):
    found = heads.choose_cutoffs(zipf(v), 32, 64, COSTS["products are dear"])
    assert all(0 < c < v for c in found.cutoffs)
    assert sorted(set(found.cutoffs)) == list(found.cutoffs)


def test_a_measured_cost_model_is_usable():
    cost = heads.CostModel.measure(16, 32)
    # on a busy machine any one cost can be lost among the others, but not all of them
    assert all(0 <= value < np.inf for value in astuple(cost))
    assert sum(astuple(cost)) > 0
    head = heads.AdaptiveSoftmax(16, 2000, 1000 // np.arange(1, 2001), 0, batch_rows=32)
    assert np.exp(head.log_prob(np.ones((1, 16)))).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", COSTS)
def test_a_measured_cost_model_is_what_the_times_say(name, monkeypatch):
    """Times of a machine whose constants are known, instead of this one's."""
    monkeypatch.setattr(cutoffs, "_seconds_of_a_step", lambda k, rows, d: float(COSTS[name].seconds(k, rows, d)))
    found = heads.CostModel.measure(64, 256)
    for size in ((64, 256, 64), (1000, 16, 64), (4096, 256, 4)):
        assert found.seconds(*size) == pytest.approx(float(COSTS[name].seconds(*size)), rel=1e-6)


def example(n_classes=60, cutoffs=(8, 25), n=400):
    rng = np.random.default_rng(0)
    counts = rng.permutation(1000 // np.arange(1, n_classes + 1))
    head = heads.AdaptiveSoftmax(6, n_classes, counts, 0, cutoffs=cutoffs, dtype="float64", learning_rate=0.5)
    hidden = rng.standard_normal((n, 6)) * 2
    head.fit(hidden, rng.choice(n_classes, n, p=counts / counts.sum()), epochs=3, batch_rows=40)
    return head, hidden


def test_probabilities_are_those_of_the_formula():
    head, hidden = example(n=5)
    found, weights = head.log_prob(hidden), head.weights
    for i, h in enumerate(hidden):
        z = weights.weight @ h + weights.bias
        tokens = z - np.log(np.exp(z).sum())
        by_rank = list(tokens[:8])
        for j, part in enumerate(weights.clusters):
            inside = part.weight @ (part.projection @ h) + part.bias
            by_rank.extend(tokens[8 + j] + inside - np.log(np.exp(inside).sum()))
        np.testing.assert_allclose(found[i, weights.order], by_rank, rtol=0, atol=1e-12)
    assert (np.diff(head.counts[weights.order]) <= 0).all()
    assert [p.projection.shape for p in weights.clusters] == [(1, 6), (1, 6)]


def test_the_bound_proves_the_argmax_and_saves_work():
    head, hidden = example()
    everything = head.log_prob(hidden)
    proof = head.argmax(hidden)
    np.testing.assert_array_equal(proof.classes, everything.argmax(axis=1))
    np.testing.assert_allclose(proof.log_probabilities, everything.max(axis=1), rtol=0, atol=1e-12)
    assert (proof.log_probabilities >= proof.bounds).all()
    assert (proof.n_evaluated < 60).any()
    assert (proof.n_evaluated > 8).any()
    # what was left out is below the bound: the classes seen are the short list and the likeliest clusters
    for i in np.flatnonzero(proof.n_evaluated == 8):
        assert everything[i, head.weights.order[8:]].max() <= proof.bounds[i]


@pytest.mark.parametrize("k", (1, 3, 20, 60))
@pytest.mark.parametrize("cutoffs", ((8, 25), (1, 2, 59), ()))
def test_top_k_across_clusters_is_exact(k, cutoffs):
    head, hidden = example(cutoffs=cutoffs, n=100)
    classes, values = head.top_k(hidden, k)
    everything = head.log_prob(hidden)
    np.testing.assert_allclose(values, -np.sort(-everything, axis=1)[:, :k], rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(everything, classes, axis=1), values, rtol=0, atol=1e-12)


def test_a_row_of_nan_is_looked_at_everywhere():
    head, hidden = example()
    hidden[3] = np.nan
    proof = head.argmax(hidden)
    assert proof.n_evaluated[3] == 60
    assert np.isnan(proof.log_probabilities[3]) or proof.log_probabilities[3] == -np.inf
    assert np.isfinite(np.delete(proof.log_probabilities, 3)).all()


@pytest.mark.parametrize("cutoffs", ((0, 5), (5, 5), (7, 3), (5, 10), (-1,)))
def test_cutoffs_must_increase(cutoffs):
    with pytest.raises(ValueError, match="must increase strictly between 0 and the number of classes, 10, both"):
        heads.AdaptiveSoftmax(3, 10, cutoffs=cutoffs)


@pytest.mark.parametrize("cutoffs", (5, (2.5,), ("a",)))
def test_cutoffs_are_whole_numbers(cutoffs):
    with pytest.raises(TypeError, match="whole numbers are needed"):
        heads.AdaptiveSoftmax(3, 10, cutoffs=cutoffs)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    (
        ({"batch_rows": 0}, ValueError, "batch_rows=0; it must be at least 1"),
        ({"least_mass": 2.0}, ValueError, "least_mass=2.0; it is a share"),
        ({"most_clusters": -1}, ValueError, "most_clusters=-1"),
        ({"max_bytes": "64MB"}, TypeError, "a number of bytes is needed"),
        ({"max_bytes": None}, TypeError, "a number of bytes is needed"),
    ),
)
def test_options_that_make_no_sense(options, error, message):
    with pytest.raises(error, match=message):
        heads.AdaptiveSoftmax(3, 10, **options)


def test_other_bad_configuration():
    with pytest.raises(ValueError, match=r"divisor=0\.5"):
        heads.AdaptiveSoftmax(3, 10, divisor=0.5)
    with pytest.raises(ValueError, match="not negative"):
        heads.CostModel(fixed=-1.0)


def test_a_budget_for_the_logits_changes_nothing():
    counts = np.arange(200)[::-1]
    rng = np.random.default_rng(0)
    hidden, target = rng.standard_normal((30, 4)), rng.integers(0, 200, 30)
    results = []
    for max_bytes in (2**26, 2**17):
        head = heads.AdaptiveSoftmax(4, 200, counts, 0, cutoffs=(20,), max_bytes=max_bytes, dtype="float64")
        head.step(hidden, target)
        results.append(head.log_prob(hidden))
    np.testing.assert_allclose(*results, rtol=0, atol=1e-13)
