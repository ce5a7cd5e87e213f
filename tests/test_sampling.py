"""Draws have the distribution they claim; impossible classes never appear; densities and probabilities are exact.

Frequencies are judged by the chi-squared statistic at a level where a right sampler fails once in 10^9 seeds; the
seeds are fixed.
"""

import itertools
import math

import array_api_strict
import numpy as np
import pytest
from mpmath import exp, mp, mpf, quad

import softmaxes as sm
from softmaxes import sampling

LOGITS = np.array([1.0, -np.inf, 0.0, -2.0, 2.5])
DRAWS = 40_000


def chi_squared(counts, probabilities):
    """Return the statistic and a bound that a right sampler exceeds about once in 10^9."""
    kept = probabilities > 0
    assert counts[~kept].sum() == 0
    expected = probabilities[kept] * counts.sum()
    freedom = kept.sum() - 1
    return ((counts[kept] - expected) ** 2 / expected).sum(), freedom + 9 * math.sqrt(2 * freedom) + 30


def _plain_argmax(logits, rng, size):
    return np.full(size, np.argmax(logits))


def _uniform_over_all(logits, rng, size):
    return rng.integers(0, len(logits), size)


def _noise_twice_as_strong(logits, rng, size):
    return np.argmax(logits + 2 * rng.gumbel(size=(size, len(logits))), -1)


def has_the_distribution(sampler):
    counts = np.bincount(sampler(LOGITS, np.random.default_rng(1), size=DRAWS), minlength=5)
    statistic, bound = chi_squared(counts, sm.softmax(LOGITS))
    assert statistic < bound


@pytest.mark.parametrize("sampler", [sm.sample, sampling.gumbel_max])
def test_samplers_have_the_distribution(sampler):
    has_the_distribution(sampler)


@pytest.mark.parametrize("sampler", [_plain_argmax, _uniform_over_all, _noise_twice_as_strong])
def test_wrong_samplers_are_caught(sampler):
    with pytest.raises(AssertionError):
        has_the_distribution(sampler)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.5},
        {"top_k": 2},
        {"top_p": 0.9},
        {"min_p": 0.1},
        {"temperature": 2.0, "top_k": 3, "top_p": 0.8},
    ],
)
def test_filters_act_before_the_draw(options):
    rng = np.random.default_rng(2)
    counts = np.bincount(sm.sample(LOGITS, rng, size=DRAWS, **options), minlength=5)
    z = LOGITS / options.get("temperature", 1.0)
    order = np.argsort(-z)
    p = sm.softmax(z)
    if "top_k" in options:
        p[order[options["top_k"] :]] = 0
    p = p / p.sum()
    if "top_p" in options:
        before = np.cumsum(p[order]) - p[order]
        p[order[before >= options["top_p"]]] = 0
    if "min_p" in options:
        p[p < options["min_p"] * p.max()] = 0
    statistic, bound = chi_squared(counts, p / p.sum())
    assert statistic < bound


def test_shapes_limits_and_libraries():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(2, 3, 4))
    for sampler in (sm.sample, sampling.gumbel_max):
        assert sampler(z, rng).shape == (2, 3)
        assert sampler(z, rng, size=5).shape == (5, 2, 3)
        assert sampler(z, rng, size=(5, 6)).shape == (5, 6, 2, 3)
        assert sampler(z, rng, size=0).shape == (0, 2, 3)
        assert sampler(z[0, 0], rng).dtype == np.int64
        with pytest.raises(ValueError, match="row 1"):
            sampler([[0.0, 1.0], [-np.inf, -np.inf]], rng)
        with pytest.raises(ValueError, match="NaN"):
            sampler([0.0, np.nan], rng)
        with pytest.raises(ValueError, match="at least one class"):
            sampler(1.0, rng)
        assert set(sampler([np.inf, 0.0, np.inf], rng, size=50).tolist()) == {0, 2}
        there = sampler(array_api_strict.asarray(z), rng)
        assert type(there) is type(array_api_strict.asarray(z))
    assert np.array_equal(sm.sample(z, rng, temperature=0), z.argmax(-1))
    assert set(sm.sample([1.0, 1.0, 0.0], rng, size=100, temperature=0.0).tolist()) == {0, 1}
    assert set(sm.sample([9.0, 1.0, -np.inf], rng, size=100, temperature=np.inf).tolist()) == {0, 1}


