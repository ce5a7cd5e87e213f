"""The sampling kernels: the text's draws at the same random bits, exact down to rare classes, the same everywhere.

A draw is the inverse of the distribution function at uniform / 2^64, so the kernels are tested without chance: where
the class changes along the uniform numbers gives the probability of each class, and the text must find the same class.
"""

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from mpmath import exp, mp, mpf

import softmaxes as sm
from softmaxes import native, sampling

ROOT = Path(__file__).resolve().parents[1]
SETS = native.describe()["available"]
DTYPES = (np.float32, np.float64)
OPTIONS = (
    {},
    {"temperature": 0.7},
    {"temperature": 0.0},
    {"temperature": math.inf},
    {"temperature": 1e-35},
    {"top_k": 1},
    {"top_k": 3},
    {"top_k": 40},
    {"top_p": 0.9},
    {"top_p": 0.0},
    {"top_p": 0.9999},
    {"top_p": 0.5, "top_k": 10},
    {"min_p": 0.1},
    {"min_p": 1.0},
    {"temperature": 3.0, "top_k": 100, "top_p": 0.95, "min_p": 0.01},
)


def kept(**options):
    return sampling._Kept.read(
        *(options.get(n, d) for n, d in (("temperature", 1.0), ("top_k", None), ("top_p", None), ("min_p", None)))
    )


def bits(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << 64, shape, dtype=np.uint64)


def by_kernel(z, uniform, threads=1, **options):
    return sampling._draw_by_kernel(z, uniform, kept(**options), threads)


def by_text(z, uniform, **options):
    return sampling._draw_by_text(z, uniform, kept(**options))


def rows(n, width, dtype, scale=1.0, offset=0.0, seed=0):
    rng = np.random.default_rng(seed + width)
    z = (rng.normal(size=(n, width)) * scale + offset).astype(dtype)
    z[0, rng.random(width) < 0.5] = -np.inf
    z[0, 0] = offset
    if width > 2:
        z[1, :2] = np.inf
        z[2] = np.round(z[2])  # ties
    return z


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 2, 5, 16, 63, 64, 65, 255, 256, 257, 1000, 5000])
def test_the_text_draws_the_same_classes(width, dtype, options):
    for scale, offset in ((1, 0), (5, 0), (3, 1000), (0, 2), (1e30, 0)):
        z = rows(6, width, dtype, scale, offset)
        uniform = bits((6, 40), width)
        assert np.array_equal(by_kernel(z, uniform, **options), by_text(z, uniform, **options))


