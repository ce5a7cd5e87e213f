"""A table as a row of smaller tables that can be read one apart from the other, by other processes or machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from .dialect import Form
from .formats import group_rows
from .reading import Table

__all__ = ["numbered", "parts_of"]

PART_VALUES = 1 << 23
"""A part grows by whole row groups until it has at least so many values: 32 MB of them in float32."""


def parts_of(table: Table, values: int = PART_VALUES) -> list[Table]:
    """Return the table in parts, from its first row to its last, cut as the table is stored and in no other way.

    A file is one part, but Parquet and Arrow files of many row groups or record batches are cut between these. Paths
    are absolute, so that another process finds them. Parts don't know how many rows stand above them: see `numbered`.

    Examples
    --------
    >>> import pathlib, tempfile, pyarrow as pa, pyarrow.parquet
    >>> from softmaxes.tables import open_table, parts_of
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.parquet")
    ...     pyarrow.parquet.write_table(pa.table({"x": range(10), "y": range(10)}), path, row_group_size=2)
    ...     [(part.span, part.n_rows) for part in parts_of(open_table(path), values=6)]
    [((0, 2), 4), ((2, 4), 4), ((4, 5), 2)]
    """
    if not table.files:
        return [table]
    rows = max(1, values // len(table.columns))
    return [
        Table(named(path, form, span), table.columns, ((path.resolve(), form, dialect),), span=span)
        for path, form, dialect in table.files
        for span in spans(group_rows(path, form), rows)
    ]


def numbered(parts: Iterable[Table], rows: Iterable[int]) -> list[Table]:
    """Return the parts with the number of rows above each, from the rows that they have."""
    return [replace(part, first_row=first) for part, first in zip(parts, accumulate(rows, initial=0), strict=False)]


def spans(groups: list[int], rows: int) -> Iterator[tuple[int, int] | None]:
    """Yield stretches of at least so many rows, or None for a file that can only be read whole."""
    if len(groups) < 2:
        yield None
        return
    start = held = 0
    for group, count in enumerate(groups):
        held += count
        if held >= rows or group == len(groups) - 1:
            yield start, group + 1
            start, held = group + 1, 0


def named(path: Path, form: Form, span: tuple[int, int] | None) -> str:
    """Return a part's name, for messages."""
    if span is None:
        return str(path)
    what = "row group" if form == "parquet" else "batch"
    first, last = span[0], span[1] - 1
    return f"{path}, {what} {first}" if first == last else f"{path}, {what}s {first} to {last}"
