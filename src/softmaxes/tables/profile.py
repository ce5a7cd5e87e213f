"""What a table holds, column by column, found in one pass whose states merge."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from softmaxes.errors import UserError

from .moments import Moments
from .reading import Block, Table
from .values import DATE_PARTS, as_dates, as_numbers, as_text, date_parts, is_number, word_counts

__all__ = ["ColumnProfile", "Kind", "Profile", "profile"]

Kind = Literal["missing", "constant", "row number", "numeric", "date", "text", "categorical", "identifier"]

CATEGORY_LIMIT = 20_000  # distinct values counted exactly; beyond, the rarest half is forgotten
WORD_LIMIT = 200_000  # distinct words counted exactly, likewise
TEXT_DISTINCT = 50  # a column with fewer distinct values is categories, however long they are


NONE = Moments()


@dataclass(frozen=True)
class ColumnProfile:
    """What is known of one column; the empty profile is neutral and two profiles merge.

    Parameters
    ----------
    rows, missing
        How many values were seen, and how many of them are missing.
    numbers, dates
        How many values read as a number, or as a date.
    moments
        Of the values, as long as all of them are numbers; they are complete if `numbers == rows - missing`.
    parts
        Moments of the parts of the dates, by the same rule.
    categories
        How often each value occurs, as text. Of a column with more than 20,000 distinct values, the frequent ones;
        if all of these are numbers, none.
    spilled
        Whether some values were forgotten from `categories` to bound its size.
    words, vocabulary
        The number of words, and in how many values each word occurs, for values of several words.
    offset
        The value minus its row number, if that is the same in all rows: a column that only counts the rows.
    not_a_number
        The row number and the text of the first value that is no number, for messages.
    """

    rows: int = 0
    missing: int = 0
    numbers: int = 0
    dates: int = 0
    moments: Moments = NONE
    parts: tuple[Moments, ...] = (NONE,) * len(DATE_PARTS)
    categories: Mapping[str, int] = field(default_factory=dict)
    spilled: bool = False
    words: int = 0
    vocabulary: Mapping[str, int] = field(default_factory=dict)
    offset: float | None = None
    not_a_number: tuple[int, str] | None = None

    @classmethod
    def of(
        cls, column: Any, block: Block, name: str, *, as_category: bool = False, count_values: bool = True
    ) -> ColumnProfile:
        """Return the profile of one column of one block.

        Parameters
        ----------
        column
            A pyarrow array of plain type.
        block, name
            Where the column stands, for messages.
        as_category
            Whether the values are names, even if they look like numbers.
        count_values
            Whether distinct numbers are worth counting: they are until a column has shown too many of them.
        """
        missing = column.null_count
        self = cls(rows=len(column), missing=missing)
        if missing == len(column):
            return self
        numbers = None if as_category else as_numbers(column)
        if numbers is not None:
            known = self.with_numbers(numbers, block, name)
            if not count_values or many(column):
                return replace(known, spilled=True)
            return replace(known, **counted(column))
        self = replace(self, **counted(column))
        dates = None if as_category else as_dates(column)
        if dates is not None:
            parts = date_parts(dates.drop_null())
            return replace(self, dates=len(parts), parts=tuple(Moments.of(part) for part in parts.T))
        text = as_text(column)
        return replace(
            self, **worded(text, len(self.categories)), **({} if as_category else first_non_number(text, block))
        )

    def with_numbers(self, numbers: NDArray[np.float64], block: Block, name: str) -> ColumnProfile:
        present = ~np.isnan(numbers)
        values, rows = (numbers, block.rows) if present.all() else (numbers[present], block.rows[present])
        if np.isinf(values).any():
            row = int(np.flatnonzero(np.isinf(numbers))[0])
            raise UserError(
                f"column {name!r} is infinite in row {block.row_number(row)}; a model needs finite numbers: "
                f"correct the value, leave it empty if it is unknown, or pass --ignore {name!r}"
            )
        first = values[0] - rows[0]
        counts_rows = values[-1] - rows[-1] == first and (values - rows == first).all()
        offset = float(first) if counts_rows else None
        return replace(self, numbers=len(values), moments=Moments.of(values), offset=offset)

    def merge(self, other: ColumnProfile) -> ColumnProfile:
        """Return the profile of the rows of both."""
        if self.rows == self.missing or other.rows == other.missing:
            known, empty = (self, other) if other.rows == other.missing else (other, self)
            return replace(known, rows=self.rows + other.rows, missing=known.missing + empty.missing)
        categories, spilled = added(self.categories, other.categories, CATEGORY_LIMIT)
        spilled = spilled or self.spilled or other.spilled
        if spilled and self.numbers + other.numbers == self.present + other.present:
            categories = {}  # of numbers this many are no names, and 20,000 of them in every column take memory
        vocabulary, _ = added(self.vocabulary, other.vocabulary, WORD_LIMIT)
        return ColumnProfile(
            rows=self.rows + other.rows,
            missing=self.missing + other.missing,
            numbers=self.numbers + other.numbers,
            dates=self.dates + other.dates,
            moments=self.moments.merge(other.moments),
            parts=tuple(a.merge(b) for a, b in zip(self.parts, other.parts, strict=True)),
            categories=categories,
            spilled=spilled,
            words=self.words + other.words,
            vocabulary=vocabulary,
            offset=self.offset if self.offset == other.offset else None,
            not_a_number=self.not_a_number or other.not_a_number,
        )

    @property
    def present(self) -> int:
        """How many values are not missing."""
        return self.rows - self.missing

    @property
    def kind(self) -> Kind:
        """What the column is to a model."""
        if self.present == 0:
            return "missing"
        if self.missing == 0 and len(self.categories) == 1 and not self.spilled:
            return "constant"
        if self.numbers == self.present:
            if self.missing == 0 and self.moments.low == self.moments.high:
                return "constant"
            # Sorted data makes a row's number a perfect clue to its class, and worthless on any other table.
            if self.offset in (0.0, 1.0) and self.rows > 2 and self.missing == 0:
                return "row number"
            return "numeric"
        if self.dates == self.present:
            return "date"
        distinct = self.present if self.spilled else len(self.categories)
        if reads_as_text(self.words, distinct, self.present) and distinct >= TEXT_DISTINCT:
            return "text"
        if self.missing == 0 and not self.spilled and len(self.categories) == self.present > 2:
            return "identifier"
        return "categorical"


@dataclass(frozen=True)
class Profile:
    """What is known of a table: one ColumnProfile for each column, in the table's order."""

    rows: int = 0
    columns: Mapping[str, ColumnProfile] = field(default_factory=dict)

    @classmethod
    def of(cls, block: Block, *, categorical: Collection[str] = (), spilled: Collection[str] = ()) -> Profile:
        """Return the profile of one block; see `profile` for the parameters."""
        names = block.batch.schema.names
        columns = {
            name: ColumnProfile.of(
                column, block, name, as_category=name in categorical, count_values=name not in spilled
            )
            for name, column in zip(names, block.batch.columns, strict=True)
        }
        return cls(len(block), columns)

    def merge(self, other: Profile) -> Profile:
        """Return the profile of the rows of both, which must have the same columns."""
        if not self.columns or not other.columns:
            return self if self.columns else other
        columns = {name: column.merge(other.columns[name]) for name, column in self.columns.items()}
        return Profile(self.rows + other.rows, columns)


