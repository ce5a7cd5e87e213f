"""Labels keep their type, and rows are held out class by class."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables.cases import mixed

from softmaxes.errors import UserError
from softmaxes.tables import (
    Labels,
    as_table,
    held_out,
    profile,
    read_targets,
)
from softmaxes.tables.profile import ColumnProfile


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["b", "a", "b"], Labels("string", ("a", "b"))),
        (["10", "9"], Labels("integer", (9, 10))),
        (["07", "7"], Labels("string", ("07", "7"))),
        (["1.5", "2"], Labels("float", (1.5, 2.0))),
        (["1", "x"], Labels("string", ("1", "x"))),
        (["True", "false"], Labels("boolean", (False, True))),
        ([True, False], Labels("boolean", (False, True))),
        ([3, 1], Labels("integer", (1, 3))),
        ([3.0, 0.5], Labels("float", (0.5, 3.0))),
        (["9007199254740993", "1"], Labels("string", ("1", "9007199254740993"))),
    ],
)
def test_labels_keep_their_type(values, labels):
    found, codes = read_targets(as_table(pa.table({"y": values * 2})), "y")
    assert found == labels
    assert Labels.of_array(found.array) == labels
    assert [str(found.values[code]).lower() for code in codes[: len(values)]] == [
        str(v if labels.kind != "float" else float(v)).lower() for v in values
    ]


def test_labels_are_met_again_in_other_tables():
    labels = Labels("integer", (1, 3))
    for values in (["3", "1"], [3, 1], [3.0, 1.0]):
        assert read_targets(as_table(pa.table({"y": values})), "y", labels)[1].tolist() == [1, 0]


BAD_TARGETS = {
    "one class": (["a", "a"], "one class only, 'a'"),
    "missing": (["a", None, "b", None], "lacks the label in 2 of 4 rows, first in row 2"),
    "all missing": ([None, None], "no labels at all"),
    "a measurement": ([0.5 + i for i in range(60)], "a measurement, not a class"),
    "names": (["a", "b", "c"], "a different value in each of its 3 rows"),
}


@pytest.mark.parametrize("case", BAD_TARGETS)
def test_a_bad_target_is_one_clear_error(case):
    values, message = BAD_TARGETS[case]
    with pytest.raises(UserError, match=message):
        read_targets(as_table(pa.table({"y": values})), "y")


def test_an_absent_target_names_the_columns_there_are():
    with pytest.raises(UserError, match=r"no column 'Knid' for the class; did you mean 'kind'.*size, count, colour"):
        read_targets(as_table(mixed()), "Knid")


def test_a_label_that_is_no_class_is_refused_with_its_row():
    with pytest.raises(UserError, match=r"the label 'c' in row 2 .* not a class of the model.*a, b"):
        read_targets(as_table(pa.table({"y": ["a", "c"]})), "y", Labels("string", ("a", "b")))


@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=6),
    st.floats(0.05, 0.9),
    st.integers(0, 2**32 - 1),
)
def test_rows_are_held_out_class_by_class(counts, fraction, seed):
    codes = np.repeat(np.arange(len(counts)), counts)
    try:
        mask = held_out(codes, fraction, seed)
    except UserError:
        assert sum(counts) * fraction < len(counts) + 1
        return
    taken = np.bincount(codes[mask], minlength=len(counts))
    assert (taken < counts).all()
    assert (np.abs(taken - fraction * np.array(counts)) <= 1).all()
    np.testing.assert_array_equal(mask, held_out(codes, fraction, seed))


def test_profiles_of_numbers_count_distinct_ones_only_as_long_as_it_pays():
    rng = np.random.default_rng(0)
    column = profile(as_table(pa.table({"x": rng.normal(size=70_000)}))).columns["x"]
    assert isinstance(column, ColumnProfile)
    assert (column.kind, column.spilled) == ("numeric", True)
