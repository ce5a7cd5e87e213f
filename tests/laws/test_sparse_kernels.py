"""The kernels of sparsemax and alpha-entmax against bisection in mpmath: rows of every kind, and broken variants.

The expected threshold is bisected on sum p(tau) = 1, whose terms come from the definition alone; losses and products
from their definitions over those probabilities.
"""

import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from math import fsum
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mpmath import log, mpf, workdps

import softmaxes as sm
from softmaxes import native

ROOT = Path(__file__).resolve().parents[2]
ALPHAS = (2.0, 1.5, 1.25, 1.01, 1 + 1e-9, 2.2, 8.0)
DTYPES = (np.float32, np.float64)


def normal(n, scale=1.0, offset=0.0):
    return np.random.default_rng(n).standard_normal(n) * scale + offset


ROWS = {
    "one class": np.array([-7.3]),
    "two": np.array([0.3, -0.4]),
    "a tie at the top": np.array([1.5, 1.5, 1.2, -3.0]),
    "equal": np.full(270, -4.226344585418701),
    "on the boundary": np.array([1.0, *[0.0] * 40, -1.0, -1.0]),
    "plateaus": np.repeat([0.25, 0.125, 0.0, -0.125, -0.25], 54),
    "nearly equal": 0.4 + np.arange(20) * 2.0**-23,
    "a leader": np.array([30.0, 1.0, 0.0, -2.0]),
    "masked": np.where(np.arange(40) % 3 == 0, -np.inf, normal(40)),
    "only one possible": np.array([-np.inf, 2.5, -np.inf]),
    "short": normal(17),
    "odd": normal(277),
    "steep": normal(260, 30),
    "wide": normal(260, 0.1),
    "flat": normal(100, 1e-3),
    "offset": normal(264, 1, 4096),
    "far offset": normal(64, 1e8, 1e9),
    "huge": normal(64, 1e37),
    "tiny": normal(64, 1e-37),
    "halving": -(2.0 ** -np.arange(40.0)),
}


@cache
def solved(row, alpha):
    """Return the probabilities and tau of a row (a tuple of floats), by bisection on tau."""
    with workdps(60):
        e = mpf(alpha) - 1
        y = [e * mpf(x) if x > -np.inf else None for x in row]
        kept = [x for x in y if x is not None]
        low, high = max(kept) - 1, max(kept)
        kept = [x for x in kept if x > low]
        for _ in range(220 if e <= 1 else 220 + int(200 * e)):
            middle = (low + high) / 2
            if middle in (low, high):
                break
            if sum((x - middle) ** (1 / e) for x in kept if x > middle) >= 1:
                low = middle
            else:
                high = middle
        return tuple((x - low) ** (1 / e) if x is not None and x > low else mpf(0) for x in y), low


class Kernels:
    """What is tested: the doorway. A saboteur overrides one of these."""

    def rows(self, x, alpha):
        p, tau = np.empty_like(x), np.empty(len(x))
        native.entmax_rows(x, alpha, p, tau)
        return p, tau

    def losses(self, x, target, alpha):
        losses, gradient = np.empty(len(x)), np.empty_like(x)
        native.entmax_losses(x, target, alpha, losses, gradient)
        return losses, gradient

    def product(self, p, v, alpha):
        result = np.empty_like(v)
        native.entmax_product(p, v, alpha, result)
        return result


def cases(dtype, alpha):
    for name, row in ROWS.items():
        if alpha not in (2.0, 1.5) and len(row) > 100 and name not in ("odd", "plateaus"):
            continue  # powers in mpmath take their time
        with np.errstate(over="ignore"):
            yield name, np.ascontiguousarray(row, dtype)[None]


def exact(x, alpha):
    return solved(tuple(float(v) for v in x[0]), alpha)


def probabilities_are_exact(kernels, alpha, dtype):
    """Every p is within 3 ULP of 1 in absolute terms, and within as many of its own where p is not at the threshold."""
    unit = np.finfo(dtype).eps
    for name, x in cases(dtype, alpha):
        p, _ = kernels.rows(x, alpha)
        expected, _ = exact(x, alpha)
        errors = [abs(mpf(float(a)) - b) for a, b in zip(p[0], expected, strict=True)]
        assert max(errors) <= 3 * unit, f"{name}: off by {float(max(errors) / unit):.3g} ULP of 1"
        for a, b, error in zip(p[0], expected, errors, strict=True):
            assert (b > 0) or a <= unit, f"{name}: {a} where nothing belongs"
            if b > 1e-3:
                # w = p^(alpha - 1) = 1 + (alpha - 1) x, x rounded once; p moves by dw / (alpha - 1) w
                e = mpf(alpha) - 1
                bound = 4 * unit * max(1, float((1 - b**e) / (e * b**e)))
                assert error <= bound * b, f"{name}: {a} for {float(b)}"


