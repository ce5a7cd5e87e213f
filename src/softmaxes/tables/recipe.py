"""From a table to features and back to names: everything a model has to remember of its training table."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from softmaxes.errors import UserError

from .columns import COLUMNS, Categorical, Column, Numeric, Text
from .profile import Profile
from .reading import Block, Table, nearest

__all__ = ["Recipe"]

# From this many features on, a matrix that would be mostly zeros is kept sparse.
WIDE = 200


@dataclass(frozen=True)
class Recipe:
    """How the columns of a table become the features of a model, in the order of the table's columns.

    A recipe is plain data: `repr` and `as_json` rebuild it, and using it executes nothing but this package.

    Parameters
    ----------
    columns
        The columns that are used and what becomes of each.
    unused
        The columns that the training table had besides, with the reason why each is left out; later tables may
        have them or not.
    target
        The column that holds the class.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from softmaxes.tables import as_table, profile, Recipe
    >>> table = as_table(pa.table({"size": [1.0, 3.0, None, 2.0], "colour": ["red", "blue", "red", "blue"]}))
    >>> recipe = Recipe.of(profile(table))
    >>> recipe.features
    ('size', 'size is missing', 'colour = blue', 'colour = red')
    >>> X = recipe.matrix(table)
    >>> X.round(3)
    array([[-1.414,  0.   ,  0.   ,  1.   ],
           [ 1.414,  0.   ,  1.   ,  0.   ],
           [ 0.   ,  1.   ,  0.   ,  1.   ],
           [ 0.   ,  0.   ,  1.   ,  0.   ]])
    >>> Recipe.from_json(recipe.as_json()) == recipe
    True
    """

    columns: tuple[Column, ...]
    unused: tuple[tuple[str, str], ...] = ()
    target: str | None = None

    @classmethod
    def of(cls, profile: Profile, *, target: str | None = None, ignored: Collection[str] = ()) -> Recipe:
        """Return the recipe for a table with this profile.

        Parameters
        ----------
        profile
            What the training rows hold; the target and ignored columns need not be in it.
        target, ignored
            The column of the class, and columns that the user asked to leave out.

        Raises
        ------
        UserError
            If a column holds no value at all, or no column is left to learn from.
        """
        used: list[Column] = []
        unused = [(name, "ignored") for name in ignored]
        for name, column in profile.columns.items():
            if name == target or name in ignored:
                continue
            kind = column.kind
            if kind == "missing":
                raise UserError(
                    f"column {name!r} has no values: all {column.rows} are missing; remove it or pass --ignore {name!r}"
                )
            if kind in ("constant", "row number", "identifier"):
                unused.append((name, kind))
                continue
            recipe = COLUMNS[kind].of(name, column)
            if recipe.features:
                used.append(recipe)
            else:
                unused.append((name, "identifier"))
        if not used:
            reasons = "; ".join(f"{name!r} is {reason}" for name, reason in unused) or "there are no other columns"
            raise UserError(f"no column is left to learn from: {reasons}")
        return cls(tuple(used), tuple(unused), target)

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The names of the features, in the order of the matrix's columns."""
        return tuple(name for column in self.columns for name in column.features)

    @property
    def names(self) -> list[str]:
        """The names of the table's columns that are used."""
        return [column.name for column in self.columns]

    @cached_property
    def is_sparse(self) -> bool:
        """Whether matrices are CSR: they are if wide, and mostly zero."""
        occupied = sum(min(len(column.features), OCCUPIED.get(type(column), 5)) for column in self.columns)
        return len(self.features) > max(WIDE, 4 * occupied)

    def check_columns(self, table: Table, *, ignore_extra: bool = False) -> None:
        """Raise UserError unless a table has all the columns that are used, and none that the model doesn't know."""
        absent = [name for name in self.names if name not in table.columns]
        known = {*self.names, *(name for name, _ in self.unused), self.target}
        extra = [name for name in table.columns if name not in known]
        if absent:
            hint = nearest(absent[0], extra or table.columns)
            raise UserError(f"{table.name} lacks {plural(absent)} that the model was trained on; {hint}")
        if extra and not ignore_extra:
            raise UserError(
                f"{table.name} has {plural(extra)} that the model was not trained on; "
                "remove it, or pass --ignore-extra if it does no harm"
            )

    def transform(self, block: Block, dtype: DTypeLike = np.float64) -> Any:
        """Return the features of a block of rows.

        Parameters
        ----------
        block
            A block that has the columns in `names`.
        dtype
            float32 or float64.

        Returns
        -------
        X
            (rows, features): a C-contiguous array, or a `scipy.sparse.csr_array` if `is_sparse`.

        Raises
        ------
        UserError
            If a value can't be what its column was in training; the message names the column and the row.
        """
        if self.is_sparse:
            return sparse_matrix(list(self._entries(block)), (len(block), len(self.features)), dtype)
        X = np.zeros((len(block), len(self.features)), dtype=dtype)
        for rows, features, values in self._entries(block):
            X[rows, features] = values
        return X

    def blocks(self, table: Table, *, dtype: DTypeLike = np.float64, **reading: Any) -> Iterator[Any]:
        """Yield the features of a table block by block; `reading` goes to `Table.blocks`."""
        for block in table.blocks(columns=self.names, **reading):
            yield self.transform(block, dtype)

    def matrix(
        self,
        table: Table,
        *,
        dtype: DTypeLike = np.float64,
        keep: NDArray[np.bool_] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Any:
        """Return the features of a whole table, or of the rows where `keep` is True, as one matrix.

        `progress` is called with the number of rows of each block that is done.
        """
        features = self.blocks(table, dtype=dtype, keep=keep)
        if progress is not None:
            features = counted(features, progress)
        if self.is_sparse:
            from scipy import sparse

            blocks = [*features, sparse_matrix([], (0, len(self.features)), dtype)]
            return sparse.vstack(blocks, format="csr")
        if keep is None:
            return np.concatenate([*features, np.empty((0, len(self.features)), dtype)])
        X = np.empty((int(keep.sum()), len(self.features)), dtype)
        start = 0
        for block in features:
            X[start : start + len(block)] = block
            start += len(block)
        return X

    def _entries(self, block: Block) -> Iterator[tuple[Any, Any, NDArray[np.float64]]]:
        start = 0
        for column in self.columns:
            for rows, features, values in column.entries(block.batch.column(column.name), block):
                yield rows, features + start, values
            start += len(column.features)

    def as_json(self) -> dict[str, Any]:
        """Return the recipe as data that `json` can write."""
        kinds = {kind: name for name, kind in COLUMNS.items()}
        return {
            "columns": [{"kind": kinds[type(column)], **asdict(column)} for column in self.columns],
            "unused": [list(pair) for pair in self.unused],
            "target": self.target,
        }

    @classmethod
    def from_json(cls, data: Any) -> Recipe:
        """Return the recipe in data from `as_json`, which may come from a file that nobody vouches for.

        Raises
        ------
        UserError
            If anything in it is missing, superfluous, or not of its type.
        """
        try:
            columns = tuple(column_from_json(column) for column in data["columns"])
            unused = tuple((checked(name, "str"), checked(reason, "str")) for name, reason in data["unused"])
            target = checked(data["target"], "str | None")
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"the recipe for the table's columns is malformed: {error}") from error
        if len({column.name for column in columns}) < len(columns) or not columns:
            raise UserError("the recipe for the table's columns is malformed: it has a column twice, or none")
        return cls(columns, unused, target)

    def __str__(self) -> str:
        return json.dumps(self.as_json(), indent=1, ensure_ascii=False)


