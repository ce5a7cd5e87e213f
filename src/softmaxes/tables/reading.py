"""A table on disk, or in memory, as a value that can be read again and again, block by block."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.errors import UserError

from .dialect import Dialect, Form, sniff
from .formats import column_names, file_batches, group_rows, plain

__all__ = ["BLOCK_ROWS", "Block", "Table", "as_table", "nearest", "open_table"]

BLOCK_ROWS = 1 << 16

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".arrow", ".feather", ".ipc")


@dataclass(frozen=True)
class Block:
    """Some rows of a table.

    Parameters
    ----------
    batch
        A pyarrow record batch; its columns are of five types: string, int64, float64, bool, timestamp[us].
    rows
        Where each row stands in the table, counted from 0 without the header.
    """

    batch: Any
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def row_number(self, index: int) -> int:
        """Return a row's number as a person counts: the first row below the header is row 1."""
        return int(self.rows[index]) + 1

    def where(self, keep: NDArray[np.bool_]) -> Block:
        """Return the rows of this block for which `keep` is True."""
        if keep.all():
            return self
        import pyarrow as pa

        return Block(self.batch.filter(pa.array(keep)), self.rows[keep])


@dataclass(frozen=True)
class Table:
    """Files with the same columns, one below the other; or a table that is already in memory.

    A table opens its files anew for each pass, reads them in the same order, and closes them also when a pass
    ends early or fails. `open_table` and `as_table` make one.

    A part of a table is a table (`parts_of` makes them): span says which row groups or record batches of its one file
    belong to it, from the first to before the second, and first_row how many rows of the whole stand above it.
    """

    name: str
    columns: tuple[str, ...]
    files: tuple[tuple[Path, Form, Dialect], ...] = ()
    data: Any = field(default=None, repr=False)
    span: tuple[int, int] | None = None
    first_row: int = 0

    def blocks(
        self,
        rows: int = BLOCK_ROWS,
        *,
        columns: Sequence[str] | None = None,
        keep: NDArray[np.bool_] | None = None,
    ) -> Iterator[Block]:
        """Yield the table in order, cut after every `rows` rows of it.

        Parameters
        ----------
        rows
            The number of table rows that a block covers; the last one may cover fewer.
        columns
            The columns wanted; all of them if not given.
        keep
            A mask over the rows of this table: rows where it is False are left out, but still counted.

        Raises
        ------
        UserError
            If a file turns out to be ragged, truncated or otherwise unreadable; the message names file and row.
        """
        start = 0
        for batch in rebatch(self._batches(self.columns if columns is None else columns), rows):
            here = slice(start, start + batch.num_rows)
            start += batch.num_rows
            block = Block(batch, np.arange(here.start, start, dtype=np.int64) + self.first_row)
            if keep is not None:
                block = block.where(keep[here])
            if len(block):
                yield block

    @cached_property
    def n_rows(self) -> int:
        """The number of rows: from the footers of Parquet files; other forms are read through once."""
        if self.data is not None:
            return int(self.data.num_rows)
        return sum(count_rows(path, form, dialect, self.span) for path, form, dialect in self.files)

    @property
    def known_rows(self) -> int | None:
        """The number of rows if it can be told without reading the table through, else None."""
        at_once = self.data is not None or all(form == "parquet" for _, form, _ in self.files)
        return self.n_rows if at_once else None

    @property
    def n_bytes(self) -> int:
        """The size of the files."""
        return sum(path.stat().st_size for path, _, _ in self.files)

    def require(self, name: str, role: str) -> None:
        """Raise UserError, with the columns there are and the nearest of them, unless `name` is a column."""
        if name not in self.columns:
            raise UserError(f"{self.name} has no column {name!r} for {role}; {nearest(name, self.columns)}")

    def _batches(self, columns: Sequence[str]) -> Iterator[Any]:
        if self.data is not None:
            for batch in self.data.select(list(columns)).to_batches():
                yield plain(batch, self.name)
        for path, form, dialect in self.files:
            yield from file_batches(path, form, dialect, columns, self.span)


