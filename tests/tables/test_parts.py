"""A table in parts says what the whole table says: its rows, its classes, its folds."""

from itertools import accumulate, pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv, ipc, parquet

from softmaxes.errors import UserError
from softmaxes.tables import Labels, Targets, as_table, folds_of, numbered, open_table, parts_of, read_targets

ROWS = 100


def table():
    rng = np.random.default_rng(0)
    return pa.table({"x": rng.normal(size=ROWS), "y": rng.choice(["a", "b", "c"], ROWS)})


def parquet_file(folder):
    parquet.write_table(table(), folder / "t.parquet", row_group_size=7)
    return folder / "t.parquet"


def arrow_file(folder):
    with ipc.new_file(folder / "t.arrow", table().schema) as writer:
        writer.write_table(table(), max_chunksize=13)
    return folder / "t.arrow"


def stream_file(folder):
    with ipc.new_stream(folder / "t.arrow", table().schema) as writer:
        writer.write_table(table(), max_chunksize=13)
    return folder / "t.arrow"


def folder_of_texts(folder):
    for number, (start, stop) in enumerate(pairwise([0, 1, 60, ROWS])):
        csv.write_csv(table().slice(start, stop - start), folder / f"{number}.csv")
    return folder


@pytest.mark.parametrize("values", [1, 30, 64, 10**6])
@pytest.mark.parametrize("make", [parquet_file, arrow_file, stream_file, folder_of_texts])
def test_parts_are_the_table(make, values, tmp_path):
    whole = open_table(make(tmp_path))
    parts = parts_of(whole, values)
    states = [Targets.of(part, "y") for part in parts]
    parts = numbered(parts, [len(state.places) for state in states])
    blocks = [block for part in parts for block in part.blocks(11)]
    assert [row for block in blocks for row in block.batch.to_pylist()] == [
        row for block in whole.blocks() for row in block.batch.to_pylist()
    ]
    assert [int(row) for block in blocks for row in block.rows] == list(range(ROWS))
    assert sum(part.n_rows for part in parts) == ROWS
    keep = np.random.default_rng(1).random(ROWS) < 0.5
    cuts = accumulate((len(state.places) for state in states), initial=0)
    kept = [
        int(row)
        for part, (start, stop) in zip(parts, pairwise(cuts), strict=True)
        for block in part.blocks(11, keep=keep[start:stop])
        for row in block.rows
    ]
    assert kept == np.flatnonzero(keep).tolist()
    labels, codes = Targets.merged(states).classified("t", "y")
    expected, of_whole = read_targets(whole, "y")
    assert labels == expected
    np.testing.assert_array_equal(codes, of_whole)
    assert codes.dtype == np.uint8


values = st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "7", "x y"])), max_size=12)


@given(values, values, values)
def test_targets_merge_like_the_whole(a, b, c):
    def state(labels):
        return Targets.of(as_table(pa.table({"y": pa.array(labels, pa.string())})), "y")

    def told(targets):
        places = targets.places.tolist()
        return targets.values, targets.missing, targets.first_missing if targets.missing else None, places

    one, two, three, whole = state(a), state(b), state(c), state(a + b + c)
    left, right = one.merge(two).merge(three), one.merge(two.merge(three))
    rows = [label is not None for label in a + b + c]
    for merged in (left, right, Targets.merged([one, two, three])):
        assert told(merged)[:3] == told(whole)[:3]
        assert [merged.values[p] for p, known in zip(merged.places, rows, strict=True) if known] == [
            whole.values[p] for p, known in zip(whole.places, rows, strict=True) if known
        ]


def test_files_that_write_a_class_differently_agree_about_it(tmp_path):
    for number, labels in enumerate((["3", "1"], [1, 3], [3.0, 1.0], ["01", "3"])):
        parquet.write_table(pa.table({"y": labels * 2}), tmp_path / f"{number}.parquet")
    states = [Targets.of(part, "y") for part in parts_of(open_table(tmp_path))]
    labels, codes = Targets.merged(states[:3]).classified("t", "y")
    assert labels == Labels("float", (1.0, 3.0))
    assert codes.tolist() == [1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 0]
    assert Targets.merged(states[:2]).classified("t", "y")[0] == Labels("integer", (1, 3))
    labels, _ = Targets.merged([states[0], states[3]]).classified("t", "y")
    assert labels == Labels("string", ("01", "1", "3"))


def test_a_label_missing_in_a_later_part_is_counted_from_the_first_row():
    parts = [Targets.of(as_table(pa.table({"y": y})), "y") for y in (["a", "b"], ["b", None], [None, "a"])]
    with pytest.raises(UserError, match="lacks the label in 2 of 6 rows, first in row 4"):
        Targets.merged(parts).classified("t", "y")


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(2, 7), st.integers(0, 1000))
def test_folds_are_even_in_all_and_in_every_class(counts, n_folds, seed):
    codes = np.repeat(np.arange(len(counts)), counts)
    folds = folds_of(codes, n_folds, seed)
    for of_rows in (folds, *(folds[codes == k] for k in range(len(counts)))):
        sizes = np.bincount(of_rows, minlength=n_folds)
        assert sizes.max() - sizes.min() <= 1


def test_rows_are_dealt_out_the_same_whatever_is_dealt_with_at_a_time(monkeypatch):
    codes = np.random.default_rng(0).integers(300, size=5000).astype(np.uint16)
    expected = folds_of(codes, 5, 3)
    monkeypatch.setattr("softmaxes.tables.holdout.STRETCH", 64)
    np.testing.assert_array_equal(folds_of(codes, 5, 3), expected)