def rows_sum_to_one(kernels, alpha, dtype):
    unit = np.finfo(dtype).eps
    for name, x in cases(dtype, alpha):
        p, _ = kernels.rows(x, alpha)
        assert abs(fsum(map(float, p[0])) - 1) <= 2 * unit, f"{name}: sums to 1 + {fsum(map(float, p[0])) - 1:.3g}"


def thresholds_are_exact(kernels, alpha, dtype):
    """tau is a float64 within a few of its ULP (of 1, where it is smaller)."""
    for name, x in cases(dtype, alpha):
        _, tau = kernels.rows(x, alpha)
        expected = exact(x, alpha)[1]
        assert abs(mpf(float(tau[0])) - expected) <= 3 * 2.0**-52 * max(abs(expected), 1), name


def losses_are_exact(kernels, alpha, dtype):
    """The loss to relative accuracy, a fraction of its own conditioning; the gradient like probabilities."""
    unit = np.finfo(dtype).eps
    for name, x in cases(dtype, alpha):
        p, _ = exact(x, alpha)
        with workdps(60):
            a = mpf(alpha)
            z = [mpf(float(v)) if v > -np.inf else mpf(0) for v in x[0]]
            potential = sum(u * v for u, v in zip(z, p, strict=True)) - sum(v**a - v for v in p) / (a * (a - 1))
            for y in {0, x.shape[1] // 2, int(np.argmax(x)), int(np.argmin(x))}:
                losses, gradient = kernels.losses(x, np.array([y]), alpha)
                if x[0, y] == -np.inf:
                    assert losses[0] == np.inf, name
                else:
                    loss = potential - z[y]
                    # p within u of 1 - p_y moves the loss by u times that; tiny 1 - p_y keep their own digits
                    rest = sum(p[:y]) + sum(p[y + 1 :])
                    bound = 1e-14 * abs(loss) + 1e-15 * rest + mpf(10) ** -45 * (1 + abs(potential))
                    bound += 2.0**-52 * abs(z[y] - max(z))
                    assert abs(mpf(float(losses[0])) - loss) <= bound, f"{name}, y={y}: {losses[0]} for {float(loss)}"
                expected = [v - (k == y) for k, v in enumerate(p)]
                worst = max(abs(mpf(float(g)) - b) for g, b in zip(gradient[0], expected, strict=True))
                assert worst <= 3 * unit, f"{name}, y={y}: the gradient is off by {float(worst / unit):.3g} ULP of 1"


def products_are_exact(kernels, alpha, dtype):
    """J v is right to rounding of the largest g |v - mean|, whatever constant is in v; symmetric by its form."""
    unit = np.finfo(dtype).eps
    rng = np.random.default_rng(3)
    for name, x in cases(dtype, alpha):
        p, _ = kernels.rows(x, alpha)
        for offset in (0, 1e4):
            v = (rng.standard_normal(x.shape) + offset).astype(dtype)
            result = kernels.product(p, v, alpha)
            with workdps(40):
                gains = [mpf(float(q)) ** (2 - mpf(alpha)) if q > 0 else mpf(0) for q in p[0]]
                values = [mpf(float(u)) for u in v[0]]
                mean = sum(g * u for g, u in zip(gains, values, strict=True)) / sum(gains)
                expected = [g * (u - mean) for g, u in zip(gains, values, strict=True)]
                spread = max([abs(u - mean) for g, u in zip(gains, values, strict=True) if g > 0])
                for got, want, g in zip(result[0], expected, gains, strict=True):
                    # a gain is e^((2 - alpha) log p), whose exponent is rounded in float64
                    bound = 4 * unit * (abs(want) + g * spread) + float(np.finfo(dtype).smallest_subnormal)
                    bound += 2.0**-51 * abs(log(g) if g > 0 else 0) * abs(want)
                    assert abs(mpf(float(got)) - want) <= bound, f"{name}: {got} for {float(want)}"


LAWS = (probabilities_are_exact, rows_sum_to_one, thresholds_are_exact, losses_are_exact, products_are_exact)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("law", LAWS, ids=lambda f: f.__name__)
def test_kernels_obey(law, alpha, dtype):
    law(Kernels(), alpha, dtype)


class RoundsLogits(Kernels):
    def rows(self, x, alpha):
        return super().rows(x.astype(np.float16).astype(x.dtype), alpha)


class RoundsProbabilities(Kernels):
    """Keeps three digits."""

    def rows(self, x, alpha):
        p, tau = super().rows(x, alpha)
        return p.astype(np.float16).astype(x.dtype), tau


class StopsEarly(Kernels):
    """Takes one Newton step from the left and normalises."""

    def rows(self, x, alpha):
        e = alpha - 1
        d = x - x.max(axis=-1, keepdims=True)
        w = np.maximum(1 + e * d, 0)
        p = w ** (1 / e)
        tau = e * x.max(axis=-1) - 1
        return (p / p.sum(axis=-1, keepdims=True)).astype(x.dtype), tau


class ShortLosses(Kernels):
    """Keeps seven digits of a loss."""

    def losses(self, x, target, alpha):
        losses, gradient = super().losses(x, target, alpha)
        return losses.astype(np.float32).astype(np.float64), gradient


class ForgetsTheLabel(Kernels):
    def losses(self, x, target, alpha):
        losses, gradient = super().losses(x, target, alpha)
        return losses, np.maximum(gradient, 0)


class PlainMean(Kernels):
    """Averages over the support without gains."""

    def product(self, p, v, alpha):
        on = p > 0
        return np.where(on, v - (on * v).sum(axis=-1, keepdims=True) / on.sum(axis=-1, keepdims=True), 0)


SABOTEURS = (RoundsLogits, RoundsProbabilities, StopsEarly, ShortLosses, ForgetsTheLabel, PlainMean)


def broken(law, saboteur):
    try:
        with np.errstate(all="ignore"):
            law(saboteur(), 1.5, np.float64)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("saboteur", SABOTEURS, ids=lambda s: s.__name__)
def test_some_law_notices(saboteur):
    assert any(broken(law, saboteur) for law in LAWS)


def test_no_law_is_idle():
    for law in LAWS:
        assert any(broken(law, saboteur) for saboteur in SABOTEURS), law.__name__


@pytest.mark.parametrize("alpha", [2.0, 1.5, 1.25, 3.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_without_an_answer_and_rows_with_a_limit(alpha, dtype):
    nan, inf = np.nan, np.inf
    x = np.array(
        [[nan, 1, 2, 0], [-inf] * 4, [inf, 0, inf, -inf], [nan, inf, 0, 0], [nan] * 4, [inf] * 4, [1, -inf, 0.9, 0]],
        dtype,
    )
    p, tau = Kernels().rows(x, alpha)
    half, none = [0.5, 0, 0.5, 0], [nan] * 4
    assert np.allclose(p[:6], [none, none, half, none, none, [0.25] * 4], rtol=0, atol=0, equal_nan=True)
    assert np.array_equal(np.isnan(tau), [1, 1, 0, 1, 1, 0, 0])
    assert np.all(tau[[2, 5]] == inf) and p[6, 1] == 0
    losses, gradient = Kernels().losses(x, np.array([0, 1, 2, 1, 0, 1, 0]), alpha)
    equals, _ = Kernels().losses(np.zeros((2, 4), dtype)[:, :2].copy(), np.array([0, 1]), alpha)
    assert np.array_equal(np.isnan(losses), [1, 1, 0, 1, 1, 0, 0])
    assert np.isclose(losses[2], equals[0], rtol=1e-12)
    assert np.isnan(gradient[0]).all() and np.allclose(gradient[2], [0.5, 0, -0.5, 0], rtol=0, atol=0)
    assert Kernels().losses(x[2:3], np.array([1]), alpha)[0][0] == inf


@pytest.mark.parametrize("alpha", [2.0, 1.5, 1.25, 3.0])
def test_derivatives_are_zero_off_the_support_whatever_v_is(alpha):
    p = np.array([[0.5, 0.0, 0.5, 0.0], [np.nan] * 4])
    v = np.array([[1.0, np.inf, 3.0, np.nan], [1.0, 2.0, 3.0, 4.0]])
    result = Kernels().product(p, v, alpha)
    g = 0.5 ** (2 - alpha)
    assert np.allclose(result[0], [-g, 0, g, 0], rtol=1e-15, atol=0)
    assert np.isnan(result[1]).all()


@pytest.mark.parametrize("alpha", [2.0, 1.5, 1.25, 3.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_at_logits_are_those_at_their_probabilities(alpha, dtype):
    rng = np.random.default_rng(5)
    for n in (1, 5, 40, 1031):
        x, v = (rng.standard_normal((9, n)).astype(dtype) for _ in range(2))
        x[3, 0], x[4, ::2], x[5], x[6, -1] = np.nan, -np.inf, -np.inf, np.inf
        p, _ = Kernels().rows(x, alpha)
        expected, got = Kernels().product(p, v, alpha), np.empty_like(x)
        native.entmax_vjp(x, v, alpha, got)
        assert np.array_equal(got, expected, equal_nan=True)
        native.entmax_vjp(x, v, alpha, x)
        assert np.array_equal(x, expected, equal_nan=True)
        again = p.copy()
        native.entmax_product(again, v, alpha, again)
        assert np.array_equal(again, expected, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, array_shapes(min_dims=2, max_dims=3, max_side=40), elements=st.floats(-4, 4, width=32)),
    st.sampled_from([2.0, 1.5, 1.3, 2.5]),
    st.sampled_from(DTYPES),
)
def test_any_shape_satisfies_the_condition(z, alpha, dtype):
    """p^(alpha - 1) - (alpha - 1) z is one number on the support, and nothing off it would want in."""
    z = z.astype(dtype)
    p = sm.entmax(z, alpha)
    assert p.dtype == dtype and p.shape == z.shape
    unit = float(np.finfo(dtype).eps)
    rows, shares = z.reshape(-1, z.shape[-1]).astype(float), p.reshape(-1, z.shape[-1]).astype(float)
    e = alpha - 1
    for row, share in zip(rows, shares, strict=True):
        assert abs(fsum(share) - 1) <= 2 * unit
        on = share > 1e-5
        tau = e * row[on] - share[on] ** e
        slack = 60 * unit * max(1.0, 1e-5 ** (e - 1)) if e < 1 else 60 * unit
        assert np.ptp(tau) <= slack and np.all(e * row[share == 0] <= tau.max() + slack)


def test_strides_and_the_input_itself():
    x = np.random.default_rng(0).standard_normal((30, 700)).astype(np.float32)
    expected, _ = Kernels().rows(x, 1.5)
    wide = np.zeros((30, 1000), np.float32)
    wide[:, :700] = x
    part = wide[:, :700]
    native.entmax_rows(part, 1.5, part)
    assert np.array_equal(part, expected) and not wide[:, 700:].any()
    assert np.array_equal(sm.entmax(x.T, axis=0), expected.T)
    target = np.arange(30)
    losses, gradient = Kernels().losses(x, target, 1.5)
    again = np.empty(30)
    native.entmax_losses(x, target, 1.5, again, x)
    assert np.array_equal(again, losses) and np.array_equal(x, gradient)


def test_losses_without_a_gradient():
    x = np.random.default_rng(0).standard_normal((20, 50))
    target, losses = np.arange(20), np.empty(20)
    native.entmax_losses(x, target, 2.0, losses)
    assert np.array_equal(losses, Kernels().losses(x, target, 2.0)[0])


def digest():
    """Return one word for the bytes of many results."""
    word = hashlib.blake2b(digest_size=8)
    rng = np.random.default_rng(1)
    for dtype in DTYPES:
        for n in (1, 3, 17, 64, 300, 1031):
            for scale in (0.1, 1, 5):
                x = (rng.standard_normal((40, n)) * scale).astype(dtype)
                x[::7, ::3] = -np.inf
                v = rng.standard_normal(x.shape).astype(dtype)
                for alpha in (2.0, 1.5, 1.25, 1.001, 2.5):
                    p, tau = Kernels().rows(x, alpha)
                    losses, gradient = Kernels().losses(x, np.arange(40) % n, alpha)
                    for part in (p, tau, losses, gradient, Kernels().product(p, v, alpha)):
                        word.update(np.where(np.isnan(part), 0, part + 0).tobytes())
    return word.hexdigest()


@pytest.mark.parametrize("isa", native.describe()["available"])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_instruction_set_and_number_of_threads_gives_the_same_bytes(isa, threads):
    script = (
        f"import sys; sys.path.append({str(ROOT)!r})\n"
        "import json; from softmaxes import native; from tests.laws.test_sparse_kernels import digest\n"
        "print(json.dumps([native.describe()['isa'], digest()]))"
    )
    environment = os.environ | {"SOFTMAXES_ISA": isa, "SOFTMAXES_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [isa, digest()]


def test_the_digest_sees_one_bit(monkeypatch):
    here = digest()
    real = native.entmax_rows

    def shaken(logits, alpha, out, tau_out=None, threads=None):
        real(logits, alpha, out, tau_out, threads)
        out[0, 0] = np.nextafter(out[0, 0], out.dtype.type(2))

    monkeypatch.setattr(native, "entmax_rows", shaken)
    assert digest() != here
