"""Tables: the same values however they are written, states that merge, features that equal scikit-learn's."""

import json
from contextlib import suppress
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv, feather, ipc, parquet
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from softmaxes.errors import UserError
from softmaxes.tables import (
    Categorical,
    Dates,
    Labels,
    Moments,
    Numeric,
    Profile,
    Recipe,
    Text,
    as_table,
    held_out,
    open_table,
    profile,
    read_targets,
)
from softmaxes.tables.profile import ColumnProfile

TALES = ["the old man and the sea", "war and peace, by the sea", "a tale of two cities; the sea", "pride of man"]


def mixed(n=200, seed=0):
    """A table with every kind of column, missing values in most of them, and categories that occur once."""
    rng = np.random.default_rng(seed)
    gone = rng.random(n) < 0.1

    def some(values):
        return [None if missing else value for value, missing in zip(values, gone, strict=True)]

    return pa.table(
        {
            "size": some((1e3 + rng.normal(size=n)).tolist()),
            "count": pa.array(rng.integers(0, 9, n)),
            "colour": some(rng.choice(["red", "blue", "grün"], n).tolist()),
            "rare": [f"only {i}" if i < 3 else "often" for i in range(n)],
            "member": pa.array(some((rng.random(n) < 0.5).tolist()), pa.bool_()),
            "seen": pa.array(some(rng.integers(0, 10**15, n).tolist()), pa.timestamp("us")),
            "story": [f"{TALES[i % 4]} number {rng.integers(30)} of {rng.integers(1000)} books" for i in range(n)],
            "kind": rng.choice(["yes", "no", "maybe"], n),
        }
    )


def write(table, path, **options):
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=37)
    elif path.suffix == ".feather":
        feather.write_feather(table, path, chunksize=41)
    elif path.suffix == ".arrow":
        with ipc.new_stream(path, table.schema) as sink:
            sink.write_table(table, max_chunksize=23)
    else:
        csv.write_csv(table, path, csv.WriteOptions(**options))
    return path


def recipe_of(table, target="kind"):
    return Recipe.of(profile(as_table(table)), target=target)


# ---- reading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet", "t.feather", "t.arrow"])
def test_every_format_gives_the_same_features(tmp_path, name):
    table = mixed()
    recipe = recipe_of(table)
    path = write(table, tmp_path / name, **({"delimiter": "\t"} if name == "t.tsv" else {}))
    opened = open_table(path)
    np.testing.assert_array_equal(recipe.matrix(opened), recipe.matrix(as_table(table)))
    assert Recipe.of(profile(opened), target="kind") == recipe
    assert opened.n_rows == 200


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


# ---- what can't be read -------------------------------------------------------------------------------------------

BAD_FILES = {
    "empty": (b"", "is empty"),
    "blank": (b"\n \n", "is empty"),
    "header only": (b"a,b\n", "header with 2 columns but no rows"),
    "too few fields": (b"a,b\n1,2\n3\n4,5\n", "row 2: 1 fields where the header has 2"),
    "too many fields": (b"a,b\n1,2\n\n3,4\n5,6,7\n", "row 3: 3 fields where the header has 2"),
    "one name twice": (b"a,a\n1,2\n", "more than one column called 'a'"),
    "junk": (bytes(range(256)) * 8, "binary data"),
    "zeros": (b"a,b\n1,\x00\n", "binary data"),
    "zip": (b"PK\x03\x04" + b"\x00" * 40, "Excel"),
    "gzip": (b"\x1f\x8b" + b"\x00" * 40, "gunzip"),
    "parquet by name": (b"PAR1 and nothing", "truncated or damaged"),
    "arrow by name": (b"ARROW1 and nothing", "truncated or damaged"),
    "a row without end": (b'a,b\n1,2\n3,"' + b"4\n" * 5_000_000, "row longer than 4 MB|never closed"),
    "open quotation": (b'a,b\n1,2\n3,"4\n5,6\n', "never closed"),
    "late latin-1": (b"a,b\n" + b"1,2\n" * 30_000 + b"1,\xe9\n", "row 30001: the text is not UTF-8"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_one_clear_error(tmp_path, case):
    content, message = BAD_FILES[case]
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(open_table(path).blocks())


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("name", ["t.parquet", "t.feather", "t.arrow"])
def test_a_truncated_file_is_one_clear_error(tmp_path, name, share):
    path = write(mixed(), tmp_path / name)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match=rf"{name}.* is truncated or damaged"):
        list(open_table(path).blocks())


@pytest.mark.parametrize("name", ["t.feather", "t.arrow", "t.parquet"])
def test_flipped_bits_never_crash(tmp_path, name):
    """A damaged binary file is another table or an error; no check of ours can know which bits were meant."""
    data = write(mixed(), tmp_path / name).read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(data), 100):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        (tmp_path / name).write_bytes(damaged)
        with suppress(UserError):
            profile(open_table(tmp_path / name))


