"""The exact head takes the same steps as gradient descent on the dense weights, and stays well conditioned."""

import mpmath
import numpy as np
import pytest

from softmaxes import heads
from softmaxes.heads.factorised import FactorisedRows

D, V = 6, 50
MAPS = {
    "taylor": (lambda o: 1 + o + o * o / 2, lambda o: 1 + o),
    "spherical": (lambda o: o * o + 0.05, lambda o: 2 * o),
}


def dense_step(weight, x, labels, row_weight, name):
    """Return the loss, its gradient in the weights and in x, with the whole matrix of outputs."""
    f, slope = MAPS[name]
    o = x @ weight.T
    total, rows = f(o).sum(axis=1), np.arange(len(x))
    loss = row_weight @ (np.log(total) - np.log(f(o[rows, labels])))
    g = slope(o) / total[:, None]
    g[rows, labels] -= slope(o[rows, labels]) / f(o[rows, labels])
    g *= row_weight[:, None]
    return loss, g.T @ x, g @ weight


def compare(name, n_rows, rate, max_condition=1e6, n_steps=150, dtype="float64", step=None, stretch=1.0):
    """Take many steps both ways; return the largest differences and the head."""
    rng = np.random.default_rng(0)
    head = heads.SphericalHead(D, V, rng.integers(0, 50, V), 0, map=name, epsilon=0.05, learning_rate=rate,
                               max_condition=max_condition, dtype=dtype)  # fmt: skip
    weight = head.weight.rows(slice(None)).copy()
    worst = 0.0
    for _ in range(n_steps):
        hidden, labels = rng.standard_normal((n_rows, D)), rng.integers(0, V, n_rows)
        hidden[:, 0] *= stretch
        s = rng.random(n_rows)
        x = np.column_stack([hidden, np.ones(n_rows)])
        loss, d_weight, d_x = dense_step(weight, x, labels, s / s.sum(), name)
        got, d_hidden = (step or heads.SphericalHead.step)(head, hidden, labels, sample_weight=s)
        weight -= head.applied_rate * d_weight
        worst = max(worst, abs(got - loss) / (1 + loss), np.abs(d_hidden - d_x[:, :-1]).max())
    scale = np.abs(weight).max()
    return max(worst, np.abs(head.weight.rows(slice(None)) - weight).max() / scale), head


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("n_rows", (1, 3, 7, 40))
def test_many_steps_equal_the_dense_ones(name, n_rows):
    # rounding grows with the length of the path, far below the 1e-6 that is promised
    assert compare(name, n_rows, rate=1.0)[0] < 1e-8


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize(("stretch", "rate"), ((1.0, 1.0), (10.0, 0.1)), ids=("all directions shrink", "one shrinks"))
def test_the_factors_stay_well_conditioned_on_a_long_path(name, stretch, rate):
    worst, head = compare(name, 12, rate, max_condition=4.0, stretch=stretch, n_steps=300)
    assert worst < 1e-8
    assert head.weight.n_reconditioned > 0
    assert np.linalg.cond(head.weight.small) <= head.weight.strain() <= (D + 1) * 4.0
    careless = compare(name, 12, rate, max_condition=1e12, stretch=stretch, n_steps=300)[1]
    assert careless.weight.n_reconditioned == 0
    assert careless.weight.strain() > (D + 1) * 4.0


def test_float32_weights_stay_close():
    assert compare("taylor", 12, rate=1.0, dtype="float32")[0] < 1e-3


def without_shift(head, hidden, labels, **options):
    kept = head.weight.update
    head.weight.update = lambda shrink, shift, rows, change: kept(shrink, 0 * shift, rows, change)
    return heads.SphericalHead.step(head, hidden, labels, **options)


def stale_gram(head, hidden, labels, **options):
    before = head.weight.gram.copy()
    result = heads.SphericalHead.step(head, hidden, labels, **options)
    head.weight.gram = before
    return result


