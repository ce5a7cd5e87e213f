"""Each wrong formula of the source texts beside the right one, both held against differences with 60 digits.

docs/errata.md states the claims and runs its own numbers; here the formulas are evaluated in mpmath, so that neither
the page nor the library is trusted.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from mpmath import digamma, exp, ln, log10, matrix, mp, mpf

import softmaxes as sm

mp.dps = max(mp.dps, 60)
PAGE = (Path(__file__).parent.parent / "docs" / "errata.md").read_text()
Z = [mpf("0.3"), mpf("-1.2"), mpf("0.8")]
STEP = mpf(10) ** -20
ENTRIES = re.findall(r"^### (\d+\.\d+) \((.+?)\)\n\n\*Claim\.\* (.+?)\n\n\*Right\.\* (.+?)\n", PAGE, re.M)


def softmax(z):
    e = [exp(x) for x in z]
    return [x / sum(e) for x in e]


def entropy(z):
    return -sum(p * ln(p) for p in softmax(z))


def slope(f, z, k):
    """Return df/dz_k by a central difference."""
    up, down = list(z), list(z)
    up[k] += STEP
    down[k] -= STEP
    return (f(up) - f(down)) / (2 * STEP)


def gradient(f, z=Z):
    return [slope(f, z, k) for k in range(len(z))]


def hessian(f, z=Z):
    return [[slope(lambda x, i=i: slope(f, x, i), z, j) for j in range(len(z))] for i in range(len(z))]


P, H = softmax(Z), entropy(Z)
A = [ln(p) + H for p in P]
INDICES = range(3)


def delta(i, j):
    return mpf(int(i == j))


def second(i, j, k):
    """Return d2 p_i / dz_j dz_k, by differences."""
    return slope(lambda x: slope(lambda y: softmax(y)[i], x, k), Z, j)


def loss(q, base_log=ln):
    return lambda z: -sum(a * base_log(b) for a, b in zip(q, softmax(z), strict=True) if a)


Q = [mpf("0.5"), mpf("0.25"), mpf("0.25")]
HOT = [mpf(1), mpf(0), mpf(0)]
D = [mpf("0.01"), mpf("-0.02"), mpf("0.015")]


def batch(z):
    """The mean loss of two samples, the first with logits z."""
    return (loss(HOT)(z) + loss([mpf(0), mpf(1), mpf(0)])(Z)) / 2


def _quadratic(first, hess):
    return H + sum(a * b for a, b in zip(first, D, strict=True)) + sum(
        hess[i][j] * D[i] * D[j] for i in INDICES for j in INDICES
    ) / 2  # fmt: skip


RIGHT_HESSIAN = [[-delta(i, j) * P[i] * (1 + A[i]) + P[i] * P[j] * (1 + A[i] + A[j]) for j in INDICES] for i in INDICES]
CLAIMED_HESSIAN = [[delta(i, j) * P[i] - P[i] * P[j] for j in INDICES] for i in INDICES]

# number of the claim: (what it claims, what is right, what the differences say)
FORMULAS = {
    "1.1": ([p - 1 for p in P], [-p * a for p, a in zip(P, A, strict=True)], gradient(entropy)),
    "1.2": (CLAIMED_HESSIAN, RIGHT_HESSIAN, hessian(entropy)),
    "1.4": (P[0] * P[1] * (2 * P[0] - 1), P[0] * P[1] * (2 * P[1] - 1), second(0, 1, 1)),
    "1.5": (2 * P[0] * P[1] * P[0], P[0] * P[1] * (2 * P[0] - 1), second(0, 1, 0)),
    "2.2": (
        [x / ln(10) for x in gradient(loss(HOT))],
        [p - h for p, h in zip(P, HOT, strict=True)],
        gradient(loss(HOT)),
    ),
    "2.3": (-(P[0] ** 2), -P[0] * P[1], slope(lambda z: softmax(z)[0], Z, 1)),
    "2.4": (
        [-sum(Q[j] * (delta(j, k) - P[j]) for j in INDICES) for k in INDICES],
        [P[k] - Q[k] for k in INDICES],
        gradient(loss(Q)),
    ),
    "2.5": ([-(delta(0, k) - P[0]) for k in INDICES], [P[k] - delta(0, k) for k in INDICES], gradient(loss(HOT))),
    "2.6": (
        [(P[k] - delta(0, k) + P[k] - delta(1, k)) / 2 for k in INDICES],
        [(P[k] - delta(0, k)) / 2 for k in INDICES],
        gradient(batch),
    ),
    "4.2": (-ln(mpf("421.35")) - 1, -ln(mpf("421.35")), None),
}


def distance(a, b):
    return max(abs(x) for x in matrix(a) - matrix(b)) if isinstance(a, list) else abs(a - b)


@pytest.mark.parametrize("number", [n for n in FORMULAS if FORMULAS[n][2] is not None])
def test_the_claim_is_refuted_and_the_right_formula_holds(number):
    claimed, right, exact = FORMULAS[number]
    assert distance(claimed, exact) > 1e-3
    assert distance(right, exact) < mpf(10) ** -15


def test_the_librarys_answers_are_the_right_ones():
    z, m = np.array([float(x) for x in Z]), sm.Softmax()
    assert np.allclose(m.entropy_gradient(z), [float(x) for x in FORMULAS["1.1"][1]], rtol=1e-14)
    assert np.allclose(
        m.entropy_hessian_product(z, np.eye(3)), [[float(x) for x in row] for row in RIGHT_HESSIAN], rtol=1e-13
    )
    unit = np.eye(3)
    for i in INDICES:
        for j in INDICES:
            exact = [float(second(i, j, k)) for k in INDICES]
            assert np.allclose(m.second_derivative(z, unit[i], unit[j]), exact, rtol=1e-13, atol=1e-16)
    _, slopes = sm.cross_entropy_and_gradient(z, [float(x) for x in Q])
    assert np.allclose(slopes, [float(x) for x in FORMULAS["2.4"][2]], rtol=1e-14)


def test_the_claimed_hessian_is_minus_the_right_one_at_equal_logits():
    flat = hessian(entropy, [mpf(1)] * 3)
    claimed = [[delta(i, j) / 3 - mpf(1) / 9 for j in INDICES] for i in INDICES]
    assert distance([[-x for x in row] for row in claimed], flat) < mpf(10) ** -15


def test_the_claimed_expansion_is_off_by_a_hundredth():
    exact = entropy([a + b for a, b in zip(Z, D, strict=True)])
    assert abs(_quadratic(FORMULAS["1.1"][0], CLAIMED_HESSIAN) - exact) > 1e-2
    assert abs(_quadratic(FORMULAS["1.1"][1], RIGHT_HESSIAN) - exact) < 1e-6


def test_the_second_derivative_is_symmetric_in_all_three_indices():
    for i in INDICES:
        for j in INDICES:
            for k in INDICES:
                value = second(i, j, k)
                assert abs(value - second(k, i, j)) < mpf(10) ** -15 and abs(value - second(j, i, k)) < mpf(10) ** -15


def test_losses_in_base_ten_and_in_nats_differ_by_the_logarithm_of_ten():
    ten, nats = gradient(loss(HOT, log10)), gradient(loss(HOT))
    assert distance([x * ln(10) for x in ten], nats) < mpf(10) ** -15


def test_the_two_class_probability_has_its_rows_the_right_way_round():
    first = exp(mpf("0.4")) / (exp(mpf("0.4")) + exp(mpf("1.7")))
    assert abs(1 / (1 + exp(mpf("1.3"))) - first) < mpf(10) ** -50
    assert abs(1 / (1 + exp(mpf("-1.3"))) - first) > 0.5


def test_stirling_without_the_one():
    """d ln n! / dn is digamma(n + 1): ln n is within 1/(2n) of it, the claimed ln n + 1 is off by almost 1."""
    claimed, right, _ = FORMULAS["4.2"]
    exact = -digamma(mpf("422.35"))
    assert abs(right - exact) < 1 / (2 * mpf("421.35")) and abs(claimed - exact) > 0.99


def test_a_margin_on_every_entry_is_no_distribution():
    """Softmax with the margin on the entry that is being evaluated adds up to less than 1."""
    entries = [exp(mpf(-1)) / (exp(mpf(-1)) + 1) for _ in range(2)]
    assert abs(sum(entries) - mpf("0.537882842739990")) < 1e-14


def test_every_claim_is_on_the_page_once_with_what_is_right():
    numbers = [n for n, *_ in ENTRIES]
    counts = {0: 17, 1: 13, 2: 9, 3: 8, 4: 13}
    assert numbers == [f"{text}.{i}" for text, last in counts.items() for i in range(1, last + 1)]
    assert all(claim and right for *_, claim, right in ENTRIES)
    assert len(re.findall(r"^### ", PAGE, re.M)) == len(ENTRIES)


def test_every_wrong_claim_with_a_number_has_one_on_the_page():
    """A wrong claim is followed by a session, unless it is about notation alone (3.3, 4.3)."""
    for section in re.split(r"^### ", PAGE, flags=re.M)[1:]:
        number, verdict = re.match(r"(\d+\.\d+) \((.+?)\)", section).groups()
        if verdict in ("wrong", "unstable") and number not in ("3.3", "4.3"):
            assert ">>>" in section, number
