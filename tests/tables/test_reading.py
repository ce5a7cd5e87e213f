"""Every file format gives the same table, whole, in any cut."""

import numpy as np
import pyarrow as pa
import pytest
from tests.tables.cases import mixed, recipe_of, write

from softmaxes.tables import (
    Recipe,
    as_table,
    open_table,
    profile,
)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet", "t.feather", "t.arrow"])
def test_every_format_gives_the_same_features(tmp_path, name):
    table = mixed()
    recipe = recipe_of(table)
    path = write(table, tmp_path / name, **({"delimiter": "\t"} if name == "t.tsv" else {}))
    opened = open_table(path)
    np.testing.assert_array_equal(recipe.matrix(opened), recipe.matrix(as_table(table)))
    assert Recipe.of(profile(opened), target="kind") == recipe
    assert opened.n_rows == 200
    assert opened.known_rows == (200 if name.endswith("parquet") else None)


TEXT = [["name", "x", "y"], ["Müller, A.", "1.5", "a b"], ['say "hi"', "-2", "c;d"], ["é", "3e2", "two\nlines"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ":", "^"])
def test_a_sniff_finds_how_text_is_written(tmp_path, delimiter, encoding, end):
    quoted = [delimiter.join('"' + field.replace('"', '""') + '"' for field in row) for row in TEXT]
    path = tmp_path / "t.csv"
    path.write_bytes((end.join(quoted) + end).encode(encoding))
    (block,) = open_table(path).blocks()
    assert [block.batch.schema.names, *map(list, zip(*(c.to_pylist() for c in block.batch), strict=True))] == TEXT


def test_blank_lines_and_blanks_around_values_do_not_count(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\n\na , b\n 1, x \n\n2,?\n")
    (block,) = open_table(path).blocks()
    assert block.batch.to_pydict() == {"a": ["1", "2"], "b": ["x", None]}


def test_a_decimal_comma_is_understood_where_it_can_be(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a;b\n1,5;x\n-2,25e1;1,2,3\n")
    (block,) = open_table(path).blocks()
    assert block.batch.to_pydict() == {"a": ["1.5", "-2.25e1"], "b": ["x", "1,2,3"]}


def test_late_surprises_do_not_change_what_came_before(tmp_path):
    """A column is whole numbers for 70,000 rows, then 3.5; another is numbers for as long, then a word."""
    path = tmp_path / "t.csv"
    rows = [f"{i % 7},{i % 5}" for i in range(70_000)]
    path.write_text("\n".join(["a,b", *rows, "3.5,3", "0,word"]) + "\n")
    found = profile(open_table(path))
    assert found.columns["a"].kind == "numeric"
    assert found.columns["a"].moments.mean == pytest.approx(
        (sum(i % 7 for i in range(70_000)) + 3.5) / 70_002, rel=1e-14
    )
    assert found.columns["b"].kind == "categorical"
    assert found.columns["b"].not_a_number == (70_002, "word")
    assert found.columns["b"].categories == {"0": 14_000, "1": 14_000, "2": 14_000, "3": 14_001, "4": 14_000, "word": 1}


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
def test_blocks_of_any_size_are_the_same_table(tmp_path, rows):
    table = mixed()
    opened = open_table(write(table, tmp_path / "t.parquet"))
    blocks = list(opened.blocks(rows))
    assert [len(block) for block in blocks[:-1]] == [rows] * (len(blocks) - 1)
    assert pa.Table.from_batches([b.batch for b in blocks]).equals(
        pa.Table.from_batches([b.batch for b in opened.blocks()])
    )
    recipe = recipe_of(table)
    np.testing.assert_array_equal(np.concatenate(list(recipe.blocks(opened, rows=rows))), recipe.matrix(opened))


def test_a_folder_is_its_files_in_the_order_of_their_names(tmp_path):
    table = mixed()
    write(table.slice(120), tmp_path / "b.parquet")
    write(table.slice(0, 120), tmp_path / "a.parquet")
    (tmp_path / "notes.md").write_text("not a table")
    recipe = recipe_of(table)
    np.testing.assert_array_equal(recipe.matrix(open_table(tmp_path)), recipe.matrix(as_table(table)))


def test_rows_left_out_still_count_in_row_numbers():
    keep = np.arange(200) % 3 == 0
    blocks = list(as_table(mixed()).blocks(64, keep=keep))
    assert np.concatenate([block.rows for block in blocks]).tolist() == np.flatnonzero(keep).tolist()
    assert blocks[1].row_number(0) == 67


def test_data_frames_are_tables():
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    columns = {"x": [1.0, None, 2.0, 1.0], "c": ["u", "v", "u", None]}
    expected = recipe_of(pa.table(columns)).matrix(as_table(pa.table(columns)))
    for frame in (pandas.DataFrame(columns), polars.DataFrame(columns)):
        np.testing.assert_array_equal(recipe_of(frame).matrix(as_table(frame)), expected)