def counted(blocks: Iterable[Any], progress: Callable[[int], None]) -> Iterator[Any]:
    for X in blocks:
        yield X
        progress(X.shape[0])


# About how many features of a column are not zero in a row.
OCCUPIED = {Numeric: 2, Categorical: 1, Text: 30}


def sparse_matrix(entries: list[Any], shape: tuple[int, int], dtype: DTypeLike) -> Any:
    from scipy import sparse

    if not entries:
        return sparse.csr_array(shape, dtype=dtype)
    every = np.arange(shape[0])
    rows = [every if isinstance(rows, slice) else rows for rows, _, _ in entries]
    features = [np.broadcast_to(f, len(v)) for _, f, v in entries]
    values = np.concatenate([v for _, _, v in entries]).astype(dtype)
    occupied = values != 0
    place = (np.concatenate(rows)[occupied], np.concatenate(features)[occupied])
    return sparse.csr_array((values[occupied], place), shape=shape)


def plural(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"the column {shown}" if len(names) == 1 else f"{len(names)} columns ({shown})"


def column_from_json(data: Mapping[str, Any]) -> Column:
    kind = COLUMNS[data["kind"]]
    declared = {field.name: str(field.type) for field in fields(kind)}
    if set(data) != {"kind", *declared}:
        raise ValueError(f"a column has the entries {sorted(data)}")
    column = kind(**{name: checked(data[name], declared[name]) for name in declared})
    lengths = {len(value) for name, value in vars(column).items() if name in PARALLEL}
    if len(lengths) > 1:
        raise ValueError(f"column {column.name!r} has lists of different lengths")
    if any(np.less_equal(value, 0.0).any() for name, value in vars(column).items() if name in ("scale", "scales")):
        raise ValueError(f"column {column.name!r} has a scale that is not above 0")
    return column


PARALLEL = ("words", "weights", "parts", "means", "scales")


def checked(value: Any, kind: str) -> Any:
    """Return a value that came from JSON as what a field declares, or raise TypeError."""
    if kind.startswith("tuple["):
        if not isinstance(value, list | tuple):
            raise TypeError(f"a list is needed, not {value!r}")
        return tuple(checked(item, kind[len("tuple[") : -len(", ...]")]) for item in value)
    if kind == "float" and type(value) in (int, float) and np.isfinite(value):
        return float(value)
    if (kind == "bool" and type(value) is bool) or (kind.startswith("str") and type(value) is str):
        return value
    if kind == "str | None" and value is None:
        return None
    raise TypeError(f"{kind} is needed, not {value!r}")
