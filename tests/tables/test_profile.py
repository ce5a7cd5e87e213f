"""Profiles are states that merge, and find what a column is."""

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables.cases import TALES, mixed

from softmaxes.tables import (
    Moments,
    Profile,
    Recipe,
    as_table,
    profile,
)

numbers = st.lists(st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-9), max_size=20)


def exact(values):
    """Mean and sum of squared deviations, in rational arithmetic."""
    fractions = [Fraction(value) for value in values]
    mean = sum(fractions) / len(fractions)
    return float(mean), float(sum((x - mean) ** 2 for x in fractions))


def moments_merge_like_the_whole(merge, a, b):
    state = merge(Moments.of(np.array(a, dtype=float)), Moments.of(np.array(b, dtype=float)))
    if state.count != len(a) + len(b):
        return False
    if not a + b:
        return state == Moments()
    mean, spread = exact(a + b)
    # The largest number sets the rounding errors: a few ulp of it in the mean, of its square in the spread.
    top = max(abs(x) for x in a + b)
    return (
        abs(state.mean - mean) <= 1e-14 * top
        and abs(state.spread - spread) <= 1e-13 * len(a + b) * top**2
        and (state.low, state.high) == (min(a + b), max(a + b))
    )


@given(numbers, numbers)
def test_moments_merge_like_the_whole(a, b):
    assert moments_merge_like_the_whole(Moments.merge, a, b)


@pytest.mark.parametrize(
    "broken",
    [
        lambda a, b: Moments(a.count + b.count, (a.mean + b.mean) / 2, a.spread + b.spread, a.low, b.high),
        lambda a, b: Moments(a.count + b.count, a.merge(b).mean, a.spread + b.spread, a.merge(b).low, a.merge(b).high),
        lambda a, b: a if b.count == 1 else a.merge(b),
        lambda a, b: Moments(a.count + b.count, a.merge(b).mean, a.merge(b).spread, a.low, b.high),
    ],
)
def test_a_broken_merge_is_noticed(broken):
    examples = [([1.0, 2.0], [6.0]), ([5.0], [1.0, 9.0]), ([-1.0, 1.0], [0.0, 0.5])]
    assert not all(moments_merge_like_the_whole(broken, a, b) for a, b in examples)


@pytest.mark.parametrize("cut", [0, 1, 50, 199, 200])
def test_profiles_merge_like_the_whole(cut):
    (whole,) = as_table(mixed()).blocks()
    keep = np.arange(200) < cut
    merged = Profile.of(whole.where(keep)).merge(Profile.of(whole.where(~keep)))
    expected = Profile.of(whole)
    assert Profile().merge(expected) == expected.merge(Profile()) == expected
    assert merged.rows == 200
    for name, column in expected.columns.items():
        found = merged.columns[name]
        exactly = ("rows", "missing", "numbers", "dates", "categories", "words", "offset", "not_a_number", "kind")
        assert all(getattr(found, entry) == getattr(column, entry) for entry in exactly), name
        assert found.moments.mean == pytest.approx(column.moments.mean, rel=1e-13)
        assert found.moments.spread == pytest.approx(column.moments.spread, rel=1e-9)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([None, None], "missing"),
        ([2.5, 2.5, 2.5], "constant"),
        (["x", "x"], "constant"),
        ([7.0, None, 7.0], "numeric"),
        ([1.0, 2.0, 4.0], "numeric"),
        ([0, 1, 2, 3], "row number"),
        (["1", "2", "3", "4"], "row number"),
        (["1.5", "2", None], "numeric"),
        (["true", "FALSE", None], "numeric"),
        ([True, False], "numeric"),
        (["2024-01-31", "2024-02-01 12:00"], "date"),
        (["2024-01-31T10:00:00Z", "2024-02-01T12:00:00+02:00"], "date"),
        (["a", "b", "a"], "categorical"),
        (["a", "b", "c"], "identifier"),
        (["1", "2", "many"], "identifier"),
        (["1", "2", "2", "many"], "categorical"),
        ([f"{TALES[i % 4]} {i}" for i in range(60)], "text"),
        ([TALES[i % 4] for i in range(60)], "categorical"),
        ([f"Miss {i} {i}x" for i in range(60)], "text"),
    ],
)
def test_kinds_of_columns(values, kind):
    assert profile(as_table(pa.table({"x": values}))).columns["x"].kind == kind


def test_numbers_can_be_declared_names():
    table = as_table(pa.table({"code": [10115, 20095, 10115, 20095]}))
    recipe = Recipe.of(profile(table, categorical=["code"]))
    assert recipe.features == ("code = 10115", "code = 20095")


def test_counts_of_many_values_stay_bounded():
    n = 90_000
    values = pa.array([f"v{i % 45_000 if i % 3 else 1}" for i in range(n)])
    column = profile(as_table(pa.table({"x": values}))).columns["x"]
    assert column.spilled
    assert len(column.categories) <= 20_000
    assert column.categories["v1"] == 30_002
