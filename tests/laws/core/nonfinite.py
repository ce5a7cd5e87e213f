"""Laws of NaN, +inf and -inf among the logits."""

import itertools

import numpy as np
from tests.laws.core.subject import ELEMENTWISE, FUNCTIONS, equal, law, normal, same_bits, within_ulp

TYPES = ("float32", "float64", "float16", "longdouble")
WIDTHS = (2, 5, 16, 33, 200, 1500)


@law(itertools.product(FUNCTIONS, TYPES))
def nan_stays_in_its_row(core, case):
    function, dtype = case
    call = core.named(function)
    for width in WIDTHS:
        clean = normal(4, width, dtype=dtype)
        for position in {0, width // 2, width - 1}:
            for other in (0.0, np.inf, -np.inf):
                x = clean.copy()
                x[1, :] = other
                x[1, position] = np.nan
                got, want = call(x), call(clean)
                same_bits(got[[0, 2, 3]], want[[0, 2, 3]], (case, width, position))
                assert np.isnan(np.asarray(got[1], np.float64)).all(), f"{case}: NaN beside {other} gave {got[1]}"


@law(itertools.product(("softmax", "log_softmax", "logsumexp"), TYPES))
def minus_infinity_contributes_nothing(core, case):
    function, dtype = case
    bound = {"float16": 0.51, "longdouble": 16}.get(dtype, 4)
    for width in WIDTHS:
        x = normal(width, dtype=dtype)
        x[::2] = -np.inf
        got = core.named(function)(x)
        within_ulp(got, x, function, bound, (case, width))
        if function != "logsumexp":
            gone = 0 if function == "softmax" else -np.inf
            equal(got[::2], np.full(len(x[::2]), gone), (case, width))


@law(itertools.product(TYPES, WIDTHS))
def plus_infinity_is_the_limit(core, case):
    dtype, width = case
    for count in {1, 2, min(width, 7)}:
        x = normal(3, width, dtype=dtype)
        x[1, :] = np.where(np.arange(width) % 3 == 1, -np.inf, x[1]).astype(dtype)
        top = np.random.default_rng([width, count]).permutation(width)[:count]
        x[1, top] = np.inf
        share, logs = np.zeros(width), np.full(width, -np.inf)
        share[top] = np.ones((), dtype) / np.asarray(count, dtype)
        logs[top] = -np.log(np.asarray(count, np.longdouble)).astype(dtype) + 0.0
        alone = normal(3, width, dtype=dtype)
        for function, want in (("softmax", share), ("log_softmax", logs), ("hardmax", share)):
            got = core.named(function)(x)
            exactly = np.asarray(got[1], np.float64)
            assert np.allclose(exactly[top], want[top], rtol=float(np.finfo(dtype).eps), atol=0), (
                f"{case} {function}: {exactly[top]}"
            )
            rest = np.delete(exactly, top)
            equal(rest, np.delete(want, top), (case, function))
            same_bits(got[[0, 2]], core.named(function)(alone)[[0, 2]], (case, function, "other rows"))
        equal(core.logsumexp(x)[1], np.inf, case)
        equal(core.soft_argmax(x)[1].astype(np.float16), np.asarray(np.mean(top)).astype(np.float16), case)


@law(itertools.product(ELEMENTWISE, ("float32", "float64")))
def results_are_numbers_for_finite_rows(core, case):
    function, dtype = case
    top = np.finfo(dtype).max
    for row in ([top, -top], [top, top], [-top, -top, -top], [top, 0.0, -top], [np.finfo(dtype).tiny, 0.0]):
        got = core.named(function)(np.array(row, dtype))
        assert not np.isnan(got).any(), f"{case}: {row} gave {got}"
