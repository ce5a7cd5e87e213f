"""The promised errors, on the public table of rows, against mpmath: an oracle that shares nothing with the library."""

from functools import cache

import mpmath
import numpy as np
import pytest
from tests.accuracy.oracle import ExactRow, largest_ulp_error

import softmaxes
from softmaxes import certify, contracts, reference

FLOATING = {"bool": "float32", "uint8": "float32", "int8": "float32", "int32": "float64", "int64": "float64"}
QUICK = [case for case in certify.CASES if not case.long]
FINITE = [case for case in QUICK if case.name != "limit"]  # the limit has a closed form: tests/laws/core/nonfinite.py


@cache
def exactly(case, dtype):
    return ExactRow.of(case.row(dtype))


def rows(cases):
    return [pytest.param(case, dtype, id=f"{case.name}-{dtype}") for case in cases for dtype in case.dtypes]


@pytest.mark.parametrize(("case", "dtype"), rows(FINITE))
def test_the_promise_is_kept(case, dtype):
    row = case.row(dtype)
    exact = exactly(case, dtype)
    for function in certify.FUNCTIONS:
        error = largest_ulp_error(getattr(softmaxes, function)(row), exact, function)
        bound = contracts.promised_ulp(function, FLOATING.get(dtype, dtype))
        assert error <= bound, f"{function}: {error:.3f} ULP, promised are {bound}"


@pytest.mark.parametrize(("case", "dtype"), rows(FINITE))
def test_the_two_oracles_agree(case, dtype):
    """The decimal reference of the certificate has 60 digits, of which full cancellation takes 17."""
    row = case.row(dtype)
    decimal, binary = reference.exact_row(row), exactly(case, dtype)
    for function in certify.FUNCTIONS:
        ours, theirs = np.atleast_1d(getattr(decimal, function)), np.atleast_1d(getattr(binary, function))
        for a, b in list(zip(ours, theirs, strict=True))[:: max(1, len(ours) // 100)]:
            number = mpmath.mpf(str(a).replace("Infinity", "inf"))
            slack = abs(b) * mpmath.mpf("1e-40") + mpmath.mpf("1e-8000")
            assert number == b or abs(number - b) <= slack, (function, a, b)


@pytest.mark.parametrize("width", [2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 127, 129, 1000, 1023, 1025, 4099])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_width_keeps_the_promise(width, dtype):
    """Tails of vectors and blocks: the same bound at every width, at several spreads and offsets."""
    rng = np.random.default_rng(width)
    for scale, offset in ((1, 0), (30, 0), (3, 1e3), (0.01, -50), (300, 0)):
        row = rng.normal(offset, scale, width).astype(dtype)
        exact = ExactRow.of(row)
        for function in certify.FUNCTIONS:
            error = largest_ulp_error(getattr(softmaxes, function)(row), exact, function)
            bound = contracts.promised_ulp(function, dtype)
            assert error <= bound, f"{function}, scale {scale}, offset {offset}: {error:.3f} ULP, promised are {bound}"
