"""From one column of a table to its numeric features: one frozen value for each way of doing so."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.errors import UserError

from .moments import Moments
from .profile import ColumnProfile
from .reading import Block
from .values import DATE_PARTS, as_dates, as_numbers, as_text, date_parts, is_number, word_counts

__all__ = ["COLUMNS", "Categorical", "Column", "Dates", "Entries", "Numeric", "Text"]

# Values to write into a feature matrix: their rows, their features, and themselves. A slice means all rows in order.
Entries = tuple[NDArray[np.int64] | slice, NDArray[np.int64] | int, NDArray[np.float64]]

RARE = 2  # a category or word that occurs less often can't be told from a misprint
CATEGORIES = 2_000
WORDS = 10_000
ALL = slice(None)


@dataclass(frozen=True)
class Numeric:
    """A number, brought to mean 0 and variance 1 over the training rows: (x - mean) / scale.

    A missing value becomes 0, the mean. If values were missing in training, a second feature says so with a 1;
    whether the mean or the median is put in makes no difference then, because that feature's weight takes it up.
    """

    name: str
    mean: float
    scale: float
    indicator: bool

    @classmethod
    def of(cls, name: str, profile: ColumnProfile) -> Numeric:
        """Return the column that a profile asks for."""
        return cls(name, profile.moments.mean, scale_of(profile.moments, profile.rows, name), profile.missing > 0)

    @property
    def features(self) -> list[str]:
        """The names of the features."""
        return [self.name, f"{self.name} is missing"][: 1 + self.indicator]

    def entries(self, column: Any, block: Block) -> list[Entries]:
        """Return what one block's column writes into the features, counted from 0.

        Raises
        ------
        UserError
            If a value is no number, or not a finite one.
        """
        numbers = as_numbers(column)
        if numbers is None:
            raise UserError(not_a_number(self.name, column, block))
        if np.isinf(numbers).any():
            row = int(np.flatnonzero(np.isinf(numbers))[0])
            raise UserError(f"column {self.name!r} is infinite in row {block.row_number(row)}; it must be finite")
        missing = np.isnan(numbers)
        numbers[missing] = self.mean
        entries: list[Entries] = [(ALL, 0, (numbers - self.mean) / self.scale)]
        if self.indicator:
            entries.append((ALL, 1, missing.astype(np.float64)))
        return entries


@dataclass(frozen=True)
class Dates:
    """A moment in time: each of its parts that varies, brought to mean 0 and variance 1.

    The parts are the days since 1970, the month, the day of the month, the weekday (0 is Monday) and the hour.
    """

    name: str
    parts: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    indicator: bool

    @classmethod
    def of(cls, name: str, profile: ColumnProfile) -> Dates:
        """Return the column that a profile asks for."""
        varying = [(part, m) for part, m in zip(DATE_PARTS, profile.parts, strict=True) if m.low < m.high]
        return cls(
            name,
            tuple(part for part, _ in varying),
            tuple(moments.mean for _, moments in varying),
            tuple(scale_of(moments, profile.rows, name) for _, moments in varying),
            profile.missing > 0,
        )

    @property
    def features(self) -> list[str]:
        """The names of the features."""
        return [f"{self.name}: {part}" for part in self.parts] + [f"{self.name} is missing"] * self.indicator

    def entries(self, column: Any, block: Block) -> list[Entries]:
        """Return what one block's column writes into the features; UserError if a value is no date."""
        dates = column.cast("timestamp[us]") if column.null_count == len(column) else as_dates(column)
        if dates is None:
            row = first_refused(column, lambda value: as_dates(value) is not None)
            raise UserError(
                f"column {self.name!r} holds dates in the model, but {column[row].as_py()!r} "
                f"in row {block.row_number(row)} is not one (2024-05-31, 2024-05-31 12:00)"
            )
        values = date_parts(dates)[:, [DATE_PARTS.index(part) for part in self.parts]]
        values = (values - np.array(self.means)) / np.array(self.scales)
        entries: list[Entries] = [(ALL, feature, np.nan_to_num(part)) for feature, part in enumerate(values.T)]
        if self.indicator:
            missing = column.is_null().to_numpy(zero_copy_only=False)
            entries.append((ALL, len(self.parts), missing.astype(np.float64)))
        return entries


