"""Features equal those of scikit-learn's transformers, and recipes are plain data."""

import json

import numpy as np
import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.tables.cases import mixed, recipe_of

from softmaxes.errors import UserError
from softmaxes.tables import (
    Categorical,
    Dates,
    Numeric,
    Recipe,
    Text,
    as_table,
    profile,
)


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
