"""The scores of a model on labelled rows: gathered as evidence, shown as a table, a report, or JSON for programs."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.errors import UserError
from softmaxes.files import check_writable, replacing
from softmaxes.tables import Table, TableModel

from .console import table as show_table

if TYPE_CHECKING:  # the report is imported by the functions that make one: other commands should not wait for it
    from softmaxes.report import Evidence, Judged
    from softmaxes.report.evidence import Score

    from .passes import Passes

__all__ = ["SHOWN", "check_report", "judge", "judged_rows", "show_scores", "write_report"]

# Shown in the terminal; the report and --json have more.
SHOWN = {
    "accuracy": "accuracy",
    "log_loss": "log-loss",
    "brier_score": "Brier score",
    "calibration_error": "calibration error",
}


def judge(
    model: TableModel,
    passes: Passes,
    target: str,
    *,
    keep: NDArray[np.bool_] | None = None,
    ignore_extra: bool = False,
) -> Judged:
    """Return the state of a model's scores on a table, or on its rows where `keep` is True, in one pass."""
    passes.table.require(target, "the class")
    model.recipe.check_columns(passes.table, ignore_extra=ignore_extra or target != model.recipe.target)
    _, codes = passes.targets(target, model.labels)
    return passes.judged(model, codes, keep)


def judged_rows(
    model: TableModel,
    table: Table,
    codes: NDArray[Any],
    keep: NDArray[np.bool_] | None,
    advance: Callable[[int], None] | None = None,
) -> Judged:
    """Return the state of the scores of a table's rows; codes and keep have one entry for each of them."""
    from softmaxes.report import Judged

    judged = Judged()
    for block in table.blocks(columns=model.recipe.names, keep=keep):
        raw = model.raw_logits(model.recipe.transform(block))
        before = None if model.calibration is None else np.exp(raw)
        own = codes[block.rows - table.first_row]
        judged = judged.merge(Judged.of(model.calibrated(raw), own, uncalibrated=before, row_numbers=block.rows + 1))
        if advance is not None:
            advance(len(block))
    return judged


def show_scores(evidence: Evidence) -> None:
    """Print the scores that matter most, with their intervals."""
    scores = {label: evidence.scores[name] for name, label in SHOWN.items()}
    show_table(
        [(label, number(s.value), interval(s)) for label, s in scores.items()],
        heads=(f"on {evidence.judged_on}", f"{evidence.rows:,} rows", f"{evidence.level:.0%} interval"),
        numbers=True,
    )


def interval(score: Score) -> str:
    return "-" if score.value is None else f"{number(score.low)} to {number(score.high)}"


def number(value: float | None) -> str:
    return "inf" if value is None else f"{value:.4f}"


def check_report(path: Path | None) -> None:
    """Raise UserError, before the long work, unless a report can be written there; None asks for no report."""
    if path is None:
        return
    absent = [package for package in ("altair", "vl_convert", "jinja2") if find_spec(package) is None]
    if absent:
        raise UserError(f"a report needs {' and '.join(absent)}, not installed here: pip install 'softmaxes[report]'")
    check_writable(path)


def write_report(evidence: Evidence, path: Path) -> None:
    """Write the report as one HTML file."""
    from softmaxes.report.render import render

    page = render(evidence)
    with replacing(path) as file:
        file.write(page.encode())
