"""Rows of tables on disk: CSV, Parquet and Arrow files, or folders of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.errors import UserError
from softmaxes.sources.base import Block, Source, recut
from softmaxes.tables import BLOCK_ROWS, Recipe, Table, open_table, profile, read_targets
from softmaxes.tables.reading import Block as TableBlock
from softmaxes.tables.values import as_numbers

FORMS = {"parquet": "Parquet", "csv": "CSV", "arrow": "Arrow", "arrow-stream": "Arrow"}

BLOCK_BYTES = 1 << 23
"""About what the features of one block may take while a table is decoded."""

NARROW = ("float", "halffloat", "int8", "int16", "uint8", "uint16", "bool")
"""Arrow types whose values float32 holds exactly."""


class TableRows(Source):
    """The rows of an open table, decoded block by block on every pass; `Parquet`, `Csv` and `Arrow` make one.

    table: the table. features: what turns its blocks into features, a `Recipe` or `Numbers`. codes: the class of every
    row of the table, positions in classes, whole numbers of any type; None where there is no target. weight: a column
    of weights. keep: a mask over the table's rows. block_rows: rows decoded at a time; nothing but memory and time
    depends on it.
    """

    def __init__(
        self,
        table: Table,
        features: Recipe | Numbers,
        *,
        codes: NDArray[Any] | None = None,
        classes: np.ndarray | None = None,
        weight: str | None = None,
        keep: NDArray[np.bool_] | None = None,
        block_rows: int | None = None,
        dtype: Any = np.float64,
    ) -> None:
        self.table = table
        self.features = features
        self.codes = codes
        self.classes = classes
        self.weight = weight
        self.keep = keep
        self.n_features = len(features.features)
        self.is_sparse = features.is_sparse
        self.dtype = np.dtype(dtype)
        row_bytes = 8 * (100 if self.is_sparse else self.n_features)
        self.block_rows = block_rows or max(256, min(BLOCK_ROWS, BLOCK_BYTES // row_bytes))
        rows_of_table = table.n_rows if codes is None else len(codes)
        self.n_rows = rows_of_table if keep is None else int(keep.sum())

    @property
    def recipe(self) -> Recipe | None:
        """The recipe that makes the features, for `softmaxes.tables.TableModel`; None for numbers as they stand."""
        return self.features if isinstance(self.features, Recipe) else None

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield the rows in the order of the files, in blocks of `rows` rows, whatever their row groups.

        Raises UserError that names the file, and the row group or the row, where one can't be read.
        """
        return recut(self._pieces(), rows)

    def _pieces(self) -> Iterator[Block]:
        columns = [*self.features.names, *([self.weight] if self.weight else [])]
        seen = 0
        for block in self.table.blocks(self.block_rows, columns=columns, keep=self.keep):
            seen += len(block)
            if seen > self.n_rows:
                break
            yield Block(
                self.features.transform(block, self.dtype),
                None if self.codes is None else self.codes[block.rows].astype(np.int64),
                None if self.weight is None else _weights(block, self.weight),
            )
        release()
        if seen != self.n_rows:
            raise UserError(
                f"{self.table.name} had {self.n_rows} rows and now has others: it changed while it was read"
            )


