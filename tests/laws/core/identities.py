"""Laws of meaning: what each function is, by its definition, an identity, or the exact value."""

import itertools

import mpmath
import numpy as np
from tests.accuracy.oracle import ExactRow, exact_kl, ulp_error
from tests.laws.core.subject import BFLOAT16, ELEMENTWISE, FUNCTIONS, equal, law, normal, refuses, same_bits

TYPES = ("float32", "float64")


@law(itertools.product(("float32", "float64", "float16", BFLOAT16), (1, 3, 100, 5000)))
def probabilities_are_a_distribution(core, case):
    dtype, width = case
    for x in (normal(4, width, dtype=dtype), normal(4, width, dtype=dtype, scale=100)):
        p = np.asarray(core.softmax(x), np.float64)
        resolution = float(np.finfo(np.float16).eps) if np.dtype(dtype).itemsize == 2 else float(np.finfo(dtype).eps)
        resolution = 2.0**-7 if dtype == BFLOAT16 else resolution
        assert (p >= 0).all() and (p <= 1).all(), f"{case}: {p.min()} to {p.max()}"
        # Each entry is rounded by at most a few units of itself (a subnormal half: of the least positive number).
        slack = 4 * resolution + width * (2.0**-25 if dtype == "float16" else 0)
        assert (abs(p.sum(axis=-1) - 1) <= slack).all(), f"{case}: the row sums are {p.sum(axis=-1)}"


@law(TYPES)
def the_order_of_the_logits_is_kept(core, dtype):
    for x in (np.sort(normal(500, dtype=dtype)), np.sort(normal(300, dtype=dtype, scale=100))):
        for function in ("softmax", "log_softmax"):
            y = core.named(function)(x)
            assert (np.diff(y) >= 0).all(), f"{dtype} {function}: a larger logit got less"
        assert (np.diff(core.softmin(x)) <= 0).all(), f"{dtype} softmin: a larger score got more"
    ties = core.softmax(np.array([1.5, 0.25, 1.5, 0.25, 1.5], dtype))
    assert ties[0] == ties[2] == ties[4] and ties[1] == ties[3], f"{dtype}: equal logits got {ties}"


@law(itertools.product(ELEMENTWISE, TYPES))
def one_class_is_certain(core, case):
    function, dtype = case
    for value in (0.0, -3.5, 1e30, -1e30):
        equal(
            core.named(function)(np.array([value], dtype)), [0.0 if function == "log_softmax" else 1.0], (case, value)
        )


@law(TYPES)
def logsumexp_of_one_is_itself(core, dtype):
    for value in (0.0, -3.5, 1e30, -1e30, 0.1):
        x = np.array([value], dtype)
        same_bits(core.logsumexp(x), x[0], (dtype, value))


@law((*TYPES, "float16"))
def softmin_is_softmax_of_the_negated(core, dtype):
    for x in (normal(5, 40, dtype=dtype), np.array([[0.0, np.inf, 1.0], [2.0, -np.inf, 0.0]], dtype)):
        same_bits(core.softmin(x), core.softmax(-x), dtype)
        same_bits(core.softmin(x, axis=0, temperature=0.5), core.softmax(-x, axis=0, temperature=0.5), dtype)


@law(("float32", "float64", "float16", "int32", "uint8"))
def hardmax_shares_among_the_largest(core, dtype):
    x = np.array([[2, 4, 4, 1], [0, 0, 0, 0], [9, 1, 2, 3]]).astype(dtype)
    equal(core.hardmax(x), [[0, 0.5, 0.5, 0], [0.25] * 4, [1, 0, 0, 0]], dtype)
    equal(core.hardmax(x, axis=0), [[0, 1, 1, 0], [0] * 4, [1, 0, 0, 1]], dtype)
    equal(core.hardmax(x[[0, 2]], where=np.array([True, False, True, True])), [[0, 0, 1, 0], [1, 0, 0, 0]], dtype)


@law(itertools.product(TYPES, (1.0, 0.25)))
def soft_argmax_is_the_mean_position(core, case):
    dtype, temperature = case
    for x in (normal(9, dtype=dtype), normal(400, dtype=dtype), np.array([5.0, 0.0, 5.0], dtype), np.zeros(11, dtype)):
        want = ExactRow.of(x, 1 / mpmath.mpf(temperature)).soft_argmax
        got = core.soft_argmax(x, temperature=temperature)
        # The terms i p_i are of one sign: a few units, and the units of the longest sum.
        assert ulp_error(got, want, dtype) <= 8 + 4 * np.log2(len(x)), f"{case}: {got}, exactly {float(want)}"


@law(TYPES)
def entropy_is_sharp(core, dtype):
    """Relative to the entropy itself: on confident rows, with an offset, and with impossible classes."""
    rows = {
        "spread": normal(200, dtype=dtype),
        "confident": np.array([0, -30, -31, -40], dtype),
        "offset": (normal(50) + 2.0**16).astype(dtype),
        "equal": np.full(1000, 3.25, dtype),
        "one": np.array([7.0], dtype),
        "masked": np.where(np.arange(30) % 3 == 0, -np.inf, normal(30)).astype(dtype),
    }
    for name, x in rows.items():
        got, want = core.entropy(x), ExactRow.of(x).entropy
        assert ulp_error(got, want, dtype) <= 16, f"{dtype} {name}: {got!r}, exactly {float(want)!r}"


