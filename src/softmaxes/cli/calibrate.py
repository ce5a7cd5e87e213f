"""`softmaxes calibrate`: make a model's probabilities mean what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from softmaxes import persistence
from softmaxes.errors import UserError
from softmaxes.files import check_writable
from softmaxes.tables import Table, TableModel, open_table, read_targets

from .console import note, progress, say, table
from .evaluate import load_model
from .judging import SHOWN
from .training import listed

__all__ = ["Method", "calibrate", "described", "labelled_logits", "with_calibration"]

# Those that `fit` can fit; where the classes come in other shares than in training is for `calibrate` to know.
Method = Literal["temperature", "vector", "matrix", "structured", "dirichlet"]
MethodOrPrior = Literal["temperature", "vector", "matrix", "structured", "dirichlet", "prior"]

# What it means that a temperature has no minimum inside its bounds, and what to do about it.
AT_BOUND = {
    "lower": "all these rows are right, so none argues against certainty, and the model now claims it; bring more rows",
    "upper": "on these rows the model misleads on average, so it now says that all classes are alike; look at the rows",
}


def calibrate(
    model: Path,
    data: Path,
    /,
    *,
    method: MethodOrPrior = "temperature",
    output: Path | None = None,
    target: str | None = None,
    ignore_extra: bool = False,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> None:
    """Fit a calibration of a model's probabilities on rows that it was not trained on, and save both.

    Of the predictions that a calibrated model makes with probability 0.9, nine in ten are right. A calibration that
    the model had before is replaced.

    Examples:

    ```
    softmaxes calibrate flowers.softmaxes more-flowers.csv
    softmaxes calibrate flowers.softmaxes more-flowers.csv --method structured --output calibrated.softmaxes
    ```

    Parameters
    ----------
    model
        A model that `softmaxes fit` saved.
    data
        The table: CSV, Parquet or Arrow; rows that the model was not trained on, with their classes.
    method
        temperature: divide all logits by one number, which leaves every prediction as it is. vector, matrix,
        structured, dirichlet: affine maps with more and more freedom, which need many rows. prior: only shift from how
        often each class came in training to how often it comes in DATA.
    output
        Where to save the calibrated model. [default: MODEL itself]
    target
        The column that holds the class. [default: the one that it was trained with]
    ignore_extra
        Accept columns that the model was not trained on.
    delimiter
        The character between the fields of a CSV, if the guess is wrong.
    encoding
        The character set of a CSV, such as utf-8 or latin-1, if the guess is wrong.
    """
    from softmaxes.report import Judged

    output = output or model
    check_writable(output)
    fitted = load_model(model)
    opened = open_table(data, delimiter=delimiter, encoding=encoding)
    logits, codes = labelled_logits(fitted, opened, target, ignore_extra=ignore_extra)
    if fitted.calibration is not None:
        note(f"the calibration that the model had, {described(fitted)}, is replaced")
    calibrated = with_calibration(fitted, method, logits, codes, f"rows of {data.name}")
    persistence.save(calibrated, output)
    before, after = (Judged.of(each.calibrated(logits), codes) for each in (fitted, calibrated))
    table(
        [
            (label, f"{before.states[name].value:.4f}", f"{after.states[name].value:.4f}")
            for name, label in SHOWN.items()
        ],
        heads=(f"on these {len(codes):,} rows", "before", "after"),
        numbers=True,
    )
    say()
    say(f"{described(calibrated)}; saved {output}")


def labelled_logits(
    model: TableModel, opened: Table, target: str | None, *, ignore_extra: bool
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the logits before any calibration, (rows, classes), and the classes of the rows of a table."""
    column = target or model.recipe.target or ""
    opened.require(column, "the class")
    model.recipe.check_columns(opened, ignore_extra=ignore_extra or column != model.recipe.target)
    _, codes = read_targets(opened, column, model.labels)
    logits = []
    with progress("predicting", len(codes)) as advance:
        for block in opened.blocks(columns=model.recipe.names):
            logits.append(model.raw_logits(model.recipe.transform(block)))
            advance(len(block))
    return np.concatenate(logits), codes


def with_calibration(
    model: TableModel, method: MethodOrPrior, logits: NDArray[Any], codes: NDArray[np.int64], rows: str
) -> TableModel:
    """Return the model with a calibration fitted on logits and classes, and what a report calls these rows.

    UserError if the rows are too few or too uniform for it.
    """
    from softmaxes.calibration import CALIBRATIONS

    if len(codes) and (codes == codes[0]).all():
        raise UserError(
            f"a calibration needs rows of at least two classes, and all {len(codes):,} are of "
            f"{model.labels.values[codes[0]]!r}"
        )
    settings = {"source": training_frequencies(model, codes)} if method == "prior" else {}
    try:
        fitted = CALIBRATIONS[method](**settings).fit(logits, codes, classes=np.arange(logits.shape[1]))
    except ValueError as error:
        raise UserError(f"the calibration can't be fitted: {error}") from error
    bound = getattr(fitted, "at_bound_", None)
    if bound is not None:
        note(f"the temperature stopped at its {bound} bound: {AT_BOUND[bound]}")
    known = {"rows_calibrated": len(codes), "calibrated_on": rows}
    return replace(model, calibration=fitted, facts={**model.facts, **known})


def training_frequencies(model: TableModel, codes: NDArray[np.int64]) -> list[int]:
    """Return how often each class came in training; UserError if that, or its frequency now, is not known."""
    counts = list(model.facts.get("class_counts", ()))
    if len(counts) != len(model.labels):
        raise UserError("--method prior needs a model that remembers how often each class came in training")
    absent = np.setdiff1d(np.arange(len(counts)), codes)
    if len(absent):
        names = listed([repr(model.labels.values[k]) for k in absent])
        raise UserError(f"--method prior needs rows of every class, and there are none of {names}")
    return counts


def described(model: Any) -> str:
    """Return what a model's calibration is, in words."""
    from softmaxes.report import training_of

    return training_of(model).calibration or "none"
