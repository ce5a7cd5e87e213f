"""The table of exact results, vectors.json: recomputed in mpmath, and held against the library.

The recomputation keeps the table honest: it is the generator's twin for the functions of the core. `scale` is the
natural size of the forward error of a plain implementation (see the table's schema); 4 + log2 K such units are allowed.
"""

import json
from pathlib import Path

import mpmath
import numpy as np
import pytest
from mpmath import mpf
from tests.accuracy.oracle import ExactRow, exact_kl, ulp_error

import softmaxes

TABLE = json.loads(Path(__file__).with_name("vectors.json").read_text())
CORE = ("softmax", "log_softmax", "logsumexp", "entropy", "soft_argmax", "kl")
CASES = [
    case for case in TABLE["cases"] if case["fn"] in CORE and "policy" not in case["tags"]
]  # cases tagged policy follow the peers' NaN for +inf; this library gives the limit


def numbers(values):
    return np.array([float(v) for v in np.atleast_1d(np.array(values, object))])


def beta_of(given):
    if "base" in given:
        return mpmath.log(mpf(given["base"]))
    return mpf(given.get("beta", 1)) / mpf(given.get("temperature", 1))


def knob_of(given):
    """Return the library's option for the case: beta is a temperature, and the negative one a softmin."""
    if "base" in given:
        return {"base": given["base"]}
    return {"temperature": abs(given.get("temperature", 1) / given.get("beta", 1))}


def finite(case):
    return "non-finite" not in case["tags"]


@pytest.mark.parametrize("case", [c for c in CASES if finite(c)], ids=lambda c: c["id"])
def test_the_table_is_exact(case):
    given = case["in"]
    if case["fn"] == "kl":
        want = [exact_kl(numbers(given["a"]), numbers(given["b"]))]
    else:
        row = ExactRow.of(numbers(given["x"]), beta_of(given))
        want = getattr(row, case["fn"])
        want = [want[i] for i in row.inverse] if isinstance(want, list) else [want]
    assert [float(w) for w in want] == numbers(case["out64"]["value"]).tolist()


RUNS = [(case, dtype) for case in CASES for dtype in ("float64", "float32") if dtype == "float64" or case["f32"]]


@pytest.mark.parametrize(("case", "dtype"), RUNS, ids=lambda value: value["id"] if isinstance(value, dict) else value)
def test_the_library_meets_the_table(case, dtype):
    given = case["in"]
    if case["fn"] == "kl":
        got = softmaxes.kl_divergence(numbers(given["a"]).astype(dtype), numbers(given["b"]).astype(dtype))
        size = len(given["a"])
    else:
        x, size = numbers(given["x"]).astype(dtype), len(given["x"])
        if case["fn"] == "logsumexp":
            got = softmaxes.logsumexp(x * np.asarray(given.get("beta", 1), dtype))
        elif given.get("beta", 1) < 0:
            got = softmaxes.softmin(x, **knob_of(given))
        else:
            got = getattr(softmaxes, case["fn"])(x, **knob_of(given))
    want = numbers(case["out64" if dtype == "float64" else "out32"]["value"])
    unit = np.finfo(dtype).eps / 2
    tail = np.finfo(dtype).smallest_subnormal * (1000 if case["fn"] in ("entropy", "kl") else 1)
    scale = numbers(case.get("scale", {}).get("value", np.where(np.isfinite(want), want, 0)))
    allowed = (4 + np.log2(max(size, 1))) * unit * scale + tail
    for g, w, a in zip(np.atleast_1d(got), want, np.broadcast_to(allowed, want.shape), strict=True):
        assert g == w or (np.isnan(g) and np.isnan(w)) or abs(float(g) - w) <= a, f"{g!r}, exactly {w!r}, allowed +-{a}"


def test_a_unit_of_error_is_seen():
    assert ulp_error(np.float32(1) + np.float32(2) ** -23, mpf(1), np.float32) == 1
    assert ulp_error(np.float64(0), mpf(2) ** -1074, np.float64) == 1
    assert ulp_error(np.float64("inf"), mpf(10) ** 400, np.float64) == 0
    assert ulp_error(np.float64("nan"), mpf(1), np.float64) == np.inf
    assert ulp_error(np.float64(1e-300), mpf(0), np.float64) == np.inf
