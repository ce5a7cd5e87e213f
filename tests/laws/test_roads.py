"""Where the roads meet, what the reference vectors say, and the search behind the sparse maps."""

import json
from pathlib import Path

import array_api_strict
import numpy as np
import pytest

import softmaxes as sm
from softmaxes import maps
from softmaxes.maps import threshold
from softmaxes.maps.normalised import NormalisedScores
from softmaxes.maps.regularised import RegularisedArgmax

from . import exact_maps as exact

CASES = json.loads((Path(__file__).parents[1] / "accuracy" / "vectors.json").read_text())["cases"]


def _softmax(case):
    return sm.Softmax(temperature=1 / case["in"].get("beta", 1.0))


ANSWERS = {
    "jvp": lambda c, x, v: {"value": _softmax(c).jvp(x, v)},
    "vjp": lambda c, x, u: {"value": _softmax(c).vjp(x, u)},
    "hess_contract": lambda c, x, u, v: {"value": _softmax(c).second_derivative(x, u, v)},
    "entropy_grad": lambda c, x: {"value": _softmax(c).entropy_gradient(x)},
    "sparsemax": lambda c, x: {"value": sm.Sparsemax()(x)},
    "entmax15": lambda c, x: {"value": sm.Entmax(1.5)(x)},
    "sparsemax_jvp": lambda c, x, v: {"value": sm.Sparsemax().jvp(x, v)},
    "entmax15_jvp": lambda c, x, v: {"value": sm.Entmax(1.5).jvp(x, v)},
    "taylor2": lambda c, x: {"value": sm.Taylor(2)(x), "log": sm.Taylor(2).log(x)},
    "spherical": lambda c, x: {"value": sm.Spherical(c["in"].get("eps", 0.0))(x)},
    "sum_v1": lambda c, x: {"value": sm.Linear()(x)},
    "sum_v2": lambda c, x: {"value": sm.MinShift()(x)},
}
VECTORS = [c for c in CASES if c["fn"] in ANSWERS and "policy" not in c["tags"]]


@pytest.mark.parametrize("case", VECTORS, ids=lambda c: f"{c['id']}-{c['fn']}")
def test_reference_vectors(case):
    """To 8 + log2 K units of roundoff of the case's natural scale, in both widths."""
    for dtype, out, unit, least in ((np.float64, "out64", 2.0**-53, 5e-324), (np.float32, "out32", 2.0**-24, 1.5e-45)):
        if dtype is np.float32 and not case["f32"]:
            continue
        arguments = [np.array([float(v) for v in case["in"][k]], dtype) for k in "xuv" if k in case["in"]]
        for name, got in ANSWERS[case["fn"]](case, *arguments).items():
            expected = np.array([float(v) for v in case[out][name]])
            scale = np.array(case["scale"][name], float)
            with np.errstate(invalid="ignore"):
                error = np.where(got == expected, 0, np.abs(got.astype(float) - expected))
            slack = 1000 if case["fn"] == "entropy_grad" else 4  # subnormal units: one for each product
            bound = (8 + np.log2(len(expected))) * unit * scale + slack * least
            assert got.dtype == dtype and np.all(error <= bound), (name, dtype, error / bound)


def test_softmax_is_the_member_of_both_roads():
    rng = np.random.default_rng(0)
    z, u, v = rng.normal(size=(3, 20, 6))
    q = rng.dirichlet(np.ones(6), 20)
    for m in (sm.Softmax(), sm.Softmax(temperature=0.4)):
        for name, arguments in (("_value", (z,)), ("_jvp", (z, v)), ("_vjp", (z, u)), ("_second", (z, u, v))):
            first = getattr(NormalisedScores, name)(m, *arguments, np)
            second = getattr(RegularisedArgmax, name)(m, *arguments, np)
            own = getattr(m, name)(*arguments, np)
            assert np.allclose(first, second, rtol=1e-12, atol=1e-14)
            assert np.allclose(own, second, rtol=1e-12, atol=1e-14)
        # the two losses differ by the entropy of the target (and by the factor T)
        cross = m.loss(z, q) + np.sum(q * np.log(q), axis=-1)
        assert np.allclose(m.fenchel_young(z, q), m.temperature * cross, rtol=1e-12)


