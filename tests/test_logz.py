"""The log-partition state: exact merging (the same bits for any cut and any order), and read-outs against mpmath."""

import functools
import itertools
import json
import math
import runpy
from pathlib import Path

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import exp, log1p, mp, mpf

import softmaxes as sm
from softmaxes import logz
from softmaxes.logz import LogZ

ROOT = Path(__file__).resolve().parents[1]
VECTORS = json.loads((ROOT / "tests" / "accuracy" / "vectors.json").read_text())
ONLINE = [case for case in VECTORS["cases"] if case["fn"] == "online"]
READ_OUTS = ("log_z", "entropy", "mean", "variance", "soft_argmax")


def read_outs(state):
    return np.array([getattr(state, name) for name in READ_OUTS])


def exact(x):
    """Return the read-outs of a row with a finite maximum, by mpmath, and the spread of its logits."""
    with mp.workdps(60):
        kept = [(i, mpf(float(v))) for i, v in enumerate(x) if v > -np.inf]
        top = max(v for _, v in kept)
        at = next(i for i, v in kept if v == top)
        weights = [(i, v, exp(v - top)) for i, v in kept]
        others = sum((w for i, _, w in weights if i != at), mpf(0))
        first = sum(((v - top) * w for _, v, w in weights), mpf(0)) / (1 + others)
        variance = sum(((v - top - first) ** 2 * w for _, v, w in weights), mpf(0)) / (1 + others)
        index = sum((i * w for i, _, w in weights), mpf(0)) / (1 + others)
        return {
            "log_z": top + log1p(others),
            "entropy": log1p(others) - first,
            "mean": top + first,
            "variance": variance,
            "soft_argmax": index,
        }


ROWS = {
    "normal": np.random.default_rng(0).normal(size=300),
    "wide": np.random.default_rng(1).normal(size=300) * 40,
    "one": np.array([-3.7]),
    "saturated": np.array([0.0, -52.375, -52.25]),
    "far below": np.array([0.3, -700.4, -744.0]),
    "offset": np.random.default_rng(2).normal(size=50) + 1e6,
    "huge": np.array([1.7e308, 1.7e308, -1.7e308]),
    "masked": np.array([-np.inf, 1.0, -np.inf, 2.5]),
    "equal": np.full(70, -2.3),
    "just below zero": np.array([-1e-20, -1e-300, -5e-324]),
    "three pieces": np.random.default_rng(3).normal(size=9000) * 5,
}


@pytest.mark.parametrize("name", ROWS)
def test_read_outs_are_those_of_the_row(name):
    x = ROWS[name]
    state, expected = LogZ.of(x), exact(x)
    for read, scale in (
        ("log_z", abs(expected["log_z"])),
        ("entropy", expected["entropy"]),
        ("mean", max(abs(x.max()), 1)),
        # of float64 results beside 1: a variance below 1 is a difference of squares, unless one entry rules
        ("variance", max(expected["variance"], mpf(1) if expected["entropy"] > 1e-3 else mpf(0))),
        ("soft_argmax", expected["soft_argmax"]),
    ):
        error = abs(mpf(float(getattr(state, read))) - expected[read])
        # a few roundings: of the cells' sums and weights, and of the last operations
        assert error <= 2e-15 * scale + mpf(2) ** -1074, f"{read}: {getattr(state, read)} for {expected[read]}"
    assert state.count == len(x) and state.maximum == x.max()


def test_where_log_z_is_near_zero_its_error_is_that_of_the_maximum():
    x = np.array([-math.log(2), -math.log(2)])
    assert abs(mpf(float(LogZ.of(x).log_z)) - exact(x)["log_z"]) <= 2.0**-52


@pytest.mark.parametrize("case", ONLINE, ids=lambda case: case["id"])
def test_the_published_cases(case):
    state, offset = LogZ(), 0
    for chunk in case["in"]["chunks"]:
        state = state + LogZ.of(np.array(chunk, dtype=float), offset=offset)
        offset += len(chunk)
    for name, read in (("logsumexp", "log_z"), ("entropy", "entropy"), ("soft_argmax", "soft_argmax")):
        assert float(getattr(state, read)) == pytest.approx(case["out64"][name], rel=5e-16)
    assert float(state.variance) == pytest.approx(
        case["out64"]["variance"], rel=5e-16 * case["scale"]["variance"] + 5e-16
    )
    assert state.maximum == case["out64"]["max"]