def open_table(path: str | Path, *, delimiter: str | None = None, encoding: str | None = None) -> Table:
    """Return the table in a file, or in all table files of a folder in the order of their names.

    What a file is, CSV, Parquet, Arrow file or Arrow stream, is seen from its first bytes; a CSV file's delimiter,
    encoding and decimal mark are found by looking at its first 64 kB.

    Parameters
    ----------
    path
        A file, or a folder of files with the same columns.
    delimiter, encoding
        How a CSV file is written, where the guess would be wrong.

    Raises
    ------
    UserError
        If there is nothing there, nothing in it, or no table.
    """
    path = Path(path)
    parts = [path]
    if path.is_dir():
        parts = sorted(part for part in path.iterdir() if part.suffix.lower() in SUFFIXES and part.is_file())
        if not parts:
            raise UserError(f"{path} is a folder without a table in it; looked for {', '.join(SUFFIXES)}")
    elif not path.exists():
        raise UserError(f"{path} does not exist{near_file(path)}")
    files = []
    columns: tuple[str, ...] = ()
    for part in parts:
        if not part.is_file():
            raise UserError(f"{part} is a pipe or a device; a table is read more than once: write it to a file first")
        form, dialect = sniff(part, delimiter=delimiter, encoding=encoding)
        names = column_names(part, form, dialect)
        if columns and set(names) != set(columns):
            odd = sorted(set(names) ^ set(columns))[0]
            raise UserError(f"{part} and {parts[0]} don't have the same columns: only one of them has {odd!r}")
        columns = columns or names
        files.append((part, form, dialect))
    table = Table(str(path), columns, tuple(files))
    if next(table.blocks(1, columns=columns[:1]), None) is None:
        raise UserError(f"{path} has a header with {len(columns)} columns but no rows")
    return table


def as_table(data: Any) -> Table:
    """Return a table for a path, a pyarrow table, or any data frame that speaks Arrow (pandas, polars, ...)."""
    if isinstance(data, Table):
        return data
    if isinstance(data, str | Path):
        return open_table(data)
    import pyarrow as pa

    try:
        table = pa.table(data)
    except (TypeError, ValueError) as error:
        raise TypeError(f"a path, a pyarrow table or a data frame is needed, not {type(data).__name__}") from error
    return Table("the table", tuple(map(str, table.column_names)), data=table)


def count_rows(path: Path, form: Form, dialect: Dialect, span: tuple[int, int] | None) -> int:
    if form == "parquet":
        return sum(group_rows(path, form)[slice(*span) if span else slice(None)])
    first = column_names(path, form, dialect)[:1]
    return sum(batch.num_rows for batch in file_batches(path, form, dialect, first, span))


def rebatch(batches: Iterable[Any], rows: int) -> Iterator[Any]:
    """Cut record batches anew, after every `rows` rows, so that a block does not depend on how a file was written."""
    import pyarrow as pa

    waiting: list[Any] = []
    count = 0
    for batch in batches:
        offset = 0
        while count + batch.num_rows - offset >= rows:
            take = rows - count
            yield joined(pa, [*waiting, batch.slice(offset, take)])
            offset += take
            waiting, count = [], 0
        if offset < batch.num_rows:
            waiting.append(batch.slice(offset))
            count += batch.num_rows - offset
    if waiting:
        yield joined(pa, waiting)


def joined(pa: Any, batches: list[Any]) -> Any:
    if len(batches) == 1:
        return batches[0]
    try:
        return pa.concat_batches(batches)
    except pa.ArrowInvalid as error:
        raise UserError(f"the files don't agree about a column's type: {str(error).splitlines()[0]}") from error


def nearest(name: str, names: Iterable[str]) -> str:
    """Return "did you mean ...?" and the names that there are, for a message about one that there is not."""
    names = list(names)
    folded = {candidate.casefold(): candidate for candidate in reversed(names)}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    hint = f"did you mean {folded[close[0]]!r}? " if close else ""
    return f"{hint}It has: {shown}" if hint else f"it has: {shown}"


def near_file(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.parent / close[0]}?" if close else ""