@dataclass(frozen=True)
class Numbers:
    """Columns of numbers as features, as they stand."""

    names: tuple[str, ...]
    is_sparse: bool = False

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features: those of the columns."""
        return self.names

    def transform(self, block: TableBlock, dtype: Any) -> np.ndarray:
        """Return the features of a block, (rows, features). Raises UserError for what is no finite number."""
        X = np.empty((len(block), len(self.names)), dtype)
        for place, name in enumerate(self.names):
            X[:, place] = _finite(block, name)
        return X


def _finite(block: TableBlock, name: str) -> NDArray[np.float64]:
    column = block.batch.column(name)
    numbers = as_numbers(column)
    if numbers is None:
        first = next(row for row in range(len(column)) if as_numbers(column.slice(row, 1)) is None)
        raise UserError(
            f"column {name!r} holds {column[first].as_py()!r} in row {block.row_number(first)}, no number; name the "
            "columns to use, columns=[...], or pass recipe='auto' to make features of names, dates and text as well"
        )
    if not np.isfinite(numbers).all():
        first = int(np.flatnonzero(~np.isfinite(numbers))[0])
        what = "missing" if np.isnan(numbers[first]) else "infinite"
        advice = "; pass recipe='auto' to fill in what is missing" if what == "missing" else ""
        raise UserError(
            f"column {name!r} is {what} in row {block.row_number(first)}; a finite number is needed{advice}"
        )
    return numbers


def _weights(block: TableBlock, name: str) -> NDArray[np.float64]:
    weights = _finite(block, name)
    if (weights < 0).any():
        row = block.row_number(int(np.flatnonzero(weights < 0)[0]))
        raise UserError(f"weight {name!r} is negative in row {row}; weights are at least 0")
    return weights


class _File(TableRows):
    form = ""

    def __init__(
        self,
        path: str | Path,
        *,
        target: str | None = None,
        weight: str | None = None,
        columns: Sequence[str] | None = None,
        recipe: Recipe | str | None = None,
        block_rows: int | None = None,
        dtype: Any = None,
        **reading: Any,
    ) -> None:
        table = open_table(path, **reading)
        for file, form, _ in table.files:
            if FORMS[form] != self.form:
                raise UserError(f"{file} is a file of {FORMS[form]} form, not {self.form}; use sources.{_NAMES[form]}")
        for name in columns or ():
            table.require(name, "columns")
        if weight is not None:
            table.require(weight, "weight")
        if block_rows is not None and block_rows < 1:
            raise ValueError(f"block_rows={block_rows}; a whole number of at least 1 is needed")
        labels, codes = (None, None) if target is None else read_targets(table, target)
        release()
        wanted = [name for name in columns or table.columns if name not in (target, weight)]
        features: Recipe | Numbers
        if recipe is None:
            features = Numbers(tuple(wanted))
        elif isinstance(recipe, Recipe):
            features = recipe
        elif recipe == "auto":
            features = Recipe.of(profile(table, columns=wanted), target=target)
        else:
            raise ValueError(f"recipe={recipe!r}; None, 'auto' or a Recipe is needed")
        if dtype is None:
            dtype = np.float32 if recipe is None and is_narrow(table, wanted) else np.float64
        super().__init__(
            table,
            features,
            codes=codes,
            classes=None if labels is None else labels.array,
            weight=weight,
            block_rows=block_rows,
            dtype=dtype,
        )
        self.feature_names = features.features

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.table.name!r}, {self.n_rows} rows, {self.n_features} features)"


class Parquet(_File):
    """Rows of a Parquet file, or of a folder of them in the order of their names.

    target: the column of labels. weight: a column of weights. columns: those that become features; all others if not
    given. recipe: None takes columns of numbers as they stand; "auto" profiles the table in one pass and makes features
    of names, dates, text and missing values as `softmaxes fit` does; a `Recipe` is used as it is. block_rows: rows
    decoded at a time. dtype: float32 if that holds all columns exactly, else float64, unless given.

    classes: the labels, sorted; targets of the blocks are positions in it. Raises UserError for what can't be read.

    >>> import tempfile, pyarrow as pa, pyarrow.parquet
    >>> from softmaxes import SoftmaxClassifier
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = pa.table({"size": [1.0, 2.0, 3.0, 4.0], "kind": ["a", "a", "b", "b"]})
    ...     pyarrow.parquet.write_table(table, f"{folder}/data.parquet")
    ...     source = Parquet(f"{folder}/data.parquet", target="kind")
    ...     SoftmaxClassifier().fit(source).classes_.tolist()
    ['a', 'b']
    """

    form = "Parquet"


class Csv(_File):
    """Rows of a CSV file or of a folder of them; see `Parquet`. delimiter, encoding: where the guess would be wrong."""

    form = "CSV"


class Arrow(_File):
    """Rows of an Arrow file or stream, or of a folder of them; see `Parquet`."""

    form = "Arrow"


_NAMES = {"parquet": "Parquet", "csv": "Csv", "arrow": "Arrow", "arrow-stream": "Arrow"}


def release() -> None:
    """Give back to the system what pyarrow keeps for later; after a column was read whole that is several times it."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def is_narrow(table: Table, names: Sequence[str]) -> bool:
    """Return whether float32 holds all values of these columns exactly; False where types are not declared."""
    from softmaxes.tables.formats import schema_of

    return all(
        form != "csv" and all(str(schema_of(path, form).field(name).type) in NARROW for name in names)
        for path, form, _ in table.files
    )