def test_a_missing_file_suggests_its_neighbour(tmp_path):
    (tmp_path / "flowers.csv").write_text("a\n1\n")
    with pytest.raises(UserError, match=r"flowrs.csv does not exist; did you mean .*flowers.csv"):
        open_table(tmp_path / "flowrs.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="without a table"):
        open_table(tmp_path / "folder")


def test_a_column_of_lists_is_refused_by_name():
    with pytest.raises(UserError, match=r"column 'x' holds list<.*--ignore 'x'"):
        profile(as_table(pa.table({"x": [[1], [2, 3]]})))


# ---- states that merge --------------------------------------------------------------------------------------------

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


# ---- features -----------------------------------------------------------------------------------------------------


def features_of(recipe, table, prefix):
    names = [name for name in recipe.features if name.startswith(prefix)]
    return np.asarray(recipe.matrix(as_table(table)))[:, [recipe.features.index(name) for name in names]]


def test_numbers_become_what_imputation_and_scaling_make_of_them():
    table = mixed()
    values = np.array([[np.nan if v is None else v] for v in table["size"].to_pylist()])
    scaled = StandardScaler().fit_transform(SimpleImputer().fit_transform(values))
    expected = np.hstack([scaled, MissingIndicator().fit_transform(values)])
    # 1e3 with a spread of 1: of 16 digits, 3 are lost by the subtraction of the mean.
    np.testing.assert_allclose(features_of(recipe_of(table), table, "size"), expected, rtol=0, atol=1e-12)


def test_categories_become_what_one_hot_makes_of_them():
    table = mixed()
    values = np.array([["None" if v is None else v] for v in table["colour"].to_pylist()], dtype=object)
    encoder = OneHotEncoder(categories=[["blue", "grün", "red", "None"]], sparse_output=False)
    np.testing.assert_array_equal(features_of(recipe_of(table), table, "colour"), encoder.fit_transform(values))


def test_text_becomes_what_tf_idf_makes_of_it():
    table = mixed()
    story = table["story"].to_pylist()
    vectors = TfidfVectorizer(min_df=2).fit(story)
    recipe = recipe_of(table)
    assert [f"story says {word}" for word in vectors.get_feature_names_out()] == [
        f for f in recipe.features if "says" in f
    ]
    np.testing.assert_allclose(features_of(recipe, table, "story"), vectors.transform(story).toarray(), atol=1e-15)


def test_dates_become_their_parts():
    dates = ["2024-02-29 06:00", "1970-01-01 00:00", "1969-12-31 18:00", None]
    table = pa.table({"d": dates})
    recipe = Recipe.of(profile(as_table(table)))
    (column,) = recipe.columns
    parts = np.array([[19782.25, 2, 29, 3, 6], [0, 1, 1, 3, 0], [-0.25, 12, 31, 2, 18]])
    assert column.parts == ("days", "month", "day", "weekday", "hour")
    scale = np.sqrt(((parts - parts.mean(axis=0)) ** 2).sum(axis=0) / 4)  # the missing one stands at the mean
    expected = np.vstack([(parts - parts.mean(axis=0)) / scale, np.zeros(5)])
    np.testing.assert_allclose(recipe.matrix(as_table(table)), np.c_[expected, [0, 0, 0, 1]], atol=1e-13)


def test_unknown_and_missing_values_have_a_place():
    train = pa.table({"c": ["a", "a", "b", "b", "once"], "x": [1.0, 2.0, 4.0, 8.0, 16.0]})
    recipe = Recipe.of(profile(as_table(train)))
    assert recipe.features == ("c = a", "c = b", "c is other", "x")
    later = as_table(pa.table({"c": ["b", "never seen", "once", None], "x": [None, None, None, None]}))
    np.testing.assert_array_equal(recipe.matrix(later), [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0]])


def test_wide_tables_are_sparse_and_the_same_numbers():
    n = 900
    table = as_table(pa.table({"c": [f"v{i % 300}" for i in range(n)], "x": np.arange(n) % 7.0}))
    recipe = Recipe.of(profile(table))
    assert recipe.is_sparse
    X = recipe.matrix(table, dtype=np.float32)
    assert X.format == "csr"
    assert X.dtype == np.float32
    dense = np.zeros(X.shape)
    (block,) = table.blocks()
    for rows, features, values in recipe._entries(block):
        dense[rows, features] = values
    np.testing.assert_allclose(X.toarray(), dense, rtol=1e-6)
    assert set(np.unique((X != 0).sum(axis=1))) <= {1, 2}


