"""What the values of a column can be read as: numbers, dates, words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DATE_PARTS", "as_dates", "as_numbers", "as_text", "date_parts", "is_number", "word_counts"]

NUMBER = r"(?i)^[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity)$"

# The parts of a moment in time, each a number on a scale of its own.
DATE_PARTS = ("days", "month", "day", "weekday", "hour")


def as_numbers(column: Any) -> NDArray[np.float64] | None:
    """Return a column's values as float64, NaN where missing; None if a value is no number.

    Text is read as a number in the usual notations (12, -0.5, .5, 1e-3, inf), true and false as 1 and 0.
    """
    import pyarrow as pa
    from pyarrow import compute, types

    if types.is_timestamp(column.type):
        return None
    if types.is_string(column.type):
        try:
            column = compute.cast(column, pa.float64())
        except pa.ArrowInvalid:
            column = truths(column)
            if column is None:
                return None
    if types.is_boolean(column.type):
        column = compute.cast(column, pa.int8())
    # A new array always, because pyarrow's own memory is read-only and may be shared.
    return np.array(compute.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def truths(column: Any) -> Any:
    """Return text that says true or false, in any case, as booleans; None if it says anything else."""
    import pyarrow as pa
    from pyarrow import compute

    lower = compute.utf8_lower(column)
    if not compute.all(compute.is_in(lower.drop_null(), value_set=pa.array(["true", "false"])), min_count=0).as_py():
        return None
    return compute.equal(lower, "true")


def is_number(column: Any) -> NDArray[np.bool_]:
    """Return which values of a column of text are written as numbers."""
    from pyarrow import compute

    matches = compute.match_substring_regex(column, NUMBER).fill_null(False)
    return np.asarray(matches.to_numpy(zero_copy_only=False), dtype=np.bool_)


def as_dates(column: Any) -> Any:
    """Return a column as timestamps without a time zone, or None if a value is no date in ISO 8601 form.

    Moments that state their offset are brought to UTC.
    """
    import pyarrow as pa
    from pyarrow import compute, types

    if types.is_timestamp(column.type):
        return column
    if not types.is_string(column.type):
        return None
    for target in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return compute.cast(compute.cast(column, target), pa.timestamp("us"))
        except pa.ArrowInvalid:
            continue
    return None


def date_parts(column: Any) -> NDArray[np.float64]:
    """Return the parts of moments in time, one column for each of DATE_PARTS, NaN where the moment is missing.

    days: since 1970-01-01, with fraction; month: 1 to 12; day: of the month; weekday: 0 is Monday; hour: with fraction.
    """
    import pyarrow as pa
    from pyarrow import compute

    microseconds = compute.cast(column, pa.int64()).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    days = np.asarray(microseconds, dtype=np.float64) / 86_400e6
    whole = [
        np.asarray(part(column).cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        for part in (compute.month, compute.day, compute.day_of_week)
    ]
    return np.stack([days, *whole, 24 * (days - np.floor(days))], axis=1)


def as_text(column: Any) -> Any:
    """Return a column of any plain type as text: 3 for the whole number 3 or 3.0, true, 2024-05-01 00:00:00."""
    import pyarrow as pa
    from pyarrow import compute, types

    if types.is_string(column.type):
        return column
    if types.is_floating(column.type):
        text = [None if value is None else number_text(value) for value in column.to_pylist()]
        return pa.array(text, pa.string())
    return compute.cast(column, pa.string())


def number_text(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def word_counts(column: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Return how often each word stands in each value of a column of text.

    A word is a run of two or more letters, digits or underscores, in lower case.

    Returns
    -------
    rows, words, counts
        One entry for each pair of a row and a word in it, sorted by row, then by word.
    vocabulary
        The words that the second array counts by.
    """
    from pyarrow import compute

    pieces = compute.split_pattern_regex(compute.utf8_lower(column.fill_null("")), r"[^\pL\pN\pM_]+")
    parents = compute.list_parent_indices(pieces).to_numpy(zero_copy_only=False)
    tokens = compute.list_flatten(pieces)
    long = compute.greater_equal(compute.utf8_length(tokens), 2)
    encoded = tokens.filter(long).dictionary_encode()
    rows = parents[long.to_numpy(zero_copy_only=False)].astype(np.int64)
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    vocabulary: list[str] = encoded.dictionary.to_pylist()
    pairs, counts = np.unique(rows * max(len(vocabulary), 1) + codes, return_counts=True)
    return pairs // max(len(vocabulary), 1), pairs % max(len(vocabulary), 1), counts.astype(np.int64), vocabulary
