"""The passes over a table that commands make, each by one method: on this machine here, on a cluster in `cluster`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.sources import Arrays, Source, Sparse, spilled
from softmaxes.tables import Labels, Profile, Recipe, Table, TableModel, profile, read_targets

from .console import note, progress
from .judging import judged_rows
from .memory import fits

if TYPE_CHECKING:
    from softmaxes.report import Judged

__all__ = ["Here", "Passes"]


class Passes(ABC):
    """A table, and where it is read. codes and keep have one entry for each of its rows."""

    table: Table

    @abstractmethod
    def targets(self, target: str, labels: Labels | None = None) -> tuple[Labels, NDArray[Any]]:
        """Return the classes in a column and the class of each row: see `softmaxes.tables.read_targets`."""

    @abstractmethod
    def profile(self, columns: Collection[str], categorical: Collection[str], keep: NDArray[np.bool_]) -> Profile:
        """Return what the columns hold in the rows to keep."""

    @abstractmethod
    def rows(
        self, recipe: Recipe, labels: Labels, codes: NDArray[Any], keep: NDArray[np.bool_]
    ) -> AbstractContextManager[Source]:
        """Lend the rows to keep as features and classes."""

    @abstractmethod
    def judged(self, model: TableModel, codes: NDArray[Any], keep: NDArray[np.bool_] | None) -> Judged:
        """Return the state of a model's scores on the rows to keep."""


@dataclass(frozen=True)
class Here(Passes):
    """A table that this process reads. budget: the bytes of memory that may be used; None for as many as it takes."""

    table: Table
    budget: int | None = None

    def targets(self, target: str, labels: Labels | None = None) -> tuple[Labels, NDArray[Any]]:
        return read_targets(self.table, target, labels)

    def profile(self, columns: Collection[str], categorical: Collection[str], keep: NDArray[np.bool_]) -> Profile:
        with progress("profiling", int(keep.sum())) as advance:
            return profile(self.table, columns=columns, categorical=categorical, keep=keep, progress=advance)

    @contextmanager
    def rows(self, recipe: Recipe, labels: Labels, codes: NDArray[Any], keep: NDArray[np.bool_]) -> Iterator[Source]:
        """Lend the rows in memory if they fit; else from a temporary file, or as the table if the disk is short."""
        from softmaxes.sources.tables import TableRows

        count, dtype = int(keep.sum()), dtype_of(self.table, recipe)
        with ExitStack() as stack:
            with progress("encoding", count) as advance:
                if fits(self.budget, count, len(recipe.features), dtype.itemsize, recipe.is_sparse):
                    X = recipe.matrix(self.table, dtype=dtype, keep=keep, progress=advance)
                    kind = Sparse if recipe.is_sparse else Arrays
                    rows: Source = kind(X, codes[keep].astype(np.int64), classes=labels.array)
                else:
                    table = TableRows(self.table, recipe, codes=codes, classes=labels.array, keep=keep, dtype=dtype)
                    rows = stack.enter_context(spilled(table, note, advance))
            yield rows

    def judged(self, model: TableModel, codes: NDArray[Any], keep: NDArray[np.bool_] | None) -> Judged:
        with progress("scoring", len(codes) if keep is None else int(keep.sum())) as advance:
            return judged_rows(model, self.table, codes, keep, advance)


def dtype_of(table: Table, recipe: Recipe) -> np.dtype[Any]:
    """Return float32 for columns of numbers that are stored in it, or in less: float64 would only add zeros."""
    from softmaxes.sources.tables import is_narrow
    from softmaxes.tables import Numeric

    numbers = all(isinstance(column, Numeric) for column in recipe.columns)
    return np.dtype(np.float32 if numbers and table.files and is_narrow(table, recipe.names) else np.float64)
