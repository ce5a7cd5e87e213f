"""Laws of the transforms: what each leaves possible, what it changes, and that it is data."""

import array_api_strict
import numpy as np
import pytest

import softmaxes as sm
from softmaxes import transforms as t

Z = np.array([[0.5, 2.0, -1.0, 1.0], [3.0, 3.0, -np.inf, 0.0]])
TRANSFORMS = [
    t.Temperature(0.5),
    t.Temperature(0.0),
    t.Temperature(np.inf),
    t.Base(2.0),
    t.Mask((True, False, True, True)),
    t.TopK(2),
    t.TopP(0.8),
    t.MinP(0.1),
    t.PriorShift((0.1, 0.2, 0.3, 0.4), (0.25, 0.25, 0.25, 0.25), 0.5),
    t.PriorShift((0.1, 0.2, 0.3, 0.4)),
    t.Margin(0.5, (1, 0)),
    t.VectorScale((1.0, 2.0, 3.0, 0.0), (0.5, 0.0, 0.0, 1.0)),
    t.Temperature(2.0) >> t.TopK(3) >> t.TopP(0.9),
    t.Chain(),
]


def law_impossible_stays_impossible(f):
    assert np.all(np.asarray(f(Z))[-np.inf == Z] == -np.inf)


def law_rows_are_independent(f):
    if isinstance(f, t.Margin):
        return
    whole = np.asarray(f(Z))
    assert np.array_equal(whole, np.stack([f(row) for row in Z]))
    assert np.array_equal(np.asarray(f(np.stack([Z, Z]))), np.stack([whole, whole]))


def law_some_class_stays_possible(f):
    assert np.all(np.isfinite(np.asarray(f(Z))).any(-1))


def law_repr_rebuilds(f):
    assert eval(repr(f), {**vars(t), "inf": np.inf}) == f


def law_any_library_and_type(f):
    there = f(array_api_strict.asarray(Z))
    assert type(there) is type(array_api_strict.asarray(Z)) and np.allclose(np.asarray(there), f(Z), rtol=1e-15)
    assert f(Z.astype(np.float32)).dtype == np.float32 and f(Z.astype(np.float16)).dtype == np.float16


def law_composes(f):
    both = f >> t.Temperature(2.0)
    assert np.array_equal(both(Z), t.Temperature(2.0)(f(Z)), equal_nan=True)


LAWS = [f for name, f in globals().items() if name.startswith("law_")]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
@pytest.mark.parametrize("law", LAWS, ids=lambda f: f.__name__)
def test_transform_obeys(law, transform):
    law(transform)


def test_temperature_and_base_are_softmaxs_own():
    for T in (0.0, 0.3, 2.0, np.inf):
        assert np.allclose(sm.softmax(t.Temperature(T)(Z)), sm.softmax(Z, temperature=T), rtol=1e-14)
    for base in (1.0, 2.0, 100.0):
        assert np.allclose(sm.softmax(t.Base(base)(Z)), sm.softmax(Z, base=base), rtol=1e-13)


def test_top_k_keeps_the_k_largest_by_counting():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(50, 9))
    for k in (1, 3, 9, 20):
        kept = np.isfinite(t.TopK(k)(z))
        larger = (z[:, None, :] > z[:, :, None]).sum(-1)
        assert np.array_equal(kept, larger < k)


def test_top_p_keeps_the_smallest_sufficient_set_by_brute_force():
    rng = np.random.default_rng(2)
    z = rng.normal(size=(50, 6)) * 2
    for p in (0.0, 0.3, 0.9, 0.999):
        kept = np.isfinite(t.TopP(p)(z))
        for row, which in zip(sm.softmax(z), kept, strict=True):
            order = np.argsort(-row)
            need = next(n for n in range(1, 7) if row[order[:n]].sum() >= p)
            assert set(np.flatnonzero(which)) == set(order[:need])
    assert np.array_equal(np.isfinite(t.TopP(0.1)([1.0, 1.0, 0.0])), [True, True, False])


def test_min_p_compares_with_the_largest():
    z = np.random.default_rng(3).normal(size=(50, 6)) * 2
    for p in (0.0, 0.05, 0.5, 1.0):
        probabilities = sm.softmax(z)
        expected = probabilities >= p * probabilities.max(-1, keepdims=True) * (1 - 1e-14)
        assert np.array_equal(np.isfinite(t.MinP(p)(z)), expected)


def test_prior_shift_is_bayes_rule():
    before, after = np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5])
    z = np.array([0.3, -0.2, 1.0])
    expected = sm.softmax(z) * after / before
    assert np.allclose(sm.softmax(t.PriorShift(tuple(before), tuple(after))(z)), expected / expected.sum(), rtol=1e-14)


def test_scalings():
    matrix = np.arange(12.0).reshape(3, 4)
    z = np.ones((2, 4))
    assert np.array_equal(t.MatrixScale(tuple(map(tuple, matrix)), (1.0, 0, 0))(z), z @ matrix.T + [1.0, 0, 0])
    f = t.MatrixScale(((1.0, 2.0), (3.0, 4.0)))
    assert eval(repr(f), vars(t)) == f


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: t.Temperature(-1.0), "temperature"),
        (lambda: t.Base(0.5), "base"),
        (lambda: t.TopK(0), "k=0"),
        (lambda: t.TopP(1.5), "p=1.5"),
        (lambda: t.MinP(-0.1), "p=-0.1"),
        (lambda: t.PriorShift((0.5, 0.0)), "priors"),
        (lambda: t.PriorShift((0.5, 0.5), (1.0,)), "2 priors before and 1 after"),
        (lambda: t.PriorShift((0.5, 0.5), strength=np.nan), "strength is finite"),
        (lambda: t.Margin(1.0, (0.5,))(Z[:1]), "dtype float64"),
        (lambda: t.Mask((True,))([1.0, 2.0]), "1 classes"),
        (lambda: t.Margin(1.0, (5,))(Z[:1]), "4 classes"),
        (lambda: t.Margin(1.0, (0,))(Z), "one integer label for each row"),
        (lambda: t.MatrixScale(((1.0, 0.0), (0.0, 1.0)))([0.0, -np.inf]), "mask after"),
        (lambda: t.TopK(1)(3.0), "single number"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("make", [lambda: t.TopK("a"), lambda: t.TopP("a"), lambda: t.Margin("a", (0,))])
def test_no_number_is_refused_by_name(make):
    with pytest.raises(TypeError, match="='a'; one real number is needed"):
        make()


def test_only_transforms_are_chained():
    for other in (3, sm.Softmax()):
        with pytest.raises(TypeError, match="unsupported operand"):
            t.Temperature(2.0) >> other
