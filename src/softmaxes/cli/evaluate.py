"""`softmaxes evaluate`: the scores of a model on labelled rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes import persistence
from softmaxes.errors import UserError
from softmaxes.tables import Table, TableModel, open_table, read_targets

from .console import progress, say, table
from .scores import Scores

__all__ = ["evaluate", "load_model", "score"]


def evaluate(
    model: Path,
    data: Path,
    /,
    *,
    target: str | None = None,
    json: bool = False,
    ignore_extra: bool = False,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> None:
    """Score a model on a table of rows whose classes are known.

    Use rows that the model was not trained on, or the scores flatter it.

    Examples:

    ```
    softmaxes evaluate flowers.softmaxes flowers-2025.csv
    softmaxes evaluate flowers.softmaxes flowers-2025.csv --json | jq .log_loss.value
    ```

    Parameters
    ----------
    model
        A model that `softmaxes fit` saved.
    data
        The table: CSV, Parquet or Arrow, with the columns that the model was trained on.
    target
        The column that holds the class. [default: the one that it was trained with]
    json
        Print the numbers as JSON, for programs.
    ignore_extra
        Accept columns that the model was not trained on.
    delimiter
        The character between the fields of a CSV, if the guess is wrong.
    encoding
        The character set of a CSV, such as utf-8 or latin-1, if the guess is wrong.
    """
    fitted = load_model(model)
    opened = open_table(data, delimiter=delimiter, encoding=encoding)
    scores = score(fitted, opened, target or fitted.recipe.target or "", ignore_extra=ignore_extra)
    if json:
        say(as_text(scores.as_json()))
        return
    table(scores.lines(), heads=(str(data), f"{scores.rows:,} rows", "95 % interval"), numbers=True)


def load_model(path: Path) -> TableModel:
    """Return the model in a file, if it is one that takes tables."""
    model = persistence.load(path)
    if not isinstance(model, TableModel):
        raise UserError(
            f"{path} holds a classifier of plain arrays, without the recipe for a table; "
            f"use it from Python: softmaxes.load({str(path)!r})"
        )
    return model


def score(
    model: TableModel,
    opened: Table,
    target: str,
    *,
    keep: NDArray[np.bool_] | None = None,
    ignore_extra: bool = False,
) -> Scores:
    """Return the scores of a model on a table, or on its rows where `keep` is True, in one pass."""
    opened.require(target, "the class")
    model.recipe.check_columns(opened, ignore_extra=ignore_extra or target != model.recipe.target)
    _, codes = read_targets(opened, target, model.labels)
    total = len(codes) if keep is None else int(keep.sum())
    scores = Scores()
    with progress("scoring", total) as advance:
        for block in opened.blocks(columns=model.recipe.names, keep=keep):
            probabilities = model.probabilities(model.recipe.transform(block))
            scores = scores.merge(Scores.of(probabilities, codes[block.rows]))
            advance(len(block))
    return scores


def as_text(numbers: dict[str, Any]) -> str:
    return json.dumps(numbers, indent=1)