@law(TYPES)
def entropy_falls_with_the_temperature(core, dtype):
    x = normal(40, dtype=dtype)
    for temperature in (0.125, 0.5, 2.0, 16.0):
        got, want = core.entropy(x, temperature=temperature), ExactRow.of(x, 1 / mpmath.mpf(temperature)).entropy
        assert ulp_error(got, want, dtype) <= 16, f"{dtype} T={temperature}: {got}, exactly {float(want)}"
    equal(core.entropy(x, temperature=0.0), 0, dtype)
    assert abs(core.entropy(x, temperature=np.inf) - np.log(40)) <= 4 * np.finfo(dtype).eps * np.log(40), dtype


@law(TYPES)
def divergence_is_sharp(core, dtype):
    """Relative to the divergence itself, however close the two rows are."""
    a = normal(30, dtype=dtype)
    step = np.asarray(2.0**-12 if dtype == "float32" else 2.0**-26, dtype)
    pairs = {
        "far": (a, normal(30, dtype=dtype, seed=8)),
        "near": (a, (a + step * normal(30, dtype=dtype, seed=9)).astype(dtype)),
        "shifted": (a, (a + np.asarray(4, dtype)).astype(dtype)),
        "wide": (normal(12, dtype=dtype, scale=20), normal(12, dtype=dtype, scale=20, seed=3)),
        "masked in both": (np.array([0, 1, -np.inf], dtype), np.array([1, 1, -np.inf], dtype)),
        "masked in p": (np.array([0, 1, -np.inf], dtype), np.array([1, 1, 0], dtype)),
    }
    for name, (p, q) in pairs.items():
        got, want = core.kl_divergence(p, q), exact_kl(p, q)
        allowed = 64 if name != "shifted" else np.inf
        assert ulp_error(got, want, dtype) <= allowed, f"{dtype} {name}: {got!r}, exactly {float(want)!r}"
        assert got >= 0, f"{dtype} {name}: {got!r} is negative"


@law(TYPES)
def divergence_is_zero_from_itself_and_infinite_from_the_impossible(core, dtype):
    x = normal(3, 20, dtype=dtype)
    equal(core.kl_divergence(x, x), np.zeros(3), dtype)
    equal(core.kl_divergence(np.array([0, 0], dtype), np.array([0, -np.inf], dtype)), np.inf, dtype)
    masked = np.where(np.arange(20) % 4 == 0, -np.inf, x).astype(dtype)
    equal(core.kl_divergence(masked, masked), np.zeros(3), dtype)


@law(TYPES)
def divergence_broadcasts(core, dtype):
    a, b = normal(4, 1, 9, dtype=dtype), normal(5, 9, dtype=dtype, seed=1)
    got = core.kl_divergence(a, b)
    assert got.shape == (4, 5), got.shape
    same_bits(got[2, 3], core.kl_divergence(a[2, 0], b[3]), dtype)
    refuses(lambda: core.kl_divergence(normal(3), normal(4)), ValueError)


@law(TYPES)
def weights_multiply_the_terms(core, dtype):
    x = normal(6, dtype=dtype)
    w = np.array([1, 2, 0, 0.5, 3, 1], dtype)
    want = mpmath.log(
        mpmath.fsum(mpmath.mpf(float(c)) * mpmath.exp(mpmath.mpf(float(v))) for v, c in zip(x, w, strict=True))
    )
    assert ulp_error(core.logsumexp(x, weights=w), want, dtype) <= 8, dtype
    hidden = np.where(w == 0, np.array(np.inf, dtype), x)
    same_bits(core.logsumexp(hidden, weights=w), core.logsumexp(x, weights=w), (dtype, "a weight of 0 takes no part"))
    value, sign = core.logsumexp(np.array([1.0, 2.0], dtype), weights=np.array([1.0, -1.0], dtype), return_sign=True)
    assert sign == -1 and abs(value - np.log(np.exp(2) - np.exp(1))) < 1e-5, f"{dtype}: {value}, {sign}"
    assert np.isnan(core.logsumexp(np.array([1.0, 2.0], dtype), weights=np.array([1.0, -1.0], dtype))), dtype


@law(itertools.product(FUNCTIONS, TYPES))
def an_exact_shift_changes_little(core, case):
    """Adding a power of two to short logits loses nothing, so both answers are those of one exact row."""
    function, dtype = case
    x = (np.round(normal(64) * 64) / 64).astype(dtype)
    moved = core.named(function)((x + np.asarray(512, dtype)).astype(dtype))
    here = core.named(function)(x)
    here = here + np.asarray(512, dtype) if function == "logsumexp" else here
    if function == "kl_divergence":  # asked for KL(x || x / 2), which does depend on the shift
        return
    close = np.abs(np.asarray(moved, float) - np.asarray(here, float)) <= 16 * np.finfo(dtype).eps * np.abs(
        here
    ).astype(float)
    assert close.all(), f"{case}: {moved[~close]} against {here[~close]}"
