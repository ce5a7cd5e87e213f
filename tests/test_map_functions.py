"""The members as plain functions: axes, masks, empty rows, out=, dtypes; and the two-class functions."""

import numpy as np
import pytest
from mpmath import exp, log1p, mpf, workdps

import softmaxes as sm

RNG = np.random.default_rng(0)
FUNCTIONS = {
    "sparsemax": (sm.sparsemax, sm.Sparsemax()),
    "entmax": (sm.entmax, sm.Entmax(1.5)),
    "entmax 1.3": (lambda x, axis=-1, **o: sm.entmax(x, 1.3, axis, **o), sm.Entmax(1.3)),
    "taylor_softmax": (lambda x, axis=-1, **o: sm.taylor_softmax(x, 4, axis, **o), sm.Taylor(4)),
    "spherical_softmax": (lambda x, axis=-1, **o: sm.spherical_softmax(x, 0.5, axis, **o), sm.Spherical(0.5)),
    "linear_normalize": (sm.linear_normalize, sm.Linear()),
    "linear_normalize min": (lambda x, axis=-1, **o: sm.linear_normalize(x, axis, shift="min", **o), sm.MinShift()),
}


@pytest.fixture(params=FUNCTIONS, name="pair")
def _pair(request):
    return FUNCTIONS[request.param]


def test_any_axes(pair):
    function, member = pair
    x = RNG.uniform(0.1, 2, (2, 3, 4))
    assert np.array_equal(function(x), member(x))
    assert np.allclose(function(x, axis=0), np.moveaxis(member(np.moveaxis(x, 0, -1)), -1, 0), rtol=1e-15)
    assert np.allclose(function(x, axis=(0, 2)).sum((0, 2)), 1, rtol=1e-14)
    assert np.allclose(function(x, axis=None).reshape(-1), member(x.reshape(-1)), rtol=1e-15)
    assert float(function(3.0)) == 1.0
    with pytest.raises(ValueError, match="axis 3 is out of bounds"):
        function(x, axis=3)


def test_masks_and_rows_without_a_class(pair):
    function, member = pair
    x = RNG.uniform(0.1, 2, (3, 4))
    where = np.array([True, False, True, True])
    assert np.array_equal(np.delete(function(x, where=where), 1, -1), member(np.delete(x, 1, -1)))
    nothing = np.array([[False] * 4, [True] * 4, [True] * 4])
    assert np.all(np.isnan(function(x, where=nothing)[0])) and not np.isnan(function(x, where=nothing)[1:]).any()
    assert np.all(function(x, where=nothing, empty="zero")[0] == 0)
    assert np.all(function(x, where=nothing, empty="uniform")[0] == 0.25)
    with pytest.raises(ValueError, match="no possible class"):
        function(x, where=nothing, empty="raise")
    assert np.array_equal(function(x, where=where, empty="raise"), function(x, where=where))
    for options, error in (({"empty": "none"}, ValueError), ({"where": [1, 0, 1, 1]}, TypeError)):
        with pytest.raises(error):
            function(x, **options)
    with pytest.raises(ValueError, match="broadcast"):
        function(x, where=[True, False])


def test_out_and_dtypes(pair):
    function, _ = pair
    x = RNG.uniform(0.1, 2, (3, 4))
    expected = function(x)
    place = x.copy()
    assert function(place, out=place) is place and np.array_equal(place, expected)
    with pytest.raises(ValueError, match="shape"):
        function(x, out=np.empty((4, 3)))
    assert function(np.array([[1, 2, 3]], np.uint8)).dtype == np.float32
    assert function(np.array([[1, 2, 3]])).dtype == np.float64
    assert function(x.astype(np.float16)).dtype == np.float16
    assert function(x.astype(np.longdouble)).dtype == np.longdouble
    for layout in (np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2], x.astype(">f8"), np.broadcast_to(x, (2, 3, 4))):
        assert np.array_equal(function(layout), np.broadcast_to(expected, layout.shape))
    for bad in (np.array([1j]), np.array(["a"]), np.ma.array([1.0, 2.0], mask=[0, 1])):
        with pytest.raises(TypeError):
            function(bad)
    assert function(np.zeros((0, 3))).shape == (0, 3)


def test_unknown_shift():
    with pytest.raises(ValueError, match="'none' or 'min'"):
        sm.linear_normalize([1.0], shift="max")


POINTS = [-np.inf, -800.0, -745.0, -700.0, -40.0, -1.0, -1e-9, 0.0, 1e-9, 0.5, 17.0, 40.0, 700.0, 800.0, np.inf]


@pytest.mark.parametrize("x", POINTS)
def test_two_class_functions_are_accurate_everywhere(x):
    with workdps(800):
        t = mpf(x)
        exact = {
            sm.sigmoid: 1 / (1 + exp(-t)) if x > -np.inf else mpf(0),
            sm.log_sigmoid: -log1p(exp(-t)) if x > -np.inf else t,
            sm.softplus: log1p(exp(t)) if x < np.inf else t,
        }
        for function, expected in exact.items():
            assert float(function(x)) == pytest.approx(float(expected), rel=4e-16, abs=5e-324), function.__name__


def test_two_class_functions_are_softmax_of_two():
    z = RNG.normal(size=50) * 5
    pair = np.stack([z, np.zeros(50)], -1)
    assert np.allclose(sm.sigmoid(z), sm.softmax(pair)[:, 0], rtol=1e-15)
    assert np.allclose(sm.log_sigmoid(z), sm.log_softmax(pair)[:, 0], rtol=4e-15)
    assert np.allclose(sm.softplus(z), sm.logsumexp(pair), rtol=4e-15)
    assert sm.sigmoid(np.float32(1)).dtype == np.float32 and sm.softplus([1, 2]).dtype == np.float64
    assert np.isnan(sm.sigmoid(np.nan)) and np.isnan(sm.softplus(np.nan))
