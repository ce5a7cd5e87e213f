"""Samplers draw what they report; the corrected partition sum is unbiased, and the uncorrected one is not."""

import itertools

import numpy as np
import pytest
from scipy import stats

from softmaxes import heads
from softmaxes.heads.samplers import AliasTable

V = 12
COUNTS = np.random.default_rng(0).permutation(300 // np.arange(1, V + 1)) * (np.arange(V) != 5)
SAMPLERS = {
    "uniform": lambda: heads.UniformSampler(V),
    "log-uniform": lambda: heads.LogUniformSampler(V, COUNTS),
    "log-uniform by index": lambda: heads.LogUniformSampler(V),
    "unigram": lambda: heads.UnigramSampler(COUNTS),
    "unigram, flat": lambda: heads.UnigramSampler(COUNTS, alpha=0.0),
    "top mix": lambda: heads.TopMixSampler(COUNTS, 3),
}


class Lying(heads.UnigramSampler):
    def log_expected(self, classes, size):
        return super().log_expected(classes, size) * 1.05


def draws_fit_the_report(sampler, n=60_000):
    """Chi-squared test of the counts of many draws against the expected ones."""
    drawn = np.bincount(sampler.draw(np.random.default_rng(1), n), minlength=V)
    expected = np.exp(sampler.log_expected(np.arange(V), n))
    certain = getattr(sampler, "top", np.zeros(0, int))
    if not np.allclose(drawn[certain], 1) or not np.allclose(expected[certain], 1):
        return False
    rest = np.setdiff1d(np.arange(V), certain)
    if abs(expected[rest].sum() / n - 1) > 1e-9:
        return False
    return stats.chisquare(drawn[rest], expected[rest] * drawn[rest].sum() / expected[rest].sum()).pvalue > 1e-3


@pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS.keys())
def test_a_sampler_draws_what_it_reports(make):
    assert draws_fit_the_report(make())


def test_a_lying_sampler_is_noticed():
    assert not draws_fit_the_report(Lying(COUNTS))


def test_frequent_classes_are_drawn_more_often_whatever_their_index():
    most, least = COUNTS.argmax(), COUNTS.argmin()
    for name in ("log-uniform", "unigram"):
        both = SAMPLERS[name]().log_expected(np.array([most, least]), 1)
        assert both[0] > both[1] > -np.inf


@pytest.mark.parametrize("p", ([1.0], [0.5, 0.5], [0.9, 0.1, 0.0], np.arange(1, 40)))
def test_the_alias_table_holds_its_distribution_exactly(p):
    p = np.asarray(p, float) / np.sum(p)
    table = AliasTable(p)
    held = table.keep / len(p)
    np.add.at(held, table.alias, (1 - table.keep) / len(p))
    np.testing.assert_allclose(held, p, rtol=0, atol=1e-15)


def estimate(z, label, drawn, sampler, size, correction=True):
    """Return Z^ of the docstring of SampledSoftmax."""
    others = drawn[drawn != label]
    lift = sampler.log_expected(others, size) if correction else 0.0
    return np.exp(z[label]) + np.exp(z[others] - lift).sum()


@pytest.mark.parametrize("size", (1, 2, 3))
@pytest.mark.parametrize("make", [SAMPLERS[k] for k in SAMPLERS if k != "top mix"])
def test_the_estimate_of_the_partition_sum_is_unbiased(make, size):
    """The expectation is taken over every possible sequence of draws, not over some of them."""
    few = 6
    sampler = {heads.UniformSampler: lambda: heads.UniformSampler(few)}.get(type(make()), lambda: None)() or (
        heads.LogUniformSampler(few, COUNTS[:few]) if isinstance(make(), heads.LogUniformSampler)
        else heads.UnigramSampler(COUNTS[:few], make().alpha)
    )  # fmt: skip
    z = np.random.default_rng(2).standard_normal(few) * 2
    q = np.exp(sampler.log_expected(np.arange(few), 1))
    means = {True: 0.0, False: 0.0}
    for drawn in itertools.product(range(few), repeat=size):
        for correction in means:
            value = estimate(z, 2, np.array(drawn), sampler, size, correction)
            means[correction] += np.prod(q[list(drawn)]) * value
    exact = np.exp(z).sum()
    assert means[True] == pytest.approx(exact, rel=1e-12)
    assert means[False] != pytest.approx(exact, rel=1e-2)


def test_the_mixture_is_unbiased_with_its_top_exact():
    sampler = SAMPLERS["top mix"]()
    z = np.random.default_rng(2).standard_normal(V)
    tail = np.setdiff1d(np.arange(V), sampler.top)
    q = np.exp(sampler.log_expected(tail, 1))
    for label in (tail[0], sampler.top[0]):
        mean = sum(q[i] * estimate(z, label, np.append(sampler.top, tail[i]), sampler, 1) for i in range(len(tail)))
        assert mean == pytest.approx(np.exp(z).sum(), rel=1e-12)