def _ignores_the_last_block(z, uniform, **options):
    return by_kernel(z[:, : max(1, z.shape[1] // 256 * 256)], uniform, **options)


def _few_bits(z, uniform, **options):
    return by_kernel(z, uniform >> np.uint64(40) << np.uint64(40), **options)


def _no_filters(z, uniform, **options):
    return by_kernel(z, uniform)


def _one_class_too_many(z, uniform, **options):
    return by_kernel(z, uniform, **(options | ({"top_k": options["top_k"] + 1} if "top_k" in options else {})))


@pytest.mark.parametrize("saboteur", [_ignores_the_last_block, _few_bits, _no_filters, _one_class_too_many])
def test_other_samplers_draw_other_classes(saboteur):
    uniform = bits((6, 4000))
    z = rows(6, 1000, np.float64, 3)
    assert any(not np.array_equal(saboteur(z, uniform, **o), by_text(z, uniform, **o)) for o in ({}, {"top_k": 40}))


# ---- what is left by a filter, in rows long enough for every step of the search ----

LONG = 20_011


def hard_rows(dtype):
    rng = np.random.default_rng(1)
    big = float(np.finfo(dtype).max)
    return {
        "normal": rng.normal(size=LONG),
        "peaked": rng.normal(size=LONG) * 6,
        "all equal": np.full(LONG, -3.25),
        "two values": np.where(rng.random(LONG) < 0.3, 1.0, 0.0),
        "few values": np.round(rng.normal(size=LONG)),
        "neighbours": 1 + rng.integers(0, 500, LONG) * float(np.finfo(dtype).eps),
        "masked": np.where(rng.random(LONG) < 0.999, -np.inf, rng.normal(size=LONG)),
        "one rules": np.where(np.arange(LONG) == 700, 50.0, rng.normal(size=LONG)),
        "whole range": rng.choice([-big, -1e30, -1.0, 0.0, -0.0, 1e-40, 1e30, big], LONG),
        "heavy tail": rng.standard_cauchy(LONG) * 10,
    }


@pytest.mark.parametrize(
    "options",
    [o for o in OPTIONS if "top_k" in o or "top_p" in o] + [{"top_k": 2000}, {"top_k": LONG - 1}, {"top_p": 0.3}],
    ids=str,
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_filters_keep_the_same_classes_as_sorting(dtype, options):
    for name, x in hard_rows(dtype).items():
        z = x.astype(dtype)[None]
        # the first and the last class that is kept (and seen in 2^40 draws), and some between
        uniform = np.concatenate([np.array([2**24, 2**64 - 2**24], dtype=np.uint64), bits(60)])[None]
        assert np.array_equal(by_kernel(z, uniform, **options), by_text(z, uniform, **options)), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 2, 10, 300, 5000])
def test_top_k_keeps_k_classes_where_none_are_tied(dtype, k):
    x = np.random.default_rng(2).permutation(LONG).astype(dtype) * dtype(1e-5)
    z = np.stack([x, x - 5])
    found = by_kernel(z, bits((2, 40_000)), top_k=k)
    for row in found:
        assert np.all(np.argsort(np.argsort(-x))[row] < k)
        assert len(np.unique(row)) == k or k > 1000


# ---- exact probabilities ----


def first_at_or_after(draw, i):
    """Return the least uniform number whose class is i or later, by bisection (2^64 if there is none)."""
    low, high = 0, 1 << 64
    while low < high:
        middle = (low + high) // 2
        if draw(middle) >= i:
            high = middle
        else:
            low = middle + 1
    return low


def probability(z, i, draw_all=by_kernel):
    """Return the share of all 2^64 uniform numbers that give class i."""

    def draw(u):
        return int(draw_all(z[None], np.array([[u]], dtype=np.uint64))[0, 0])

    return mpf(first_at_or_after(draw, i + 1) - first_at_or_after(draw, i)) / 2**64


def rare_row(dtype):
    """A row of 1500 whose classes 3, 700, 1499 have probabilities near 1e-6, 1e-9, 1e-12, and 9 cannot happen."""
    z = np.random.default_rng(3).normal(size=1500)
    top = math.log(np.exp(z).sum())
    z[[3, 700, 1499]] = top + math.log(1e-6), top + math.log(1e-9), top + math.log(1e-12)
    z[9] = -np.inf
    return z.astype(dtype)


def has_exact_probabilities(draw_all, dtype):
    z = rare_row(dtype)
    with mp.workdps(30):
        weights = [exp(mpf(float(v))) if v > -np.inf else mpf(0) for v in z]
        total = sum(weights)
        for i in (3, 9, 10, 256, 700, 1499):
            expected = weights[i] / total
            relative = mpf(2) ** (-22 if dtype == np.float32 else -50)
            error = abs(probability(z, i, draw_all) - expected)
            assert error <= relative * expected + mpf(2) ** -60, f"class {i}: off by {float(error / (expected or 1))}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_class_has_its_probability(dtype):
    has_exact_probabilities(by_kernel, dtype)


def _uniform_of_24_bits(z, uniform):
    return by_kernel(z, uniform >> np.uint64(40) << np.uint64(40))


def _cumulative_in_float32(z, uniform):
    cumulative = np.cumsum(np.exp(z[0]), dtype=np.float32)
    return np.searchsorted(cumulative, uniform * 2.0**-64 * float(cumulative[-1]), side="right")


@pytest.mark.parametrize("saboteur", [_uniform_of_24_bits, _cumulative_in_float32])
def test_rare_classes_show_coarse_samplers(saboteur):
    with pytest.raises(AssertionError, match="class"):
        has_exact_probabilities(saboteur, np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"top_p": 0.8}], ids=str)
