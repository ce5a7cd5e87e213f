"""Every worked number of the source texts that is right, reproduced to the digits that were printed."""

import math

import numpy as np
import pytest

import softmaxes as sm

# what it is, what the library says, what is printed (rounded as there)
PRINTED = [
    ("softmax of [0, 2, 3]", lambda: sm.softmax([0, 2, 3]), [0.03511903, 0.25949646, 0.70538451]),
    ("softmax of [5, 7, 8]", lambda: sm.softmax([5, 7, 8]), [0.03511903, 0.25949646, 0.70538451]),
    ("sum of [0, 2, 3]", lambda: sm.linear_normalize([0, 2, 3]), [0.0, 0.4, 0.6]),
    ("sum of [5, 7, 8]", lambda: sm.linear_normalize([5, 7, 8]), [0.25, 0.35, 0.4]),
    ("shifted sum of [5, 7, 8]", lambda: sm.linear_normalize([5, 7, 8], shift="min"), [0.0, 0.4, 0.6]),
    ("shifted sum of [-2, 0, 1]", lambda: sm.linear_normalize([-2, 0, 1], shift="min"), [0.0, 0.4, 0.6]),
    ("shifted sum of [5, 7, 8.2]", lambda: sm.linear_normalize([5, 7, 8.2], shift="min"), [0.0, 0.385, 0.615]),
    ("the table", lambda: sm.softmax([1.5, 5.2, 2.3, 0.8]), [0.0226401, 0.9157307, 0.0503865, 0.0112427]),
    ("its exponentials", lambda: [math.exp(5.2)], [181.2722419]),
    ("sensitivity, 3.2", lambda: sm.softmax([0, 2, 3.2])[:1], [0.0303752]),
    ("sensitivity, 3.5", lambda: sm.softmax([0, 2, 3.5])[[0, 2]], [0.0240938, 0.797876]),
    ("sensitivity, 3.8", lambda: sm.softmax([0, 2, 3.8])[1:], [0.139179, 0.841985]),
    ("sensitivity, 6", lambda: sm.softmax([0, 2, 6])[1:], [0.0179425, 0.9796292]),
    ("sensitivity, 7", lambda: sm.softmax([0, 2, 7]), [0.000905, 0.006687, 0.992408]),
    ("five scores", lambda: sm.softmax([0, 10, 15, 18, 20]), [0.0, 0.0, 0.0059, 0.1185, 0.8756]),
    ("18 becomes 19", lambda: sm.softmax([0, 10, 15, 19, 20])[4:], [0.7275]),
    ("the loss of the winner", lambda: [sm.cross_entropy([0, 10, 15, 18, 20], 4)], [0.13288]),
    ("the loss of the third", lambda: [sm.cross_entropy([0, 10, 15, 18, 20], 2)], [5.13288]),
    ("hardmax of [2, 4, 2, 1]", lambda: sm.hardmax([2, 4, 2, 1]), [0.0, 1.0, 0.0, 0.0]),
    ("sum of [2, 4, 2, 1]", lambda: sm.linear_normalize([2, 4, 2, 1]), [0.2222, 0.4444, 0.2222, 0.1111]),
    ("softmax of [2, 4, 2, 1]", lambda: sm.softmax([2, 4, 2, 1]), [0.1025, 0.7573, 0.1025, 0.0377]),
    ("base 1", lambda: sm.softmax([2, 4, 2, 1], base=1), [0.25, 0.25, 0.25, 0.25]),
    ("base 100", lambda: sm.softmax([2, 4, 2, 1], base=100)[1:2], [0.9998]),
    ("log-softmax of [1, 2, 3, 10]", lambda: sm.log_softmax([1, 2, 3, 10]), [-9.0014, -8.0014, -7.0014, -0.0014]),
    ("soft argmax of [2, 4, 18, 3]", lambda: [sm.soft_argmax([2, 4, 18, 3])], [1.999999249]),
    ("Taylor's [-1, 0, -2]", lambda: sm.taylor_softmax([-1, 0, -2]), [0.2, 0.4, 0.4]),
    ("energies with mean 1", lambda: sm.softmax(np.arange(4) * beta(1.0)), [0.421, 0.277, 0.182, 0.120]),
    ("beta for the means 1 and 2.2", lambda: [beta(1.0), beta(2.2)], [-0.4196, 0.6185]),
]


def beta(mean):
    return float(sm.maximum_entropy.beta_from_mean(np.arange(4.0), mean))


def digits(number):
    """Return how many decimals were printed."""
    return len(repr(number).partition(".")[2])


@pytest.mark.parametrize("what, computed, printed", PRINTED, ids=[what for what, *_ in PRINTED])
def test_printed_numbers(what, computed, printed):
    got = [float(x) for x in computed()]
    decimals = max(digits(x) for x in printed)
    assert [round(x, decimals) for x in got] == printed


def test_log_softmax_is_x_minus_max_less_its_error():
    """x - max x is too large by L = log1p(the others), the same for all: 0 <= L <= log1p((n - 1) e^-gap) <= log n."""
    for x in map(np.array, ([1.0, 2.0, 3.0, 10.0], [0.0, 0.0, 0.0], [5.0, 4.0], [-3.0, 8.0, 7.5])):
        error = (x - x.max()) - sm.log_softmax(x)
        gap = np.diff(np.sort(x))[-1]
        assert np.allclose(error, error[0], rtol=1e-12)
        assert 0 <= error[0] <= np.log1p((len(x) - 1) * np.exp(-gap)) * (1 + 1e-15) <= np.log(len(x)) * (1 + 1e-14)


def test_rounded_soft_argmax_is_the_maximum_here():
    assert round(float(sm.soft_argmax([2, 4, 18, 3]))) == 2