class Scripted(heads.Sampler):
    """Draws what it is told to, and reports the proposal of another sampler."""

    def __init__(self, drawn, like):
        self.n_classes, self.drawn, self.like = like.n_classes, np.asarray(drawn), like

    def draw(self, rng, size):
        return self.drawn

    def log_expected(self, classes, size):
        return self.like.log_expected(classes, size)


@pytest.mark.parametrize("correction", (True, False))
def test_a_step_reports_the_loss_of_the_formula_and_its_slope(correction):
    rng = np.random.default_rng(4)
    hidden, target, weight = rng.standard_normal((4, 3)), np.array([1, 5, 1, 8]), np.array([0.1, 0.2, 0.3, 0.4])
    drawn = np.array([1, 8, 8, 0, 11])
    sampler = Scripted(drawn, heads.UnigramSampler(COUNTS))

    def head():
        return heads.SampledSoftmax(
            3, V, COUNTS, 0, n_samples=5, sampler=sampler, correction=correction, dtype="float64"
        )

    def loss(h):
        z = head().logits(h)
        return sum(
            w * (np.log(estimate(row, y, drawn, sampler, 5, correction)) - row[y])
            for w, row, y in zip(weight, z, target, strict=True)
        )

    got, d_hidden = head().step(hidden, target, sample_weight=weight)
    assert got == pytest.approx(loss(hidden), rel=1e-12)
    assert_slopes(loss, hidden, d_hidden)


def test_noise_contrastive_estimation_is_logistic_regression_against_the_draws():
    rng = np.random.default_rng(4)
    hidden, target = rng.standard_normal((4, 3)), np.array([1, 5, 1, 8])
    drawn = np.array([1, 8, 8, 0, 11])
    sampler = Scripted(drawn, heads.UnigramSampler(COUNTS))

    def head():
        return heads.SampledSoftmax(3, V, COUNTS, 0, n_samples=5, sampler=sampler, loss="nce", dtype="float64")

    def loss(h):
        z = head().logits(h) - sampler.log_expected(np.arange(V), 5)
        return np.mean(
            [np.log1p(np.exp(-row[y])) + np.log1p(np.exp(row[drawn])).sum() for row, y in zip(z, target, strict=True)]
        )

    got, d_hidden = head().step(hidden, target)
    assert got == pytest.approx(loss(hidden), rel=1e-12)
    assert_slopes(loss, hidden, d_hidden)


def assert_slopes(loss, hidden, gradient):
    for place in np.ndindex(hidden.shape):
        up, down = hidden.copy(), hidden.copy()
        up[place] += 1e-5
        down[place] -= 1e-5
        assert gradient[place] == pytest.approx((loss(up) - loss(down)) / 2e-5, abs=1e-8)


def test_with_many_samples_training_approaches_the_full_softmax():
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((300, 4))
    target = rng.choice(V, 300, p=COUNTS / COUNTS.sum())
    full = heads.FullSoftmax(4, V, COUNTS, 0, learning_rate=0.3).fit(hidden, target, epochs=20, batch_rows=30)
    for kind in ("softmax", "nce"):
        head = heads.SampledSoftmax(4, V, COUNTS, 0, n_samples=2000, loss=kind, learning_rate=0.3)
        head.fit(hidden, target, epochs=20, batch_rows=30)
        assert head.loss(hidden, target) == pytest.approx(full.loss(hidden, target), rel=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"n_samples": 0}, "n_samples=0"),
        ({"loss": "hinge"}, "loss='hinge'"),
        ({"sampler": "best"}, "sampler='best'"),
        ({"sampler": "unigram"}, "needs counts="),
        ({"sampler": heads.UniformSampler(3)}, "does not draw from the head's 12 classes"),
    ),
)
def test_bad_configuration(options, message):
    with pytest.raises(ValueError, match=message):
        heads.SampledSoftmax(3, V, **options)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    (
        (lambda: heads.SampledSoftmax(3, V, n_samples=2.5), TypeError, "n_samples=2.5; a whole number"),
        (lambda: heads.UniformSampler(0), ValueError, "n_classes=0"),
        (lambda: heads.UnigramSampler(COUNTS, alpha=np.nan), ValueError, "alpha=nan"),
        (lambda: heads.UnigramSampler([]), ValueError, "one number a class"),
        (lambda: heads.UnigramSampler([1, -1]), ValueError, "negative"),
        (lambda: heads.LogUniformSampler(V, [1, 2]), ValueError, r"needed is \(12,\)"),
        (lambda: heads.TopMixSampler(COUNTS, -1), ValueError, "n_top=-1"),
    ),
)
def test_samplers_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_mixture_must_leave_something_to_draw():
    with pytest.raises(ValueError, match="n_top=12"):
        heads.TopMixSampler(COUNTS, V)