def profile(
    table: Table,
    *,
    columns: Collection[str] | None = None,
    categorical: Collection[str] = (),
    keep: NDArray[np.bool_] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Profile:
    """Return the profile of a table, in one pass and bounded memory.

    The pass always cuts the table into the same blocks, so that every number of the profile, to the last bit,
    depends on the table alone.

    Parameters
    ----------
    table
        The table.
    columns
        The columns to look at; all of them if not given.
    categorical
        Columns whose values are names, even if they look like numbers (postal codes, product codes).
    keep
        A mask over the table's rows: the others are not looked at.
    progress
        Called with the number of rows of each block that is done.

    Raises
    ------
    UserError
        If a number is infinite, or the table can't be read to its end.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from softmaxes.tables import as_table, profile
    >>> table = as_table(pa.table({"size": [1.0, 2.5, None], "colour": ["red", "blue", "red"]}))
    >>> found = profile(table)
    >>> [(name, column.kind, column.missing) for name, column in found.columns.items()]
    [('size', 'numeric', 1), ('colour', 'categorical', 0)]
    """
    wanted = [name for name in table.columns if columns is None or name in columns]
    known = Profile()
    for block in table.blocks(columns=wanted, keep=keep):
        spilled = {name for name, column in known.columns.items() if column.spilled}
        known = known.merge(Profile.of(block, categorical=categorical, spilled=spilled))
        if progress is not None:
            progress(len(block))
    return known


def many(column: Any) -> bool:
    """Return whether a column holds too many distinct values to count them."""
    from pyarrow import compute

    return bool(compute.count_distinct(column).as_py() > CATEGORY_LIMIT)


def counted(column: Any) -> dict[str, Any]:
    """Return how often each value occurs, as `categories`, and whether that had to forget some."""
    import pyarrow as pa
    from pyarrow import compute

    counts = compute.value_counts(column.drop_null())
    values, numbers = counts.field(0), counts.field(1)
    spilled = len(values) > CATEGORY_LIMIT
    if spilled:
        order = compute.sort_indices(numbers, sort_keys=[("", "descending")])[: CATEGORY_LIMIT // 2]
        values, numbers = values.take(order), numbers.take(order)
    texts = as_text(values if not pa.types.is_dictionary(values.type) else values.dictionary_decode())
    return {"categories": dict(zip(texts.to_pylist(), numbers.to_pylist(), strict=True)), "spilled": spilled}


def reads_as_text(words: int, distinct: int, present: int) -> bool:
    """Whether values are of three words on average, or are mostly different from each other and of more than one."""
    return words >= 3 * present or (words >= 1.5 * present and distinct > 0.5 * present)


def worded(text: Any, distinct: int) -> dict[str, Any]:
    """Return the number of words and, where values read as text, in how many of them each word occurs."""
    from pyarrow import compute

    present = len(text) - text.null_count
    words = compute.sum(compute.count_substring_regex(text, r"\s+")).as_py() + present
    if not reads_as_text(words, distinct, present):
        return {"words": words}
    _, codes, _, vocabulary = word_counts(text)
    occurrences = np.bincount(codes, minlength=len(vocabulary)).tolist()
    return {"words": words, "vocabulary": dict(zip(vocabulary, occurrences, strict=True))}


def first_non_number(text: Any, block: Block) -> dict[str, Any]:
    numeric = is_number(text)
    strange = ~numeric & np.asarray(text.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
    if not strange.any():
        return {"numbers": int(numeric.sum())}
    row = int(np.flatnonzero(strange)[0])
    return {"numbers": int(numeric.sum()), "not_a_number": (block.row_number(row), text[row].as_py())}


def added(a: Mapping[str, int], b: Mapping[str, int], limit: int) -> tuple[dict[str, int], bool]:
    """Add two tables of counts; beyond the limit only the more frequent half of the limit is kept."""
    total = dict(a)
    for key, count in b.items():
        total[key] = total.get(key, 0) + count
    if len(total) <= limit:
        return total, False
    frequent = sorted(total.items(), key=lambda item: (-item[1], item[0]))[: limit // 2]
    return dict(frequent), True
