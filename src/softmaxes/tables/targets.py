"""The target column of a table as a state that merges: what values it holds, and which of them each row has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.errors import UserError

from .labels import Labels
from .reading import Table, nearest

__all__ = ["Targets", "read_targets"]

# More classes than this, among numbers that aren't whole, are a measurement and not a class.
FLOAT_CLASSES = 50

NO_ROWS: NDArray[Any] = np.empty(0, np.uint8)


@dataclass(frozen=True, eq=False)
class Targets:
    """The values of a target column: the distinct ones as they come, and each row's place among them.

    Parameters
    ----------
    values
        The distinct values, Python objects, in the order of their first rows.
    places
        (rows,) positions in `values`, of the smallest whole-number type that holds them: a byte a row as a rule.
    missing
        How many rows have no value; their places mean nothing.
    first_missing
        The first of these rows, counted from 0.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from softmaxes.tables import Targets, as_table
    >>> a, b = (Targets.of(as_table(pa.table({"y": y})), "y") for y in (["oak", "elm"], ["ash", "oak"]))
    >>> both = a.merge(b)
    >>> both.values, both.places.tolist()
    (('oak', 'elm', 'ash'), [0, 1, 2, 0])
    """

    values: tuple[Any, ...] = ()
    places: NDArray[Any] = field(default_factory=lambda: NO_ROWS)
    missing: int = 0
    first_missing: int = 0

    @classmethod
    def of(cls, table: Table, target: str) -> Targets:
        """Return the state of a column of a table, in one pass over that column."""
        # Told apart with their types: True, 1 and 1.0 are equal, but a folder's files may differ in how they write.
        known: dict[tuple[type, Any], int] = {}
        pieces = []
        rows = missing = first = 0
        for block in table.blocks(columns=[target]):
            column = block.batch.column(0)
            if column.null_count:
                first = first if missing else rows + first_null(column)
                missing += column.null_count
            pieces.append(places_of(column, known))
            rows += len(block)
        kind = np.min_scalar_type(max(len(known) - 1, 0))
        places = np.empty(rows, kind)
        filled = 0
        while pieces:  # each is let go as it is copied
            piece = pieces.pop(0)
            places[filled : filled + len(piece)] = piece
            filled += len(piece)
        return cls(tuple(value for _, value in known), places, missing, first)

    def merge(self, later: Targets) -> Targets:
        """Return the state of the rows of both, the others below these."""
        return Targets.merged([self, later])

    @classmethod
    def merged(cls, states: Iterable[Targets]) -> Targets:
        """Return the state of the rows of all, one below the other."""
        states = list(states)
        known: dict[tuple[type, Any], int] = {}
        for state in states:
            for value in state.values:
                known.setdefault((type(value), value), len(known))
        places = np.empty(sum(len(state.places) for state in states), np.min_scalar_type(max(len(known) - 1, 0)))
        rows = missing = first = 0
        for state in states:
            table = np.array([known[type(value), value] for value in state.values] or [0], places.dtype)
            places[rows : rows + len(state.places)] = table[state.places]
            if state.missing and not missing:
                first = rows + state.first_missing
            missing += state.missing
            rows += len(state.places)
        return cls(tuple(value for _, value in known), places, missing, first)

    def classified(self, name: str, target: str, labels: Labels | None = None) -> tuple[Labels, NDArray[Any]]:
        """Return the classes, and that of each row: see `read_targets`. name: of the table, for messages."""
        rows = len(self.places)
        where = f"{name}: column {target!r}"
        if self.missing == rows:
            raise UserError(f"{where} has no labels at all: all {rows} values are missing")
        if self.missing:
            raise UserError(
                f"{where} lacks the label in {self.missing} of {rows} rows, first in row {self.first_missing + 1}; "
                "remove those rows or fill in their class"
            )
        if labels is None:
            labels = Labels.of_values(list(self.values))
            check_classes(labels, rows, where)
        positions = [labels.position(value) for value in self.values]
        if None in positions:
            strange = [place for place, position in enumerate(positions) if position is None]
            row = int(np.flatnonzero(np.isin(self.places, strange))[0])
            value = self.values[self.places[row]]
            raise UserError(
                f"{name}: the label {value!r} in row {row + 1} of column {target!r} is not a class "
                f"of the model; {nearest(str(value), [str(known) for known in labels.values])}"
            )
        return labels, np.array(positions, np.min_scalar_type(len(labels) - 1))[self.places]


def read_targets(table: Table, target: str, labels: Labels | None = None) -> tuple[Labels, NDArray[Any]]:
    """Return the classes of a table's target column and the class of each row, in one pass over that column.

    Parameters
    ----------
    table, target
        The table, and the name of the column that holds the class.
    labels
        The classes of a model, when the table is to be compared with it; found in the column if not given.

    Returns
    -------
    labels, codes
        The codes are positions in the labels, of the smallest whole-number type that holds them.

    Raises
    ------
    UserError
        If the column is absent, a label is missing or is none of `labels`, there is only one class, or the
        column is a measurement and not a class.
    """
    table.require(target, "the class")
    return Targets.of(table, target).classified(table.name, target, labels)


def places_of(column: Any, known: dict[tuple[type, Any], int]) -> NDArray[Any]:
    """Return the place of each value among those known, to which new ones are added; anything where one is missing."""
    encoded = column.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    table = [known.setdefault((type(value), value), len(known)) for value in values]
    places = np.array(table or [0], np.min_scalar_type(max(len(known) - 1, 0)))
    result: NDArray[Any] = places[encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)]
    return result


def first_null(column: Any) -> int:
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    return int(np.flatnonzero(~valid)[0])


def check_classes(labels: Labels, rows: int, where: str) -> None:
    if len(labels) == 1:
        raise UserError(f"{where} holds one class only, {labels.values[0]!r}; a classifier needs two or more")
    if labels.kind == "float" and len(labels) > FLOAT_CLASSES and not all(float(v).is_integer() for v in labels.values):
        raise UserError(
            f"{where} holds {len(labels)} different numbers such as {labels.values[0]!r}: a measurement, not a class; "
            "softmaxes sorts into classes, so choose another column or cut the numbers into ranges"
        )
    if len(labels) == rows > 2:
        raise UserError(
            f"{where} holds a different value in each of its {rows} rows; no class can be learned from that"
        )