# ---- the law: any cut, any order, any association, the same bits ----


class Pair:
    """Saboteur: the usual running (maximum, sum), rescaled in float64 at each merge."""

    @staticmethod
    def of(x, offset):
        top = max(float(np.max(x, initial=-np.inf)), -1e300)
        return np.array([top, np.exp(np.asarray(x) - top).sum()])

    @staticmethod
    def merge(a, b):
        top = max(a[0], b[0])
        return np.array([top, a[1] * math.exp(a[0] - top) + b[1] * math.exp(b[0] - top)])

    bits = staticmethod(np.ndarray.tobytes)


class FixedPoint(Pair):
    """Saboteur: whole numbers, but in units of the maximum at hand, which changes."""

    @staticmethod
    def of(x, offset):
        top = math.floor(max(float(np.max(x, initial=-np.inf)), -1e300))
        return np.array([top, np.rint(np.exp(np.asarray(x) - top) * 2.0**30).sum()])

    @staticmethod
    def merge(a, b):
        top = max(a[0], b[0])
        return np.array([top, sum(np.rint(s[1] * math.exp(s[0] - top)) for s in (a, b))])


class LastSign(Pair):
    """Saboteur: exact but for the sign of a zero maximum, which is that of the last part."""

    @staticmethod
    def of(x, offset):
        return LogZ.of(x, offset=offset), (np.max(x) if len(x) else -np.inf)

    @staticmethod
    def merge(a, b):
        return a[0] + b[0], (b[1] if b[1] >= a[1] else a[1])

    @staticmethod
    def bits(state):
        return state[0].to_array().tobytes() + np.float64(state[1]).tobytes()


class Ours(Pair):
    @staticmethod
    def of(x, offset):
        return LogZ.of(x, offset=offset)

    merge = staticmethod(LogZ.merge)

    @staticmethod
    def bits(state):
        return state.to_array().tobytes() + read_outs(state).tobytes()


def merged(kind, states, choose):
    """Merge states in an order and association given by a source of whole numbers."""
    states = list(states)
    while len(states) > 1:
        a = states.pop(choose(len(states)))
        b = states.pop(choose(len(states)))
        states.append(kind.merge(a, b))
    return states[0]


def cut_and_merged(kind, x, cuts, seed):
    bounds = [0, *sorted(min(c, len(x)) for c in cuts), len(x)]
    rng = np.random.default_rng(seed)
    parts = [kind.of(x[i:j], i) for i, j in itertools.pairwise(bounds)]
    return merged(kind, parts, lambda n: int(rng.integers(n)))


LOGITS = st.one_of(
    st.floats(-30, 30),
    st.sampled_from([0.0, -0.0, 1.0, -np.inf, 1e16, -1e16, 799.5, -0.5, 1e-300]),
    st.floats(allow_nan=False, allow_infinity=False),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(LOGITS, max_size=40), st.lists(st.integers(0, 40), max_size=8), st.integers(0, 99))
def test_any_cut_and_any_order_give_the_same_bits(row, cuts, seed):
    x = np.array(row, dtype=float)
    assert Ours.bits(cut_and_merged(Ours, x, cuts, seed)) == Ours.bits(LogZ.of(x))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 1.0, 5.0]), max_size=9), st.integers(0, 9), st.integers(0, 9))
def test_so_do_rows_with_infinities_and_nan(row, cut, seed):
    x = np.array(row, dtype=float)
    assert Ours.bits(cut_and_merged(Ours, x, [cut], seed)) == Ours.bits(LogZ.of(x))


def long_row():
    x = np.random.default_rng(4).normal(size=20_000) * 8
    x[::7] = -np.inf
    x[5] = -0.0
    return x


def keeps_its_bits(kind, x):
    """The law for one row: twelve ways to cut and merge it."""
    whole = kind.bits(kind.of(x, 0))
    rng = np.random.default_rng(5)
    return all(
        kind.bits(cut_and_merged(kind, x, rng.integers(0, len(x) + 1, rng.integers(1, 12)), seed)) == whole
        for seed in range(12)
    )


