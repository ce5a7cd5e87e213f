"""The scores of a model on labelled rows: gathered as evidence, shown as a table, a report, or JSON for programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softmaxes.files import replacing
from softmaxes.report import Evidence, Judged, render
from softmaxes.report.evidence import Score
from softmaxes.tables import Table, TableModel, read_targets

from .console import progress, table

__all__ = ["SHOWN", "judge", "show_scores", "write_report"]

# Shown in the terminal; the report and --json have more.
SHOWN = {
    "accuracy": "accuracy",
    "log_loss": "log-loss",
    "brier_score": "Brier score",
    "calibration_error": "calibration error",
}


def judge(
    model: TableModel,
    opened: Table,
    target: str,
    *,
    keep: NDArray[np.bool_] | None = None,
    ignore_extra: bool = False,
) -> Judged:
    """Return the state of a model's scores on a table, or on its rows where `keep` is True, in one pass."""
    opened.require(target, "the class")
    model.recipe.check_columns(opened, ignore_extra=ignore_extra or target != model.recipe.target)
    _, codes = read_targets(opened, target, model.labels)
    judged = Judged()
    with progress("scoring", len(codes) if keep is None else int(keep.sum())) as advance:
        for block in opened.blocks(columns=model.recipe.names, keep=keep):
            raw = model.raw_logits(model.recipe.transform(block))
            before = None if model.calibration is None else np.exp(raw)
            judged = judged.merge(
                Judged.of(
                    model.calibrated(raw),
                    codes[block.rows],
                    uncalibrated=before,
                    row_numbers=block.rows + 1,
                )
            )
            advance(len(block))
    return judged


def show_scores(evidence: Evidence) -> None:
    """Print the scores that matter most, with their intervals."""
    scores = {label: evidence.scores[name] for name, label in SHOWN.items()}
    table(
        [(label, number(s.value), interval(s)) for label, s in scores.items()],
        heads=(f"on {evidence.judged_on}", f"{evidence.rows:,} rows", f"{evidence.level:.0%} interval"),
        numbers=True,
    )


def interval(score: Score) -> str:
    return "-" if score.value is None else f"{number(score.low)} to {number(score.high)}"


def number(value: float | None) -> str:
    return "inf" if value is None else f"{value:.4f}"


def write_report(evidence: Evidence, path: Path) -> None:
    """Write the report as one HTML file."""
    page = render(evidence)
    with replacing(path) as file:
        file.write(page.encode())
