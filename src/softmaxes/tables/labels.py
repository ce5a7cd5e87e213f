"""The class labels: found in the target column, written to the model file, and met again in other tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from softmaxes.errors import UserError

from .reading import Block, Table, nearest

__all__ = ["LabelKind", "Labels", "read_targets"]

LabelKind = Literal["integer", "float", "boolean", "string"]
Label = int | float | bool | str

DTYPES: dict[str, Any] = {"integer": np.int64, "float": np.float64, "boolean": np.bool_, "string": np.str_}
PYTHON: dict[str, type] = {"integer": int, "float": float, "boolean": bool, "string": str}

# More classes than this, among numbers that aren't whole, are a measurement and not a class.
FLOAT_CLASSES = 50


@dataclass(frozen=True)
class Labels:
    """The classes of a target column, sorted, with the type that they had there.

    Text that is how Python writes a whole number (7, not 07) is a whole number in all of a column or in none
    of it; the same holds for other numbers and for true and false.

    Examples
    --------
    >>> import pyarrow as pa
    >>> Labels.of(pa.array(["10", "9", "10"]))
    Labels(kind='integer', values=(9, 10))
    >>> Labels.of(pa.array(["10", "09", "10"]))
    Labels(kind='string', values=('09', '10'))
    """

    kind: LabelKind
    values: tuple[Label, ...]

    @classmethod
    def of(cls, column: Any) -> Labels:
        """Return the labels of a pyarrow array or chunked array of plain type; missing ones are passed over."""
        return cls.of_values(column.drop_null().unique().to_pylist())

    @classmethod
    def of_values(cls, found: list[Any]) -> Labels:
        """Return the labels of distinct Python values, each text, bool, int, float or datetime."""
        if all(isinstance(value, bool) for value in found):
            return cls("boolean", tuple(sorted(found)))
        if all(isinstance(value, int) for value in found):
            return cls("integer", tuple(sorted(found)))
        if all(isinstance(value, int | float) for value in found):
            return cls("float", tuple(sorted(map(float, found))))
        texts = [str(value) for value in found]
        for kind in ("integer", "boolean", "float"):
            read = [reading(text, kind) for text in texts]
            if None not in read:
                return cls(kind, tuple(sorted(read)))  # type: ignore[arg-type]
        return cls("string", tuple(sorted(texts)))

    @classmethod
    def of_array(cls, classes: NDArray[Any]) -> Labels:
        """Return the labels in an array of classes, in its order; what is text there stays text."""
        values = classes.tolist()
        for kind, python in PYTHON.items():
            if all(type(value) is python for value in values):
                return cls(kind, tuple(values))  # type: ignore[arg-type]
        raise TypeError(f"labels are whole numbers, floats, booleans or text, all of one type, not {values[:5]}")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def array(self) -> NDArray[Any]:
        """The labels as an array: int64, float64, bool or text."""
        return np.array(self.values, dtype=DTYPES[self.kind])

    def codes(self, column: Any) -> NDArray[np.int64]:
        """Return each label's position among the classes: -1 for a missing one, -2 for one that is no class."""
        from pyarrow import compute

        encoded = column.dictionary_encode()
        positions = {value: position for position, value in enumerate(self.values)}
        table = [positions.get(self.recognised(value), -2) for value in encoded.dictionary.to_pylist()]  # type: ignore[arg-type]
        codes = compute.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        result: NDArray[np.int64] = np.array([*table, -1], dtype=np.int64)[codes]
        return result

    def recognised(self, value: Any) -> Label | None:
        """Return a value of another table in the type of the labels: 3.0 and "3" are the class 3."""
        if value is None:
            return None
        if self.kind == "string":
            return str(value)
        if isinstance(value, str):
            folded = value.strip()
            return reading(folded, self.kind) if self.kind == "boolean" else as_number(folded)
        return value  # type: ignore[no-any-return]


def reading(text: str, kind: str) -> Label | None:
    """Return text as a label of a kind, or None if it is not exactly how such a label is written."""
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower())
    if kind == "integer":
        value = as_number(text)
        return int(value) if value is not None and value.is_integer() and str(int(value)) == text else None
    value = as_number(text)
    if value is None or text not in (repr(value), str(int(value)) if value.is_integer() else ""):
        return None
    return value


def as_number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def read_targets(table: Table, target: str, labels: Labels | None = None) -> tuple[Labels, NDArray[np.int64]]:
    """Return the classes of a table's target column and the class of each row, in one pass over that column.

    Parameters
    ----------
    table, target
        The table, and the name of the column that holds the class.
    labels
        The classes of a model, when the table is to be compared with it; found in the column if not given.

    Raises
    ------
    UserError
        If the column is absent, a label is missing or is none of `labels`, there is only one class, or the
        column is a measurement and not a class.
    """
    table.require(target, "the class")
    chunks = []
    missing, first = 0, 0
    for block in table.blocks(columns=[target]):
        column = block.batch.column(0)
        if column.null_count:
            first = first or first_missing(block)
            missing += column.null_count
        chunks.append(column)
    rows = sum(map(len, chunks))
    if missing == rows:
        raise UserError(f"{table.name}: column {target!r} has no labels at all: all {rows} values are missing")
    if missing:
        raise UserError(
            f"{table.name}: column {target!r} lacks the label in {missing} of {rows} rows, first in row {first}; "
            "remove those rows or fill in their class"
        )
    import pyarrow as pa

    column = pa.chunked_array([as_one_type(chunk, chunks[0].type) for chunk in chunks]).combine_chunks()
    if labels is None:
        labels = Labels.of(column)
        check_classes(labels, rows, f"{table.name}: column {target!r}")
    codes = labels.codes(column)
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise UserError(
            f"{table.name}: the label {column[row].as_py()!r} in row {row + 1} of column {target!r} is not a class "
            f"of the model; {nearest(str(column[row].as_py()), [str(value) for value in labels.values])}"
        )
    return labels, codes


def as_one_type(chunk: Any, kind: Any) -> Any:
    return chunk if chunk.type == kind else chunk.cast(kind)


def first_missing(block: Block) -> int:
    valid = block.batch.column(0).is_valid().to_numpy(zero_copy_only=False)
    return block.row_number(int(np.flatnonzero(~valid)[0]))


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