def test_draws_repeat_with_the_seed():
    for sampler in (sm.sample, sampling.gumbel_max):
        first, second = (sampler(LOGITS, np.random.default_rng(4), size=20) for _ in range(2))
        assert np.array_equal(first, second)


def plackett_luce(z, order):
    """Return the exact probability of an ordered draw without replacement."""
    weights = [exp(mpf(float(x))) if np.isfinite(x) else mpf(0) for x in z]
    probability, left = mpf(1), list(weights)
    for i in order:
        probability *= weights[i] / sum(left)
        left[i] = mpf(0)
    return probability


def test_draws_without_replacement_follow_plackett_luce():
    rng = np.random.default_rng(5)
    possible = [0, 2, 3, 4]
    orders = list(itertools.permutations(possible, 2))
    draw = sm.sample_without_replacement(np.tile(LOGITS, (DRAWS, 1)), 2, rng)
    counts = np.array([np.all(draw.indices == order, axis=1).sum() for order in orders])
    p = np.array([float(plackett_luce(LOGITS, order)) for order in orders])
    statistic, bound = chi_squared(counts, p)
    assert statistic < bound and counts.sum() == DRAWS
    for order, probability in list(zip(draw.indices, draw.log_probability, strict=True))[:200]:
        assert probability == pytest.approx(float(mp.log(plackett_luce(LOGITS, order))), rel=1e-13)


def test_all_classes_and_none_without_replacement():
    rng = np.random.default_rng(6)
    draw = sm.sample_without_replacement(LOGITS, 4, rng)
    assert sorted(draw.indices.tolist()) == [0, 2, 3, 4]
    assert draw.log_probability == pytest.approx(float(mp.log(plackett_luce(LOGITS, draw.indices))), rel=1e-13)
    none = sm.sample_without_replacement(LOGITS, 0, rng)
    assert none.indices.shape == (0,) and none.log_probability == 0
    sure = sm.sample_without_replacement([0.0, -60.0], 1, rng)
    assert sure.log_probability == pytest.approx(-math.exp(-60), rel=1e-12)
    with pytest.raises(ValueError, match="only 4 possible"):
        sm.sample_without_replacement(LOGITS, 5, rng)
    with pytest.raises(ValueError, match=r"\+inf"):
        sm.sample_without_replacement([np.inf, 0.0], 1, rng)


@pytest.mark.parametrize("temperature", [0.0, 0.1, 1.0, 5.0])
def test_the_corner_of_a_relaxed_draw_is_an_exact_draw(temperature):
    rng = np.random.default_rng(7)
    y = sm.gumbel_softmax(np.tile(LOGITS, (DRAWS, 1)), rng, temperature=temperature)
    assert np.all(y[:, 1] == 0) and np.allclose(y.sum(-1), 1, rtol=1e-14)
    statistic, bound = chi_squared(np.bincount(y.argmax(-1), minlength=5), sm.softmax(LOGITS))
    assert statistic < bound
    hard = sm.gumbel_softmax(np.tile(LOGITS, (DRAWS, 1)), np.random.default_rng(7), temperature=temperature, hard=True)
    assert np.array_equal(hard, np.eye(5)[y.argmax(-1)])