def test_frequencies(dtype, options):
    """Chi-squared over 600 classes, a bound that a right sampler exceeds about once in 10^9."""
    z = (np.random.default_rng(4).normal(size=600) * 1.5).astype(dtype)
    counts = np.bincount(sm.sample(z, np.random.default_rng(5), size=200_000, **options), minlength=600)
    p = sm.softmax(kept(**options).transform()(z.astype(float)))
    likely = p * counts.sum() >= 5
    assert counts[p == 0].sum() == 0
    expected, found = p[likely] * counts.sum(), counts[likely]
    freedom = len(found)
    assert ((found - expected) ** 2 / expected).sum() < freedom + 9 * math.sqrt(2 * freedom) + 30


# ---- the same everywhere ----


def digest(threads=None):
    """Return a digest of draws of every kind."""
    found = hashlib.sha256()
    for dtype in DTYPES:
        for width in (3, 300, 6000):
            for options in OPTIONS:
                z = rows(20, width, dtype, 4, 1)
                found.update(sm.sample(z, np.random.default_rng(6), size=5, threads=threads, **options).tobytes())
        for x in hard_rows(dtype).values():
            for options in ({"top_k": 50}, {"top_p": 0.9}):
                found.update(sm.sample(x.astype(dtype), np.random.default_rng(7), size=5, **options).tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("isa", SETS)
def test_every_instruction_set_draws_the_same(isa):
    script = (
        f"import sys; sys.path.append({str(ROOT)!r})\n"
        "import json; from softmaxes import native; from tests.test_sampling_native import digest\n"
        "print(json.dumps([native.describe()['isa'], digest()]))"
    )
    environment = os.environ | {"SOFTMAXES_ISA": isa, "SOFTMAXES_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [isa, digest()]


def test_threads_draw_the_same():
    z = np.random.default_rng(8).normal(size=(500, 1000)).astype(np.float32)
    uniform = bits((500, 3))
    for options in ({}, {"top_p": 0.7}):
        assert np.array_equal(by_kernel(z, uniform, 1, **options), by_kernel(z, uniform, 2, **options))
    assert digest(threads=2) == digest(threads=1)


# ---- the doorway ----


def test_layouts_types_and_sizes():
    rng = np.random.default_rng(9)
    wide = rng.normal(size=(4, 3, 50)) * 3
    expected = sm.sample(wide, np.random.default_rng(1), size=(2, 3))
    assert expected.shape == (2, 3, 4, 3) and expected.dtype == np.int64
    strided = np.zeros((4, 3, 100))
    strided[..., ::2] = wide
    frozen = wide.copy()
    frozen.flags.writeable = False
    for same in (strided[..., ::2], np.asfortranarray(wide), wide.astype(">f8"), frozen, wide.tolist()):
        assert np.array_equal(sm.sample(same, np.random.default_rng(1), size=(2, 3)), expected)
    for dtype in (np.float16, ml_dtypes.bfloat16, np.int8, np.longdouble):
        z = np.array([[3, 1, 0], [-1, 4, 2]]).astype(dtype)
        plain = sm.sample(z.astype(np.float64), np.random.default_rng(2), size=20)
        assert np.array_equal(sm.sample(z, np.random.default_rng(2), size=20), plain)
    assert sm.sample(np.zeros((0, 4)), rng).shape == (0,)
    assert sm.sample(np.float32([0.0, 5.0]), rng, size=0).shape == (0,)
    broadcast = np.broadcast_to(np.float32([0.0, 100.0]), (5, 2))
    assert sm.sample(broadcast, rng).tolist() == [1] * 5


def test_rows_that_cannot_be_drawn_from_are_named():
    z = np.zeros((4000, 40), dtype=np.float32)
    z[1234] = -np.inf
    z[3999, 7] = np.nan
    for options in ({}, {"top_k": 3}, {"top_p": 0.5}, {"temperature": 0.0}, {"temperature": 2.0}):
        for threads in (1, 2):
            with pytest.raises(ValueError, match="row 1234 holds NaN or has no possible class"):
                sm.sample(z, np.random.default_rng(0), threads=threads, **options)
    z[1234] = 0
    with pytest.raises(ValueError, match="row 3999"):
        sm.sample(z, np.random.default_rng(0))
    for options in ({"top_k": 0}, {"top_p": 1.5}, {"min_p": -0.1}, {"temperature": -1.0}, {"threads": 0}):
        with pytest.raises(ValueError, match="needed"):
            sm.sample(z[:1], np.random.default_rng(0), **options)