def test_a_long_row_keeps_its_bits():
    assert keeps_its_bits(Ours, long_row())


@pytest.mark.parametrize("saboteur", [Pair, FixedPoint, LastSign], ids=lambda kind: kind.__name__)
def test_states_that_round_are_caught(saboteur):
    zeros = np.array([0.0, -0.0, -1.0, 0.0, -0.0] * 9)
    assert not (keeps_its_bits(saboteur, long_row()) and keeps_its_bits(saboteur, zeros))


def test_what_is_dropped_early_would_have_been_dropped_at_the_end():
    deep = np.array([0.0, -799.0, -800.0, 500.0, -299.9, -300.0, 1000.0])
    for order in (deep, deep[::-1], np.sort(deep), np.sort(deep)[::-1]):
        one_by_one = functools.reduce(LogZ.merge, (LogZ.of([v]) for v in order))
        plain = LogZ.of(order)
        assert one_by_one.log_z == plain.log_z and one_by_one.entropy == plain.entropy
        assert one_by_one._sums[:, :3].tolist() == plain._sums[:, :3].tolist()


def test_moments_are_whole_numbers_next_to_the_exact_ones():
    r = np.concatenate([np.linspace(0, 1, 200), np.random.default_rng(6).random(200)])
    with mp.workdps(40):
        for k, got in enumerate(logz._moments(r)):
            assert np.array_equal(got, np.rint(got)) and np.all((got >= 0) & (got < 2.0**54))
            errors = [
                abs(mpf(float(g)) - mpf(float(a)) ** k * exp(mpf(float(a))) * 2**52)
                for a, g in zip(r, got, strict=True)
            ]
            assert max(errors) <= (1.3, 2.7, 4)[k], f"moment {k}: {float(max(errors))} units of 2^-52"


# ---- the rules ----


def test_the_empty_state_is_neutral():
    empty, state = LogZ(), LogZ.of(ROWS["normal"])
    assert empty + state == state == state + empty
    assert LogZ() == LogZ.of([]) == LogZ.reduce([]) == LogZ() + LogZ()
    assert LogZ.of([]).log_z == -np.inf and LogZ().count == 0
    assert np.isnan(read_outs(empty)[1:]).all()
    nothing = LogZ.of([-np.inf, -np.inf])
    assert nothing.log_z == -np.inf and nothing.count == 2 and np.isnan(nothing.entropy)
    assert (nothing + nothing).log_z == -np.inf  # and not NaN, which -inf - -inf would give


def test_plus_infinity_is_the_limit():
    state = LogZ.of([np.inf, 3.0, np.inf, -np.inf])
    assert state.log_z == np.inf and state.mean == np.inf and state.variance == 0
    assert state.entropy == math.log(2) and state.soft_argmax == 1.0
    assert state == LogZ.of([np.inf, 3.0]) + LogZ.of([np.inf, -np.inf], offset=2)


def test_nan_spoils_its_row_alone():
    state = LogZ.of([[0.0, np.nan], [0.0, 0.0]])
    for value in read_outs(state):
        assert np.isnan(value[0]) and not np.isnan(value[1])
    assert np.isnan((LogZ.of([np.nan]) + LogZ.of([np.inf])).log_z)


def test_rows_axes_types_and_libraries():
    x = np.random.default_rng(7).normal(size=(3, 4, 5)) * 3
    for axis in (0, 1, -1):
        state = LogZ.of(x, axis=axis)
        along = np.moveaxis(x, axis, -1)
        assert state.shape == along.shape[:-1] and state.log_z.shape == state.shape
        for i in np.ndindex(state.shape):
            assert [read_outs(state)[(slice(None), *i)].tolist()] == [read_outs(LogZ.of(along[i])).tolist()]
    assert LogZ.of(x, axis=None) == LogZ.of(x.reshape(-1))
    assert LogZ.of(2.5).log_z == 2.5
    assert LogZ.of(x[:0]).shape == (0, 4) and LogZ.of(np.zeros((2, 0))).log_z.tolist() == [-np.inf, -np.inf]
    assert LogZ.of(x, axis=1).merge(LogZ()) == LogZ.of(x, axis=1)
    whole = LogZ.of(x[..., :2]) + LogZ.of(x[..., 2:], offset=2)
    assert whole == LogZ.of(x)
    assert LogZ.of(np.array([200, 100], dtype=np.uint8)).log_z == 200.0
    assert LogZ.of(x[0].astype(np.float32)) == LogZ.of(x[0].astype(np.float32).astype(float))
    assert LogZ.of(array_api_strict.asarray(x)) == LogZ.of(x)
    many = np.random.default_rng(8).normal(size=(3000, 40))
    assert np.allclose(LogZ.of(many).log_z, sm.logsumexp(many), rtol=4e-16, atol=4e-16)


