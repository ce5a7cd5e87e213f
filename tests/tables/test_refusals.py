"""What can't be a feature is refused by column and row."""

import numpy as np
import pyarrow as pa
import pytest
from tests.tables.cases import mixed, recipe_of

from softmaxes.errors import UserError
from softmaxes.tables import (
    Recipe,
    as_table,
    profile,
)


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
