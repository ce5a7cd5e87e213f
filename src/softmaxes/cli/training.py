"""From an open table to a trained classifier: the steps of `fit`, each a method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.sources import Source, spilled
from softmaxes.tables import Labels, Profile, Recipe, Table, held_out, profile, read_targets

from .console import note, progress
from .memory import fits

__all__ = ["OUT_OF_FOLD", "Training", "listed", "out_of_fold_logits"]

FOLDS = 5
# What a report calls the rows of `out_of_fold_logits`.
OUT_OF_FOLD = "of these rows, each foretold by a model that was not trained on it"

# Why a recipe leaves a column out, other than that the user asked for it.
UNUSED = {
    "constant": "all values are the same",
    "row number": "the column only counts the rows",
    "identifier": "hardly a value occurs twice",
}


@dataclass(frozen=True)
class Training:
    """A table that is ready for training: its classes, which rows are held out, and how its columns are used."""

    table: Table
    labels: Labels
    codes: NDArray[np.int64]
    held: NDArray[np.bool_]
    profile: Profile
    recipe: Recipe

    @classmethod
    def of(
        cls,
        opened: Table,
        target: str,
        *,
        share: float,
        seed: int,
        ignored: list[str],
        categorical: list[str],
    ) -> Training:
        """Read the target, hold out a share of the rows, and profile the others."""
        opened.require(target, "--target")
        for name in ignored:
            opened.require(name, "--ignore")
        for name in categorical:
            opened.require(name, "--categorical")
        labels, codes = read_targets(opened, target)
        held = held_out(codes, share, seed)
        columns = [name for name in opened.columns if name != target and name not in ignored]
        with progress("profiling", int((~held).sum())) as advance:
            found = profile(opened, columns=columns, categorical=categorical, keep=~held, progress=advance)
        return cls(opened, labels, codes, held, found, Recipe.of(found, target=target, ignored=ignored))

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

    def features(self) -> tuple[Any, NDArray[np.int64]]:
        """Return the features of the rows to train on, and the positions of their classes."""
        with progress("encoding", int(self.trained.sum())) as advance:
            return self.recipe.matrix(self.table, keep=self.trained, progress=advance), self.codes[self.trained]

    def blocks_of_features(self, rows: int = 4096) -> Iterator[Any]:
        """Yield the features of the rows to train on, a block at a time."""
        X, _ = self.features()
        for start in range(0, X.shape[0], rows):
            yield X[start : start + rows]

    def fits(self, budget: int) -> bool:
        """Return whether the features can be in memory within a budget in bytes."""
        return fits(budget, int(self.trained.sum()), len(self.recipe.features), self.recipe.is_sparse)

    @contextmanager
    def rows_on_disk(self) -> Iterator[Source]:
        """Lend the rows to train on, which stay on disk: as features in a temporary file if there is room for it."""
        from softmaxes.sources.tables import TableRows

        rows = TableRows(self.table, self.recipe, codes=self.codes, classes=self.labels.array, keep=self.trained)
        with progress("encoding", rows.n_rows) as advance, spilled(rows, note, advance) as copy:
            yield copy

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
    fit: Callable[[Any, NDArray[np.int64]], Any], X: Any, codes: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return logits for the training rows, each from a model that was not trained on it, and the classes they go with.

    The rows are dealt out to five folds class by class; each fold is judged by a model of the other four. Rows whose
    class has no second row are left out.
    """
    counts = np.bincount(codes)
    shuffled = np.random.default_rng(seed).permutation(len(codes))
    by_class = shuffled[np.argsort(codes[shuffled], kind="stable")]
    folds = np.empty(len(codes), dtype=np.int64)
    folds[by_class] = np.arange(len(codes)) % FOLDS
    logits = np.empty((len(codes), len(counts)))
    with progress("calibrating", FOLDS) as advance:
        for fold in range(FOLDS):
            rows = np.flatnonzero((folds == fold) & (counts[codes] > 1))
            others = np.flatnonzero(folds != fold)
            if len(rows):
                logits[rows] = fit(X[others], codes[others]).predict_log_proba(X[rows])
            advance(1)
    used = counts[codes] > 1
    return logits[used], codes[used]


def listed(names: list[str]) -> str:
    """Return the first few of some names, and how many more there are."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