def test_the_whole_range_of_numbers_merges():
    low, high = LogZ.of([-1.7e308]), LogZ.of([1.7e308], offset=1)
    assert (low + high).log_z == 1.7e308
    assert low + high == high + low == LogZ.of([-1.7e308, 1.7e308])


def test_offsets_count_from_the_whole_row():
    x = ROWS["normal"]
    for offset in (0, 5, 10**12):
        with mp.workdps(40):
            expected = exact(x)["soft_argmax"] + offset
        assert float(LogZ.of(x, offset=offset).soft_argmax) == pytest.approx(float(expected), rel=1e-15)


@pytest.mark.parametrize(
    "state",
    [LogZ(), LogZ.of(ROWS["wide"]), LogZ.of([[1.0, np.inf], [-np.inf, np.nan]]), LogZ.of(long_row(), offset=10**9)],
    ids=["empty", "wide", "limits", "long"],
)
def test_states_cross_files(state, tmp_path):
    np.save(tmp_path / "state.npy", state.to_array())
    again = LogZ.from_array(np.load(tmp_path / "state.npy"))
    assert again == state and hash(again) == hash(state)
    assert again.to_array().tobytes() == state.to_array().tobytes()
    assert read_outs(again).tobytes() == read_outs(state).tobytes()


@pytest.mark.parametrize(
    "change", [lambda a: a[:-1], lambda a: a * 2, lambda a: a + 0.25, lambda a: -a, lambda a: a[0]]
)
def test_other_arrays_are_refused(change):
    with pytest.raises(ValueError, match=r"LogZ|digits"):
        LogZ.from_array(change(LogZ.of([0.5, 1.5]).to_array()))


def test_misuse_is_named():
    with pytest.raises(TypeError, match="make one with"):
        LogZ() + 1.0
    with pytest.raises(ValueError, match="do not broadcast"):
        LogZ.of(np.zeros((2, 3))) + LogZ.of(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="offset"):
        LogZ.of([1.0], offset=-1)
    with pytest.raises(TypeError, match="complex"):
        LogZ.of([1j])
    with pytest.raises(np.exceptions.AxisError):
        LogZ.of([1.0], axis=1)
    assert LogZ() != 1 and repr(LogZ.of([1.0])) == "LogZ(log_z=1.0, count=1)"


def test_the_example_gives_the_probabilities_of_the_whole_row(tmp_path):
    example = runpy.run_path(str(ROOT / "examples" / "logz_out_of_memory.py"))
    logits, target = tmp_path / "logits.npy", tmp_path / "probabilities.npy"
    x = np.random.default_rng(9).normal(size=10_001).astype(np.float32) * 4
    np.save(logits, x)
    state = example["softmax_of_file"](logits, target, chunk=1000)
    assert state == LogZ.of(x)
    parts = [tmp_path / f"part{i}.npy" for i in range(3)]
    for path, part in zip(parts, np.array_split(x, 3), strict=True):
        np.save(path, part)
    assert example["state_of_parts"](parts, chunk=777) == state
    got = np.load(target)
    with mp.workdps(30):
        top = exact(x)["log_z"]
        worst = max(abs(mpf(float(p)) / exp(mpf(float(v)) - top) - 1) for v, p in zip(x[:200], got[:200], strict=True))
    assert worst < 2.0**-22 and abs(got.astype(float).sum() - 1) < 1e-6
