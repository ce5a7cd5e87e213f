"""Laws of the dtype table: what comes in decides what comes out, and nothing wraps, overflows or is rounded twice."""

import numpy as np
from tests.laws.core.subject import BFLOAT16, ELEMENTWISE, FUNCTIONS, equal, law, normal, same_bits, within_ulp

RESULT_TYPES = {
    np.dtype(bool): np.float32,
    **{np.dtype(t): np.float32 for t in ("int8", "uint8", "int16", "uint16")},
    **{np.dtype(t): np.float64 for t in ("int32", "uint32", "int64", "uint64")},
    np.dtype(np.float16): np.float16,
    BFLOAT16: BFLOAT16,
    np.dtype(np.float32): np.float32,
    np.dtype(np.float64): np.float64,
    np.dtype(np.longdouble): np.longdouble,
}
INTEGERS = [dtype for dtype in RESULT_TYPES if dtype.kind in "biu"]
HALVES = [np.dtype(np.float16), BFLOAT16]


def extremes(dtype):
    """Return a row that wraps around if it is subtracted in its own type."""
    if dtype.kind == "b":
        return np.array([True, False, True])
    info = np.iinfo(dtype)
    return np.array([info.min, 1, info.max, info.max - 1, info.min + 2, 3], dtype)


@law((function, dtype) for function in FUNCTIONS for dtype in RESULT_TYPES)
def result_type_follows_the_table(core, case):
    function, dtype = case
    x = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    got = core.kl_divergence(x, x) if function == "kl_divergence" else core.named(function)(x)
    assert got.dtype == RESULT_TYPES[dtype], f"{case}: {got.dtype}, expected {np.dtype(RESULT_TYPES[dtype])}"


@law((function, dtype) for function in ("softmax", "log_softmax", "logsumexp") for dtype in INTEGERS)
def integers_become_floating_before_any_subtraction(core, case):
    function, dtype = case
    for x in (extremes(dtype), extremes(dtype)[::-1], np.array([1, 0], dtype), np.array([0, 1], dtype)):
        converted = x.astype(RESULT_TYPES[dtype])
        within_ulp(core.named(function)(x), converted, function, 4, (case, x))
        same_bits(core.named(function)(x), core.named(function)(converted), (case, x))


@law((function, dtype) for function in ("softmax", "log_softmax", "logsumexp") for dtype in HALVES)
def half_types_are_rounded_once(core, case):
    function, dtype = case
    for x in (normal(300, dtype=dtype), normal(9, scale=30, dtype=dtype), normal(5000, scale=0.1, dtype=dtype)):
        within_ulp(core.named(function)(x), x, function, 0.51, (case, len(x)))


@law(HALVES)
def half_types_sum_further_than_they_count(core, dtype):
    x = np.zeros(100_000, dtype)
    equal(core.softmax(x), np.full(100_000, 1e-5).astype(dtype), dtype)
    equal(core.logsumexp(x), np.asarray(np.log(100_000.0)).astype(dtype), dtype)


@law(function for function in ("softmax", "log_softmax", "logsumexp"))
def longdouble_keeps_its_digits(core, function):
    for x in (normal(40), normal(40, scale=40), 1e6 + normal(40), np.array([0.0, -43.0])):
        row = x.astype(np.longdouble) + np.longdouble(2) ** -60
        within_ulp(core.named(function)(row), row, function, 16, (function, x[:2]))


@law((function, dtype) for function in ELEMENTWISE for dtype in (np.float32, np.float64))
def other_byte_order_is_the_same_numbers(core, case):
    function, dtype = case
    x = normal(3, 17, dtype=dtype)
    swapped = x.astype(x.dtype.newbyteorder())
    got = core.named(function)(swapped)
    assert got.dtype.isnative, f"{case}: the result came back in foreign byte order"
    same_bits(got, core.named(function)(x), case)