def test_relaxed_draws_keep_type_and_refuse_nonsense():
    rng = np.random.default_rng(8)
    assert sm.gumbel_softmax(LOGITS.astype(np.float32), rng, temperature=0.5).dtype == np.float32
    there = sm.gumbel_softmax(array_api_strict.asarray([0.0, 1.0]), rng, temperature=0.5, hard=True)
    assert float(np.asarray(there).sum()) == 1.0
    for temperature in (-1.0, math.nan):
        with pytest.raises(ValueError, match="temperature"):
            sm.gumbel_softmax(LOGITS, rng, temperature=temperature)
    with pytest.raises(ValueError, match="no possible class"):
        sm.gumbel_softmax([-np.inf], rng, temperature=1.0)


def test_a_seed_is_no_generator():
    for draw in (sm.sample, sm.sampling.gumbel_max, lambda z, rng: sm.gumbel_softmax(z, rng, temperature=1.0)):
        with pytest.raises(TypeError, match=r"rng is 0; pass a generator, numpy.random.default_rng\(seed\)"):
            draw([0.0, 1.0], 0)
    with pytest.raises(ValueError, match="size=-1"):
        sm.sample([0.0, 1.0], np.random.default_rng(0), size=-1)


def test_density_integrates_to_one_and_is_a_change_of_variables():
    """K = 2: quadrature of our density; K = 3: the scale of three Gumbels integrated out, by mpmath."""
    for tau in (0.4, 1.0, 2.5):
        z = [0.3, -0.6]

        def density(y, z=z, tau=tau):
            log_y = [float(mp.log(y)), float(mp.log1p(-y))]
            return exp(mpf(float(sampling.gumbel_softmax_log_density(log_y, z, temperature=tau))))

        assert float(quad(density, [0, 0.01, 0.5, 0.99, 1])) == pytest.approx(1, abs=1e-4 if tau < 1 else 1e-7)
    z, y, tau = [0.2, -0.5, 1.0], [0.2, 0.5, 0.3], 0.7

    def joint(s):
        # x_k = tau log y_k + s are the perturbed logits; each has a Gumbel density at x_k - z_k
        noise = [tau * mp.log(a) + s - b for a, b in zip(y, z, strict=True)]
        return exp(-sum(noise) - sum(exp(-g) for g in noise))

    jacobian = mpf(tau) ** 2 / (mpf(y[0]) * y[1] * y[2])
    expected = mp.log(jacobian * quad(joint, [-30, -5, 0, 5, 40]))
    got = sampling.gumbel_softmax_log_density(np.log(y), z, temperature=tau)
    assert float(got) == pytest.approx(float(expected), rel=1e-10)


def test_density_leaves_impossible_classes_out():
    plain = sampling.gumbel_softmax_log_density(np.log([0.25, 0.75]), [0.0, 1.0], temperature=0.5)
    z, log_y = [0.0, -np.inf, 1.0], [math.log(0.25), -np.inf, math.log(0.75)]
    assert sampling.gumbel_softmax_log_density(log_y, z, temperature=0.5) == pytest.approx(float(plain), rel=1e-14)
    assert sampling.gumbel_softmax_log_density([-1.0, -1.0, -1.0], z, temperature=0.5) == -np.inf
    with pytest.raises(ValueError, match="temperature > 0"):
        sampling.gumbel_softmax_log_density(log_y, z, temperature=0.0)


def test_relaxed_draws_follow_their_density():
    """The distribution function of y_1 for K = 2 (P(y_1 <= t) in closed form) at ten points."""
    z, tau = np.array([0.4, -0.3]), 0.8
    y = sm.gumbel_softmax(np.tile(z, (DRAWS, 1)), np.random.default_rng(9), temperature=tau)[:, 0]
    points = np.linspace(0.05, 0.95, 10)
    # y_1 <= t means G_1 - G_2 <= tau logit(t) - (z_1 - z_2), and the difference of two Gumbels is logistic
    expected = sm.sigmoid(tau * np.log(points / (1 - points)) - (z[0] - z[1]))
    found = (y[:, None] <= points).mean(0)
    assert np.max(np.abs(found - expected)) < 6 * math.sqrt(0.25 / DRAWS)