def test_no_other_member_is_on_both_roads():
    both = {type(m) for m in maps.FAMILY if isinstance(m, NormalisedScores) and isinstance(m, RegularisedArgmax)}
    assert both == {sm.Softmax}


def test_entmax_meets_softmax_and_sparsemax():
    z = np.random.default_rng(1).normal(size=(30, 8)) * 2
    assert np.allclose(sm.Entmax(1.0)(z), sm.softmax(z), rtol=1e-14)
    assert np.allclose(sm.Entmax(2.0)(z), sm.sparsemax(z), rtol=1e-13, atol=1e-15)
    # continuity at 1: the difference is first order in alpha - 1, with alpha_gradient as its slope
    step = 1e-6
    slope = (sm.Entmax(1 + step)(z) - sm.softmax(z)) / step
    assert np.allclose(slope, sm.Entmax(1.0).alpha_gradient(z), atol=2e-5)
    for m, same in ((sm.Entmax(1.0), sm.Softmax()), (sm.Entmax(2.0), sm.Sparsemax())):
        q = np.random.default_rng(2).dirichlet(np.ones(8), 30)
        assert np.allclose(m.fenchel_young(z, q), same.fenchel_young(z, q), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("alpha", [1.0, 1.01, 1.2, 1.5, 1.8, 2.0, 2.5])
def test_gradient_with_respect_to_alpha(alpha):
    """Against central differences of the exact map in mpmath (one-sided meaning at alpha = 1: a symmetric formula)."""
    z = np.random.default_rng(3).normal(size=5)
    h = 1e-12

    def at(a):
        row = exact.numbers(z)
        return exact.floats(exact._softmax(1)(row)) if a == 1 else np.array(exact._entmax(a)(row))

    if alpha == 1.0:
        expected = (at(exact.mpf(1) + exact.mpf(10) ** -15) - np.array(exact._softmax(1)(exact.numbers(z)))) * 10**15
    else:
        expected = (at(exact.mpf(alpha) + h) - at(exact.mpf(alpha) - h)) / (2 * exact.mpf(h))
    got = sm.Entmax(alpha).alpha_gradient(z)
    assert np.allclose(got, exact.floats(expected), rtol=1e-10, atol=1e-12)


HARD_ROWS = {
    "all equal": np.zeros((3, 7)),
    "two levels": np.repeat([[0.0, 1.0, 0.0, 1.0, 0.0]], 3, axis=0),
    "one class": np.array([[3.0], [-7.0]]),
    "far offset": 1e6 + np.random.default_rng(4).normal(size=(4, 9)),
    "nearly equal": 1e-9 * np.random.default_rng(5).normal(size=(4, 50)),
    "one leads by far": np.array([[100.0, 0.0, -100.0]]),
    "masked": np.array([[0.3, -np.inf, 0.2, -np.inf], [-np.inf, 1.0, -np.inf, -np.inf]]),
    "long": np.random.default_rng(6).normal(size=(2, 3000)) * 0.3,
    "flat and long": np.random.default_rng(7).normal(size=(2, 3000)) * 0.01,
}


@pytest.mark.parametrize("alpha", [1.0001, 1.1, 1.5, 2.0, 3.0, 6.0])
@pytest.mark.parametrize("name", HARD_ROWS)
def test_the_search_ends_on_the_simplex_and_satisfies_its_condition(name, alpha):
    """p is right iff p^(alpha-1) - (alpha-1) z is one constant on the support and at least -that off it."""
    z = HARD_ROWS[name]
    p = sm.Entmax(alpha)(z)
    e = alpha - 1
    # for alpha > 2 an error of one unit in z moves a small p by its 1/(alpha-1)-th power
    slack = 1e-14 if alpha <= 2 else 1e-10
    assert np.all(p >= 0) and np.allclose(p.sum(-1), 1, rtol=max(slack, 1e-13 * z.shape[-1] ** 0.5))
    for row, probabilities in zip(z, p, strict=True):
        y = e * (row - row.max())
        on = probabilities > 0
        tau = y[on] - probabilities[on] ** e
        middle = np.median(tau)
        assert np.ptp(tau) <= 1e-12 * max(1.0, np.abs(row[on]).max()) and np.all(y[~on] <= middle + 1e-12)
    generic = np.asarray(sm.Entmax(alpha)(array_api_strict.asarray(z)))
    assert np.allclose(generic, p, rtol=1e-10 if alpha > 2 else 1e-12, atol=1e-14)


def test_the_limits_of_alpha_beyond_two_in_other_words():
    """Equals, a small share and long rows, where 1 + e (z - c) would round the probabilities away."""
    for alpha in (2.5, 4.0, 9.0, 32.0):
        equals = threshold.probabilities(np.zeros((1, 1000), np.float32), alpha - 1, np)
        assert np.allclose(equals, 1e-3, rtol=1e-5), alpha
        p = threshold.probabilities(np.array([[0.3, 0.1, 0.2], [0.0, -1e-3, -0.9]]), alpha - 1, np)
        assert np.allclose(p, sm.Entmax(alpha)([[0.3, 0.1, 0.2], [0.0, -1e-3, -0.9]]), rtol=1e-12, atol=0), alpha


def test_the_search_takes_few_steps(monkeypatch):
    """Newton on a norm of p, in Array API words: at most 12 steps, and bisection never takes over."""
    passes = []
    real = threshold._step

    def counted(*args):
        passes[-1] += 1
        return real(*args)

    monkeypatch.setattr(threshold, "_step", counted)
    rng = np.random.default_rng(8)
    for alpha in (1.05, 1.25, 1.5, 1.75, 2.0):
        for scale in (0.01, 0.1, 1.0, 3.0, 30.0):
            passes.append(0)
            threshold.probabilities(rng.normal(size=(20, 1000)) * scale, alpha - 1, np)
    assert min(passes) >= 2 and max(passes) <= 12, passes


def test_by_name():
    for name in ("softmax", "linear", "min_shift", "taylor", "spherical", "softplus", "double_exponential", "sparsemax",
                 "entmax", "hardmax"):  # fmt: skip
        assert isinstance(maps.member(name), maps.Member)
    assert maps.member(sm.Sparsemax()) == sm.Sparsemax()
    with pytest.raises(ValueError, match="known are softmax, linear"):
        maps.member("sofmax")
    with pytest.raises(TypeError, match="not int"):
        maps.member(3)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: sm.Softmax(temperature=-1.0), "temperature"),
        (lambda: sm.Taylor(0), "order"),
        (lambda: sm.Taylor(11), "order"),
        (lambda: sm.Spherical(-1.0), "epsilon"),
        (lambda: sm.Entmax(0.5), "alpha"),
        (lambda: sm.Entmax(33.0), "the limit for large alpha is hardmax"),
        (lambda: sm.Generalized.numeric(lambda z: z)([1.0, -1.0]), "phi is -1 at a logit"),
        (lambda: sm.Linear()([-2.0, 0.0, 1.0]), "a score is -2"),
        (lambda: sm.Linear()([0.0, 0.0]), "all 0"),
        (lambda: sm.Taylor(3)([0.0, -1.6]), "above -1.59607"),
        (lambda: sm.Softmax().loss([[0.0, 1.0]], [2]), "2 classes"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("make", [lambda: sm.Entmax("a"), lambda: sm.Taylor("a"), lambda: sm.Spherical("a")])
def test_no_number_is_refused_by_name(make):
    with pytest.raises(TypeError, match="='a'; one real number is needed"):
        make()


def test_what_is_no_function_is_no_phi():
    with pytest.raises(TypeError, match="slope=2; a function of an array is needed"):
        sm.Generalized(np.exp, 2, 3)


def test_a_users_own_function_becomes_a_member():
    """phi = z^2 + 1 by its logarithm and slopes is Spherical(1); by differences it is so to 6 digits."""
    m = sm.Generalized(
        lambda z: np.log1p(z * z), lambda z: 2 * z / (1 + z * z), lambda z: 2 / (1 + z * z), title="1 + z^2"
    )
    looked_at = sm.Generalized.numeric(lambda z: 1 + z * z)
    z, u, v = np.random.default_rng(9).normal(size=(3, 4, 5))
    for one, digits in ((m, 1e-12), (looked_at, 1e-5)):
        for name, arguments in (("__call__", (z,)), ("jvp", (z, v)), ("vjp", (z, u)), ("second_derivative", (z, u, v))):
            expected = getattr(sm.Spherical(1.0), name)(*arguments)
            assert np.allclose(getattr(one, name)(*arguments), expected, rtol=digits, atol=digits)


def test_large_logits_do_not_overflow():
    big = np.array([[1e200, 2e200, -1e200], [1e300, 1e300, 0.0]])
    assert np.allclose(sm.Taylor(2)(big), [[1 / 6, 4 / 6, 1 / 6], [0.5, 0.5, 0]], rtol=1e-14)
    assert np.allclose(sm.Taylor(4)(big)[0], [1 / 18, 16 / 18, 1 / 18], rtol=1e-14)
    assert np.allclose(sm.Spherical()(big), [[1 / 6, 4 / 6, 1 / 6], [0.5, 0.5, 0]], rtol=1e-14)
    assert np.allclose(sm.Spherical()([[3e-200, 4e-200]]), [[9 / 25, 16 / 25]], rtol=1e-14)
    assert np.allclose(sm.Linear()([[1e308, 1e308, 1e308]]), 1 / 3, rtol=1e-15)
    assert np.allclose(sm.Generalized.double_exponential()([800.0, 1.0]), [1.0, 0.0])
    assert np.allclose(sm.Generalized.softplus()([-800.0, -801.0]), sm.softmax([-800.0, -801.0]), rtol=1e-13)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("width", [9, 1000])
def test_a_row_gets_the_same_bits_in_any_company(alpha, width):
    """However many rows are searched together, each ends where it ends alone."""
    z = np.random.default_rng(10).normal(size=(40, width)) * np.geomspace(0.01, 30, 40)[:, None]
    whole = sm.Entmax(alpha)(z)
    assert np.array_equal(whole, np.concatenate([sm.Entmax(alpha)(row[None]) for row in z]))
    assert np.array_equal(whole[::-1], sm.Entmax(alpha)(z[::-1]))


def test_the_limits_of_temperature_have_derivatives_too():
    z, u, v = np.random.default_rng(11).normal(size=(3, 4, 5))
    for m in (
        sm.Softmax(temperature=0.0),
        sm.Softmax(temperature=np.inf),
        sm.Softmax(base=1.0),
        sm.Softmax(base=np.inf),
    ):
        for got in (m.jvp(z, v), m.vjp(z, u), m.second_derivative(z, u, v), m.entropy_gradient(z)):
            assert np.all(got == 0), m
        assert np.allclose(m(z).sum(-1), 1) and not np.isnan(m.entropy(z)).any()
        labels = z.argmax(-1)
        value, gradient = m.loss_and_gradient(z, labels)
        assert not np.isnan(value).any() and np.all(gradient == 0)
    assert np.array_equal(sm.Softmax(temperature=0.0)(z), sm.Hardmax()(z))


def test_a_base_is_a_temperature():
    z, v = np.random.default_rng(12).normal(size=(2, 4, 5))
    ten, same = sm.Softmax(base=10.0), sm.Softmax(temperature=1 / np.log(10))
    assert np.allclose(ten(z), same(z), rtol=1e-14) and np.allclose(ten.jvp(z, v), same.jvp(z, v), rtol=1e-12)
    assert repr(ten) == "Softmax(temperature=1.0, base=10.0)"
