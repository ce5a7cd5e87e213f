"""Laws of temperature and base, which are one knob, and of its ends."""

import itertools

import mpmath
import numpy as np
from tests.laws.core.subject import equal, law, normal, refuses, same_bits, within_ulp

FUNCTIONS = ("softmax", "log_softmax")
TYPES = ("float32", "float64")


@law(itertools.product(FUNCTIONS, TYPES, (0.25, 0.5, 2.0, 1024.0)))
def temperature_divides(core, case):
    """A power of two divides without rounding, so the bound is that of temperature 1."""
    function, dtype, temperature = case
    for x in (normal(50, dtype=dtype), normal(7, scale=30, dtype=dtype)):
        within_ulp(core.named(function)(x, temperature=temperature), x, function, 4, case, mpmath.mpf(1) / temperature)


@law(itertools.product(FUNCTIONS, TYPES, (0.3, 0.7, 3.0, 10.0)))
def temperature_keeps_the_offset_out(core, case):
    """(z - m) / T, never z / T - m / T: an offset of a million costs nothing beyond the rounded quotient."""
    function, dtype, temperature = case
    offset = 2**14 if dtype == "float32" else 1e6
    x = (normal(60) + offset).astype(dtype)
    spread = float(x.max() - x.min()) / temperature
    within_ulp(
        core.named(function)(x, temperature=temperature), x, function, 8 + spread, case, 1 / mpmath.mpf(temperature)
    )


@law(itertools.product(FUNCTIONS, ("float32", "float64", "float16", "int32")))
def temperature_zero_is_hardmax(core, case):
    function, dtype = case
    x = np.array([[1, 3, 3, 2], [5, 1, 2, 0], [7, 7, 7, 7]]).astype(dtype)
    share = np.array([[0, 0.5, 0.5, 0], [1, 0, 0, 0], [0.25] * 4])
    kind = core.softmax(x).dtype
    with np.errstate(divide="ignore"):
        want = share if function == "softmax" else np.log(share.astype(np.longdouble)).astype(kind)
    got = core.named(function)(x, temperature=0.0)
    assert np.allclose(got.astype(float), want.astype(float), rtol=float(np.finfo(np.float16).eps) / 8, atol=0), (
        f"{case}: {got}"
    )
    if function == "softmax":
        same_bits(got, core.hardmax(x), case)


@law(itertools.product(FUNCTIONS, ("float32", "float64", "float16")))
def temperature_infinity_is_uniform_over_the_possible(core, case):
    function, dtype = case
    x = np.array([[1, 1e3, -1e3, 2], [-np.inf, 1, 5, -np.inf]]).astype(dtype)
    share = np.array([[0.25] * 4, [0, 0.5, 0.5, 0]])
    with np.errstate(divide="ignore"):
        want = share if function == "softmax" else np.log(share)
    equal(core.named(function)(x, temperature=np.inf), want.astype(dtype), case)
    keep = np.array([True, True, False, False])
    masked = np.array([[0.5, 0.5, 0, 0], [0, 1, 0, 0]])
    with np.errstate(divide="ignore"):
        want = masked if function == "softmax" else np.log(masked)
    equal(core.named(function)(x, temperature=np.inf, where=keep), want.astype(dtype), (case, "where"))


@law(itertools.product(("softmax", "log_softmax", "softmin"), (-1.0, -0.5, np.nan, -np.inf)))
def a_temperature_is_not_negative(core, case):
    function, temperature = case
    refuses(lambda: core.named(function)(normal(2, 3), temperature=temperature), ValueError, "temperature")


@law(itertools.product(FUNCTIONS, TYPES, (2.0, 10.0, 1.5)))
def a_base_is_a_temperature(core, case):
    """psi^x = e^(x ln psi): the rounding of ln psi costs at most half a unit per unit of the exponent."""
    function, dtype, base = case
    for x in (np.array([0, 1, 2, 3], dtype), normal(30, dtype=dtype)):
        beta = mpmath.log(base)
        spread = float((x.max() - x.min()) * beta)
        within_ulp(core.named(function)(x, base=base), x, function, 4 + spread, case, beta)


@law(itertools.product(FUNCTIONS, (0.0, -2.0, np.nan)))
def a_base_is_positive(core, case):
    function, base = case
    refuses(lambda: core.named(function)(normal(2, 3), base=base), ValueError, "base")
