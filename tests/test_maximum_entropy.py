"""The temperature that meets a constraint: met, unique, refused where impossible; and the maximum that it is."""

import numpy as np
import pytest
from mpmath import exp, findroot, log, mpf

import softmaxes as sm
from softmaxes import maximum_entropy as me

RNG = np.random.default_rng(0)
ROWS = np.concatenate([RNG.normal(size=(40, 6)), 1e4 + 30 * RNG.normal(size=(20, 6)), 1e-3 * RNG.normal(size=(20, 6))])


def test_means_are_met():
    for share in (1e-6, 0.1, 0.5, 0.9, 1 - 1e-9):
        goal = ROWS.min(-1) + share * np.ptp(ROWS, axis=-1)
        beta = me.beta_from_mean(ROWS, goal)
        exponent = beta[:, None] * ROWS
        p = np.exp(exponent - exponent.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        low = ROWS.min(-1)
        error = np.abs((p * (ROWS - low[:, None])).sum(-1) - (goal - low))
        assert np.all(error <= 1e-11 * np.ptp(ROWS, axis=-1))


def test_entropies_perplexities_and_tops_are_met():
    for share in (1e-9, 0.01, 0.5, 0.999):
        goal = share * np.log(6)
        beta = me.beta_from_entropy(ROWS, goal)
        assert np.allclose([sm.entropy(r, temperature=1 / b) for r, b in zip(ROWS, beta, strict=True)], goal, rtol=1e-9)
        assert np.allclose(me.beta_from_perplexity(ROWS, np.exp(goal)), beta, rtol=1e-6)
    for top in (0.17, 0.5, 0.99, 1 - 1e-12):
        beta = me.beta_from_top_probability(ROWS, top)
        got = [sm.softmax(r, temperature=1 / b).max() for r, b in zip(ROWS, beta, strict=True)]
        assert np.allclose(got, top, rtol=1e-12)


def test_against_mpmath():
    z, goal = [0.0, 1.0, 2.0, 3.0], 2.2

    def mean(beta):
        w = [exp(beta * mpf(x)) for x in z]
        return sum(a * mpf(x) for a, x in zip(w, z, strict=True)) / sum(w) - mpf(goal)

    def entropy(beta):
        w = [exp(beta * mpf(x)) for x in z]
        return -sum(a / sum(w) * log(a / sum(w)) for a in w) - mpf(0.75)

    assert float(me.beta_from_mean(z, goal)) == pytest.approx(float(findroot(mean, 0.6)), rel=1e-14)
    assert float(me.beta_from_entropy(z, 0.75)) == pytest.approx(float(findroot(entropy, 1.0)), rel=1e-13)


def test_limits_and_masks():
    assert me.beta_from_mean([0.0, 1.0], 1.0) == np.inf and me.beta_from_mean([0.0, 1.0], 0.0) == -np.inf
    assert me.beta_from_mean([2.0, 2.0], 2.0) == 0
    assert me.beta_from_entropy([0.0, 1.0, 1.0], np.log(2)) == np.inf
    assert me.beta_from_entropy([0.0, 1.0, 1.0], np.log(3)) == 0
    assert me.beta_from_top_probability([0.0, 1.0, -np.inf], 0.5) == 0
    masked = me.beta_from_mean([0.0, 1.0, -np.inf, 2.0], 1.5)
    assert masked == pytest.approx(float(me.beta_from_mean([0.0, 1.0, 2.0], 1.5)), rel=1e-13)


def test_constructors():
    z = [0.0, 1.0, 2.0, 3.0]
    m = sm.Softmax.from_mean(z, 2.2)
    assert float(np.dot(m(z), z)) == pytest.approx(2.2, rel=1e-13)
    assert float(sm.Softmax.from_entropy(z, 0.8).entropy(z)) == pytest.approx(0.8, rel=1e-12)
    assert float(np.exp(sm.Softmax.from_perplexity(z, 2.5).entropy(z))) == pytest.approx(2.5, rel=1e-12)
    assert sm.Softmax.from_top_probability(z, 0.6)(z).max() == pytest.approx(0.6, rel=1e-12)
    assert sm.Softmax.from_mean(z, 1.5).temperature > 1e14
    assert np.array_equal(sm.Softmax.from_mean(z, 3.0)(z), [0, 0, 0, 1])
    with pytest.raises(ValueError, match="negate"):
        sm.Softmax.from_mean(z, 1.0)
    with pytest.raises(ValueError, match="many rows"):
        sm.Softmax.from_mean(ROWS, ROWS.mean(-1))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: me.beta_from_mean([0.0, 1.0], 1.5), "between 0 and 1"),
        (lambda: me.beta_from_entropy([0.0, 1.0], 0.8), "between 0 and 0.693147"),
        (lambda: me.beta_from_entropy([0.0, 1.0, 1.0], 0.1), "number of maxima"),
        (lambda: me.beta_from_perplexity([0.0, 1.0], 0.5), "at least 1"),
        (lambda: me.beta_from_top_probability([0.0, 1.0], 0.4), "between 0.5 and 1"),
        (lambda: me.beta_from_mean([0.0, np.nan], 0.5), "NaN"),
        (lambda: me.beta_from_mean(1.0, 0.5), "rows"),
    ],
)
def test_what_cannot_be_met_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_it_is_the_maximum_of_entropy():
    """Any small change that keeps the sum and the mean lowers the entropy, to second order."""
    z = np.array([0.0, 1.0, 2.0, 3.0])
    p = sm.softmax(z * me.beta_from_mean(z, 2.2))
    null = np.linalg.svd(np.stack([np.ones(4), z]))[2][2:]
    entropy = -np.sum(p * np.log(p))
    for direction in (null[0], null[1], null[0] + null[1]):
        for step in (0.01, -0.01, 1e-4):
            q = p + step * direction
            assert -np.sum(q * np.log(q)) < entropy
            assert q.sum() == pytest.approx(1) and q @ z == pytest.approx(2.2)
