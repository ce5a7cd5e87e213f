"""`softmaxes evaluate`: the scores of a model on labelled rows."""

from __future__ import annotations

from json import dumps
from pathlib import Path

from softmaxes import persistence
from softmaxes.errors import UserError
from softmaxes.tables import TableModel, open_table

from .cluster import check_cluster, reading
from .console import say
from .judging import check_report, judge, show_scores, write_report

__all__ = ["evaluate", "load_model"]


def evaluate(
    model: Path,
    data: Path,
    /,
    *,
    target: str | None = None,
    json: bool = False,
    report: Path | None = None,
    ignore_extra: bool = False,
    workers: int | None = None,
    dask: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> None:
    """Score a model on a table of rows whose classes are known.

    Use rows that the model was not trained on, or the scores flatter it.

    Examples:

    ```
    softmaxes evaluate flowers.softmaxes flowers-2025.csv
    softmaxes evaluate flowers.softmaxes flowers-2025.csv --json | jq .scores.log_loss.value
    softmaxes evaluate flowers.softmaxes flowers-2025.csv --report flowers-2025.html
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
        Print the numbers as JSON, for programs: all those that the report shows.
    report
        Write a report as one HTML file that needs nothing else.
    ignore_extra
        Accept columns that the model was not trained on.
    workers
        Score on so many worker processes, started for it. The scores do not depend on it.
    dask
        Score on the workers of a running Dask cluster, which must see DATA by the same path: the scheduler's address.
    delimiter
        The character between the fields of a CSV, if the guess is wrong.
    encoding
        The character set of a CSV, such as utf-8 or latin-1, if the guess is wrong.
    """
    from softmaxes.report import evidence_of, training_of

    check_report(report)
    check_cluster(dask, workers)
    fitted = load_model(model)
    opened = open_table(data, delimiter=delimiter, encoding=encoding)
    with reading(dask, workers) as read:
        judged = judge(fitted, read(opened), target or fitted.recipe.target or "", ignore_extra=ignore_extra)
    evidence = evidence_of(
        judged,
        fitted.classes_.tolist(),
        training=training_of(fitted),
        title=f"{model.stem} on {data.name}",
        judged_on=f"the rows of {data.name}",
    )
    if report is not None:
        write_report(evidence, report)
    if json:
        say(dumps(evidence.to_dict(), indent=1, ensure_ascii=False, allow_nan=False))
        return
    show_scores(evidence)
    if report is not None:
        say(f"wrote {report}")


def load_model(path: Path) -> TableModel:
    """Return the model in a file, if it is one that takes tables."""
    model = persistence.load(path)
    if not isinstance(model, TableModel):
        raise UserError(
            f"{path} holds a classifier of plain arrays, without the recipe for a table; "
            f"use it from Python: softmaxes.load({str(path)!r})"
        )
    return model
