"""From an open table to a trained classifier: the steps of `fit`, each a method."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.sources import Source
from softmaxes.sources.views import applied, weighted
from softmaxes.tables import Labels, Profile, Recipe, Table, folds_of, held_out

from .console import progress
from .passes import Passes

__all__ = ["OUT_OF_FOLD", "Training", "listed", "out_of_fold_logits"]

FOLDS = 5
MOST_LOGITS = 1 << 23  # 64 MB; what a calibration has to learn, millions of rows have said long before
# What a report calls the rows of `out_of_fold_logits`.
OUT_OF_FOLD = "predictions for these rows, each by a model that was not trained on it"

# Why a recipe leaves a column out, other than that the user asked for it.
UNUSED = {
    "constant": "all values are the same",
    "row number": "the column only counts the rows",
    "identifier": "hardly a value occurs twice",
}


@dataclass(frozen=True)
class Training:
    """A table that is ready for training: its classes, which rows are held out, and how its columns are used."""

    passes: Passes
    labels: Labels
    codes: NDArray[Any]
    held: NDArray[np.bool_]
    profile: Profile
    recipe: Recipe

    @classmethod
    def of(
        cls,
        passes: Passes,
        target: str,
        *,
        share: float,
        seed: int,
        ignored: list[str],
        categorical: list[str],
    ) -> Training:
        """Read the target, hold out a share of the rows, and profile the others."""
        opened = passes.table
        opened.require(target, "--target")
        for name in ignored:
            opened.require(name, "--ignore")
        for name in categorical:
            opened.require(name, "--categorical")
        labels, codes = passes.targets(target)
        held = held_out(codes, share, seed)
        columns = [name for name in opened.columns if name != target and name not in ignored]
        found = passes.profile(columns, categorical, ~held)
        return cls(passes, labels, codes, held, found, Recipe.of(found, target=target, ignored=ignored))

    @property
    def table(self) -> Table:
        """The table."""
        return self.passes.table

    @property
    def trained(self) -> NDArray[np.bool_]:
        """The rows to train on."""
        return ~self.held

    def remarks(self) -> list[str]:
        """Return what the user should know about how the table was read."""
        remarks = []
        for path, form, dialect in self.table.files:
            if form == "csv" and dialect.encoding not in ("utf-8", "utf-16"):
                remarks.append(f"{path} is not UTF-8; it is read as {dialect.encoding}")
            if form == "csv" and dialect.decimal == ",":
                remarks.append(f"{path} writes numbers with a decimal comma; 3,14 is read as 3.14")
        for reason, why in UNUSED.items():
            names = [name for name, its in self.recipe.unused if its == reason]
            if names:
                remarks.append(f"left out because {why}: {listed(names)}")
        for name in self.recipe.names:
            column = self.profile.columns[name]
            if column.numbers > 0.5 * column.present and column.not_a_number is not None:
                row, text = column.not_a_number
                remarks.append(
                    f"column {name!r} is treated as names: {column.present - column.numbers} of {column.present} "
                    f"values are no numbers, first {text!r} in row {row}"
                )
        return remarks

    def rows(self) -> AbstractContextManager[Source]:
        """Lend the rows to train on, wherever they are: see `Passes.rows`."""
        return self.passes.rows(self.recipe, self.labels, self.codes, self.trained)

    def facts(self, data: Path, seed: int) -> dict[str, Any]:
        """Return what the model file remembers of the training."""
        from softmaxes import __version__

        counts = np.bincount(self.codes[self.trained], minlength=len(self.labels))
        return {
            "data": data.name,
            "columns": len(self.table.columns),
            "rows": len(self.codes),
            "rows_trained": int(self.trained.sum()),
            "rows_held_out": int(self.held.sum()),
            "seed": seed,
            "class_counts": counts.tolist(),
            "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": __version__,
        }


def out_of_fold_logits(
    new: Callable[[], Any], rows: Source, codes: NDArray[Any], n_classes: int, seed: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return logits for the training rows, each from a model that was not trained on it, and the classes they go with.

    The rows are dealt out to five folds class by class; each fold is judged by a model of the other four, in which its
    own rows have weight 0. Rows whose class has no second row are left out, and of more rows than `MOST_LOGITS` allow
    only every so-manieth is judged.
    """
    folds = folds_of(codes, FOLDS, seed)
    used = (np.bincount(codes, minlength=n_classes) > 1)[codes]
    used[np.arange(len(codes)) % -(-len(codes) * n_classes // MOST_LOGITS) != 0] = False
    logits = np.empty((int(used.sum()), n_classes), rows.dtype)
    with progress("calibrating", FOLDS) as advance:
        for fold in range(FOLDS):
            wanted = used & (folds == fold)
            if wanted.any():
                others = new().fit(weighted(rows, (folds != fold).astype(np.float64)))
                logits[wanted[used]] = applied(others.predict_log_proba, rows, wanted)
            advance(1)
    return logits, codes[used]


def listed(names: list[str]) -> str:
    """Return the first few of some names, and how many more there are."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