def test_a_recipe_is_plain_data():
    table = mixed()
    recipe = recipe_of(table)
    assert {type(column) for column in recipe.columns} == {Numeric, Categorical, Dates, Text}
    assert Recipe.from_json(json.loads(json.dumps(recipe.as_json()))) == recipe
    names = {"Recipe": Recipe, "Numeric": Numeric, "Categorical": Categorical, "Dates": Dates, "Text": Text}
    assert eval(repr(recipe), names) == recipe


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("columns"),
        lambda d: d.update(columns=[]),
        lambda d: d.update(columns=[d["columns"][0]] * 2),
        lambda d: d.update(target=3),
        lambda d: d.update(unused=[["a"]]),
        lambda d: d["columns"][0].update(kind="evil"),
        lambda d: d["columns"][0].update(kind=["numeric"]),
        lambda d: d["columns"][0].update(mean="0"),
        lambda d: d["columns"][0].update(mean=float("inf")),
        lambda d: d["columns"][0].update(indicator=1),
        lambda d: d["columns"][0].update(extra=1),
        lambda d: d["columns"][0].pop("scale"),
        lambda d: d["columns"][-1]["weights"].pop(),
        lambda d: d["columns"][0].update(scale=0.0),
    ],
)
def test_a_damaged_recipe_is_refused(damage):
    data = json.loads(json.dumps(recipe_of(mixed().drop_columns(["kind"])).as_json()))
    damage(data)
    with pytest.raises(UserError, match="malformed"):
        Recipe.from_json(data)


# ---- what can't be a feature --------------------------------------------------------------------------------------


def test_an_empty_column_is_refused():
    with pytest.raises(UserError, match="column 'x' has no values: all 2 are missing; remove it or pass --ignore 'x'"):
        Recipe.of(profile(as_table(pa.table({"x": [None, None], "y": [1.0, 2.0]}))))


@pytest.mark.parametrize("values", [[1.0, np.inf, 2.0], ["1", "-inf", "2"]])
def test_infinity_is_refused_with_its_row(values):
    with pytest.raises(UserError, match="column 'x' is infinite in row 2"):
        profile(as_table(pa.table({"x": values})))
    recipe = Recipe.of(profile(as_table(pa.table({"x": [1.0, 2.0]}))))
    with pytest.raises(UserError, match="column 'x' is infinite in row 2"):
        recipe.matrix(as_table(pa.table({"x": values})))


def test_a_spread_beyond_floating_point_is_refused():
    with pytest.raises(UserError, match="too far for a finite variance"), np.errstate(over="ignore"):
        Recipe.of(profile(as_table(pa.table({"x": [1e200, -1e200, 3.0]}))))


@pytest.mark.parametrize(
    ("train", "later", "message"),
    [
        ([1.0, 2.0, 4.0], ["1", "two", "3"], "'x' holds numbers in the model, but 'two' in row 2 is not a number"),
        (["2024-01-01", "2024-01-02"], ["2024-01-01", "soon"], "'x' holds dates in the model, but 'soon' in row 2"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_row(train, later, message):
    recipe = Recipe.of(profile(as_table(pa.table({"x": train}))))
    with pytest.raises(UserError, match=message):
        recipe.matrix(as_table(pa.table({"x": later})))


def test_columns_that_come_and_go_are_named():
    recipe = recipe_of(mixed())
    with pytest.raises(UserError, match=r"lacks the column 'size'.*did you mean 'Size'"):
        recipe.check_columns(as_table(mixed().rename_columns({"size": "Size"})))
    extra = as_table(mixed().append_column("new", pa.array([1] * 200)))
    with pytest.raises(UserError, match=r"has the column 'new' that the model was not trained on.*--ignore-extra"):
        recipe.check_columns(extra)
    recipe.check_columns(extra, ignore_extra=True)
    recipe.check_columns(as_table(mixed().drop_columns(["kind"])))


def test_nothing_left_to_learn_from():
    with pytest.raises(UserError, match="no column is left to learn from: 'x' is constant"):
        Recipe.of(profile(as_table(pa.table({"x": [1, 1, 1]}))))


# ---- labels and rows held out -------------------------------------------------------------------------------------


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