@dataclass(frozen=True)
class Categorical:
    """A name out of a few: one feature for each category, 1 where it applies.

    Categories that occur once share the feature "other", if there are any; so do, later, the ones never seen in
    training. Without "other" an unknown category is all zeros. Missing values are a category of their own if
    they occur in training, and unknown otherwise.
    """

    name: str
    categories: tuple[str, ...]
    other: bool
    missing: bool

    @classmethod
    def of(cls, name: str, profile: ColumnProfile) -> Categorical:
        """Return the column that a profile asks for: the most frequent categories, in alphabetical order."""
        frequent = [value for value, count in profile.categories.items() if count >= RARE]
        frequent = sorted(frequent, key=lambda value: (-profile.categories[value], value))[:CATEGORIES]
        other = profile.spilled or len(frequent) < len(profile.categories)
        return cls(name, tuple(sorted(frequent)), other, profile.missing > 0)

    @property
    def features(self) -> list[str]:
        """The names of the features."""
        extra = ["other"] * self.other + ["missing"] * self.missing
        return [f"{self.name} = {category}" for category in self.categories] + [f"{self.name} is {e}" for e in extra]

    @cached_property
    def positions(self) -> dict[str | None, int]:
        """The feature of each category, and that of None if missing values have one."""
        positions: dict[str | None, int] = {category: place for place, category in enumerate(self.categories)}
        if self.missing:
            positions[None] = len(self.categories) + self.other
        return positions

    def entries(self, column: Any, block: Block) -> list[Entries]:
        """Return what one block's column writes into the features, counted from 0."""
        encoded = column.dictionary_encode()
        unknown = len(self.categories) if self.other else -1
        values = as_text(encoded.dictionary).to_pylist()
        table = [self.positions.get(value, unknown) for value in values]
        table.append(self.positions.get(None, unknown))
        features = np.array(table, dtype=np.int64)[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
        rows = np.flatnonzero(features >= 0)
        return [(rows, features[rows], np.ones(len(rows)))]


@dataclass(frozen=True)
class Text:
    """Text of several words: one feature for each frequent word, weighted by tf-idf and divided by the row's length.

    A word w that occurs n times in the value and in d of the N training values weighs n (1 + log((1 + N) / (1 + d)));
    the weights of a value are then divided by their Euclidean norm. A vocabulary is used rather than hashing
    because the features keep their names, and a report can say which words speak for a class.
    """

    name: str
    words: tuple[str, ...]
    weights: tuple[float, ...]

    @classmethod
    def of(cls, name: str, profile: ColumnProfile) -> Text:
        """Return the column that a profile asks for: the most frequent words, in alphabetical order."""
        frequent = [word for word, count in profile.vocabulary.items() if count >= RARE]
        frequent = sorted(sorted(frequent, key=lambda word: (-profile.vocabulary[word], word))[:WORDS])
        occurrences = np.array([profile.vocabulary[word] for word in frequent], dtype=np.float64)
        weights = 1.0 + np.log((1.0 + profile.rows) / (1.0 + occurrences))
        return cls(name, tuple(frequent), tuple(weights.tolist()))

    @property
    def features(self) -> list[str]:
        """The names of the features."""
        return [f"{self.name} says {word}" for word in self.words]

    @cached_property
    def positions(self) -> dict[str, int]:
        """The feature of each word."""
        return {word: place for place, word in enumerate(self.words)}

    def entries(self, column: Any, block: Block) -> list[Entries]:
        """Return what one block's column writes into the features, counted from 0."""
        rows, codes, counts, vocabulary = word_counts(as_text(column))
        features = np.array([self.positions.get(word, -1) for word in vocabulary], dtype=np.int64)[codes]
        known = np.flatnonzero(features >= 0)
        # A norm is summed in the order of the features, so that it doesn't depend on which rows share the block.
        known = known[np.lexsort((features[known], rows[known]))]
        rows, features = rows[known], features[known]
        values = counts[known] * np.array(self.weights)[features]
        norms = np.sqrt(np.bincount(rows, weights=values * values, minlength=len(column)))
        return [(rows, features, values / norms[rows])]


Column = Numeric | Dates | Categorical | Text

COLUMNS: dict[str, type[Column]] = {"numeric": Numeric, "date": Dates, "categorical": Categorical, "text": Text}


def scale_of(moments: Moments, rows: int, name: str) -> float:
    """Return the standard deviation over all rows, where missing values were replaced by the mean; 1 for a constant."""
    variance = moments.spread / rows
    if not np.isfinite(variance):
        raise UserError(
            f"column {name!r} reaches from {moments.low:g} to {moments.high:g}, too far for a finite variance; "
            f"correct it, take its logarithm, or pass --ignore {name!r}"
        )
    return float(np.sqrt(variance)) or 1.0


def not_a_number(name: str, column: Any, block: Block) -> str:
    text = as_text(column)
    valid = np.asarray(text.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
    row = int(np.flatnonzero(valid & ~is_number(text))[0])
    return (
        f"column {name!r} holds numbers in the model, but {text[row].as_py()!r} "
        f"in row {block.row_number(row)} is not a number"
    )


def first_refused(column: Any, accepts: Any) -> int:
    return next(row for row in range(len(column)) if column[row].is_valid and not accepts(column.slice(row, 1)))
