"""The class labels: made of the values of a target column, written to the model file, and met again elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Label", "LabelKind", "Labels"]

LabelKind = Literal["integer", "float", "boolean", "string"]
Label = int | float | bool | str

DTYPES: dict[str, Any] = {"integer": np.int64, "float": np.float64, "boolean": np.bool_, "string": np.str_}
PYTHON: dict[str, type] = {"integer": int, "float": float, "boolean": bool, "string": str}


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
            return cls("boolean", tuple(sorted(set(found))))
        if all(isinstance(value, int) for value in found):
            return cls("integer", tuple(sorted(set(map(int, found)))))
        if all(isinstance(value, int | float) for value in found):
            return cls("float", tuple(sorted(set(map(float, found)))))
        texts = [str(value) for value in found]
        for kind in ("integer", "boolean", "float"):
            read = [reading(text, kind) for text in texts]
            if None not in read:
                return cls(kind, tuple(sorted(set(read))))  # type: ignore[arg-type]
        return cls("string", tuple(sorted(set(texts))))

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

    def position(self, value: Any) -> int | None:
        """Return a value's position among the classes; None if it is none of them."""
        return self._positions.get(self.recognised(value))  # type: ignore[arg-type]

    @cached_property
    def _positions(self) -> dict[Label, int]:
        return {value: position for position, value in enumerate(self.values)}

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