def stale_inverse(head, hidden, labels, **options):
    before = head.weight.inverse.copy()
    result = heads.SphericalHead.step(head, hidden, labels, **options)
    head.weight.inverse = before
    return result


@pytest.mark.parametrize("broken", (without_shift, stale_gram, stale_inverse))
def test_a_broken_update_is_noticed(broken):
    assert compare("taylor", 5, rate=1.0, n_steps=30, step=broken)[0] > 1e-6


def test_gram_matrix_and_total_are_kept_up():
    head = compare("taylor", 12, rate=1.0)[1]
    gram, total = head.weight.gram.copy(), head.weight.total.copy()
    head.weight.refresh()
    np.testing.assert_allclose(gram, head.weight.gram, rtol=0, atol=1e-10 * np.abs(gram).max())
    np.testing.assert_allclose(total, head.weight.total, rtol=0, atol=1e-10 * np.abs(total).max())
    w = head.weight.rows(slice(None))
    np.testing.assert_allclose(head.weight.gram, w.T @ w, rtol=0, atol=1e-12 * np.abs(gram).max())


def test_reconditioning_changes_no_weight():
    rng = np.random.default_rng(0)
    factors = FactorisedRows(rng.standard_normal((40, 5)), max_condition=1e12)
    for _ in range(60):
        y = rng.standard_normal((2, 5)) * [1, 1, 0.1, 0.1, 0.1]
        y *= 0.6 / np.linalg.norm(y)
        factors.update(y, rng.standard_normal(5) * 0.01, np.array([3, 7]), rng.standard_normal((2, 5)))
    before, condition = factors.rows(slice(None)).copy(), np.linalg.cond(factors.small)
    factors.max_condition = 16.0
    factors.recondition()
    assert condition > 1e3
    assert np.linalg.cond(factors.small) <= 4.0 + 1e-9
    np.testing.assert_allclose(factors.rows(slice(None)), before, rtol=0, atol=1e-12 * condition)
    np.testing.assert_allclose(factors.inverse @ factors.small, np.eye(5), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", MAPS)
def test_log_probabilities_are_those_of_the_map(name):
    head = compare(name, 5, rate=1.0, n_steps=20)[1]
    hidden = np.random.default_rng(9).standard_normal((3, D))
    f = MAPS[name][0]
    w = head.weight.rows(slice(None))
    for h, found in zip(hidden, head.log_prob(hidden), strict=True):
        o = [mpmath.fsum(mpmath.mpf(a) * mpmath.mpf(b) for a, b in zip(row, (*h, 1.0), strict=True)) for row in w]
        values = [f(x) for x in o]
        exact = [float(mpmath.log(v / mpmath.fsum(values))) for v in values]
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-11)


def test_the_rate_of_a_step_is_bounded_and_reported():
    calm, wild = (heads.SphericalHead(D, V, rng=0, learning_rate=r) for r in (0.5, 1e9))
    hidden, target = np.random.default_rng(0).standard_normal((4, D)), np.arange(4)
    for head in (calm, wild):
        head.step(hidden, target)
    assert calm.applied_rate == 0.5
    assert wild.applied_rate < 1e9
    assert np.isfinite(wild.loss(hidden, target))


def test_one_step_touches_few_rows_of_the_tall_factor():
    head = heads.SphericalHead(4, 1000, rng=0)
    before = head.weight.tall.copy()
    head.step(np.ones((3, 4)), [5, 900, 5])
    assert set(np.flatnonzero((head.weight.tall != before).any(axis=1))) == {5, 900}


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"map": "softmax"}, "map='softmax'"),
        ({"epsilon": 0.0, "map": "spherical"}, "epsilon=0.0"),
        ({"max_condition": 1.0}, "max_condition=1.0"),
    ),
)
def test_bad_configuration(options, message):
    with pytest.raises(ValueError, match=message):
        heads.SphericalHead(3, 4, **options)
