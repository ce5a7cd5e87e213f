"""One reader per file format: from a path to pyarrow record batches in five plain column types."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

from softmaxes.errors import UserError

from .dialect import Dialect, Form

__all__ = ["MISSING", "column_names", "file_batches", "plain"]

# What pandas and R take for a missing value, and the "?" of the UCI and KEEL collections.
MISSING = (
    "", "?", "NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "#N/A N/A", "NaN", "nan", "-NaN", "-nan", "NULL", "null",
    "None", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
)  # fmt: skip

CSV_BLOCK_BYTES = 1 << 22
BATCH_ROWS = 1 << 14  # pyarrow keeps a batch several times while it is decoded
DECODER_BYTES = 7 << 19  # what pyarrow's decoder of one column of Parquet takes (measured)


def column_names(path: Path, form: Form, dialect: Dialect) -> tuple[str, ...]:
    """Return the names of a file's columns.

    Raises
    ------
    UserError
        If two columns have the same name, or the file's own description of itself can't be read.
    """
    with explained(path):
        if form == "csv":
            header, _ = csv_header(path, dialect)
            names = tuple(name.strip() or f"column {position}" for position, name in enumerate(header, start=1))
        else:
            names = tuple(schema_of(path, form).names)
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise UserError(f"{path} has more than one column called {repeated[0]!r}; every column needs its own name")
    return names


def file_batches(
    path: Path, form: Form, dialect: Dialect, columns: Sequence[str], span: tuple[int, int] | None = None
) -> Iterator[Any]:
    """Yield the wanted columns of a file as record batches of plain types, closing the file whatever happens.

    span: the first row group (Parquet) or record batch (Arrow file), and the one after the last; all if not given.
    """
    if form == "csv":
        yield from csv_batches(path, dialect, columns)
        return
    reader = {"parquet": parquet_batches, "arrow": arrow_batches, "arrow-stream": stream_batches}[form]
    for batch in reader(path, columns, span):
        yield plain(batch, str(path))


def group_rows(path: Path, form: Form) -> list[int]:
    """Return the rows of each part of a file that can be read by itself; an empty list where a file has none such."""
    import pyarrow as pa
    from pyarrow import ipc, parquet

    with explained(path):
        if form == "parquet":
            data = parquet.read_metadata(path)
            return [data.row_group(group).num_rows for group in range(data.num_row_groups)]
        if form == "arrow":
            with pa.memory_map(str(path)) as source, ipc.open_file(source) as reader:
                return [reader.get_batch(index).num_rows for index in range(reader.num_record_batches)]
    return []


def csv_header(path: Path, dialect: Dialect) -> tuple[list[str], int]:
    """Return the fields of the header and the number of blank lines above it."""
    try:
        # A byte order mark before the first name would otherwise be a part of it.
        encoding = "utf-8-sig" if dialect.encoding.lower() in ("utf-8", "utf8") else dialect.encoding
        with path.open(encoding=encoding, newline="") as file:
            blank = sum(1 for _ in takewhile(str.isspace, file))
            file.seek(0)
            header = next(csv.reader(dropwhile(str.isspace, file), delimiter=dialect.delimiter))
    except StopIteration:
        raise UserError(f"{path} is empty: a table needs a header line and at least one row") from None
    except (UnicodeError, csv.Error) as error:
        raise UserError(f"{path}: the header can't be read ({error}); is this a CSV file?") from error
    return header, blank


def csv_batches(path: Path, dialect: Dialect, columns: Sequence[str]) -> Iterator[Any]:
    """Yield columns of a CSV file, all of them as trimmed strings, with null for what is missing.

    Every value stays text here. Guessing types from the first block, as most readers do, turns a late 3.5 in a
    column of whole numbers into an error or, worse, into a 4. A column's type is decided by the profile, which
    has seen all of its values; text and a later cast take no more time than reading numbers would.
    """
    import pyarrow as pa
    import pyarrow.csv

    names = column_names(path, "csv", dialect)
    _, blank = csv_header(path, dialect)
    fields = [f"f{names.index(column)}" for column in columns]
    last = f"f{len(names) - 1}"
    ragged: list[Any] = []

    def refuse(row: Any) -> str:
        ragged.append(row)
        return "error"

    final = None
    with (
        explained(path, ragged),
        pa.csv.open_csv(
            path,
            read_options=pa.csv.ReadOptions(
                use_threads=False,
                block_size=CSV_BLOCK_BYTES,
                encoding=dialect.encoding,
                column_names=[f"f{position}" for position in range(len(names))],
                skip_rows=blank,
                skip_rows_after_names=1,
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=dialect.delimiter, newlines_in_values=True, invalid_row_handler=refuse
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types={field: pa.string() for field in {*fields, last}},
                include_columns=list(dict.fromkeys([*fields, last])),
                null_values=[],
                strings_can_be_null=False,
            ),
        ) as reader,
    ):
        for batch in reader:
            if batch.num_rows:
                final = batch.column(last)[-1].as_py()
                arrays = [trimmed(batch.column(field), dialect) for field in fields]
                yield pa.RecordBatch.from_arrays(arrays, names=list(columns))
    # The end of the file closes an open quotation silently; what it swallowed then ends in a line break.
    if final is not None and final.endswith("\n"):
        raise UserError(f"{path}: the last row opens a quotation that is never closed; was the file cut short?")


def trimmed(column: Any, dialect: Dialect) -> Any:
    import pyarrow as pa
    from pyarrow import compute

    column = compute.utf8_trim_whitespace(column)
    if dialect.decimal == ",":
        column = compute.replace_substring_regex(column, r"^([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)$", r"\1.\2")
    return compute.if_else(compute.is_in(column, value_set=pa.array(MISSING)), pa.scalar(None, pa.string()), column)


def schema_of(path: Path, form: Form) -> Any:
    from pyarrow import ipc, parquet

    if form == "parquet":
        return parquet.read_schema(path)
    opener = ipc.open_file if form == "arrow" else ipc.open_stream
    with path.open("rb") as file, opener(file) as reader:
        return reader.schema


def parquet_batches(path: Path, columns: Sequence[str], span: tuple[int, int] | None) -> Iterator[Any]:
    from pyarrow import parquet

    with explained(path), parquet.ParquetFile(path) as file:
        for group in range(*(span or (0, file.num_row_groups))):
            with explained(path, place=f", row group {group}"):
                portions = group_by_column if lean(file, group, columns) else group_streamed
                for batch in portions(file, group, columns):
                    yield valid(batch)


def lean(file: Any, group: int, columns: Sequence[str]) -> bool:
    """Return whether a row group takes less memory as a whole than the decoders of all its columns at a time."""
    from pyarrow import types

    rows = file.metadata.row_group(group).num_rows
    kinds = [file.schema_arrow.field(name).type for name in columns]
    return rows > BATCH_ROWS and all(
        types.is_primitive(kind) and rows * kind.bit_width <= 8 * DECODER_BYTES for kind in kinds
    )


def group_by_column(file: Any, group: int, columns: Sequence[str]) -> Iterator[Any]:
    """Yield the rows of a row group, decoded column after column: one decoder is there at a time."""
    import pyarrow as pa

    arrays = [file.read_row_group(group, columns=[name], use_threads=False).column(0) for name in columns]
    yield from pa.Table.from_arrays(arrays, names=list(columns)).to_batches(max_chunksize=BATCH_ROWS)


def group_streamed(file: Any, group: int, columns: Sequence[str]) -> Iterator[Any]:
    """Yield the rows of a row group as they are decoded, all columns at a time."""
    yield from file.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(columns), use_threads=False)


def arrow_batches(path: Path, columns: Sequence[str], span: tuple[int, int] | None) -> Iterator[Any]:
    from pyarrow import ipc

    with explained(path), path.open("rb") as source, ipc.open_file(source) as reader:
        for index in range(*(span or (0, reader.num_record_batches))):
            with explained(path, place=f", batch {index}"):
                yield valid(reader.get_batch(index).select(list(columns)))


def stream_batches(path: Path, columns: Sequence[str], span: tuple[int, int] | None) -> Iterator[Any]:
    assert span is None, "a stream is read from its beginning to its end"
    from pyarrow import ipc

    with explained(path), path.open("rb") as source, ipc.open_stream(source) as reader:
        for batch in reader:
            yield valid(batch.select(list(columns)))


def valid(batch: Any) -> Any:
    """Return a batch whose offsets, lengths and text were checked: pyarrow takes a binary file's word for them."""
    batch.validate(full=True)
    return batch


@contextmanager
def explained(path: Path, ragged: Sequence[Any] = (), place: str = "") -> Iterator[None]:
    """Turn whatever pyarrow or the file system has to say into one UserError that names the file and the place."""
    import pyarrow as pa

    try:
        yield
    except UserError:
        raise
    except pa.ArrowInvalid as error:
        if ragged:
            raise UserError(ragged_message(path, ragged[-1])) from error
        row = re.search(r"Row #(\d+)", str(error))
        if row and "UTF8" in str(error):
            raise UserError(
                f"{path}, row {int(row[1]) - 1}: the text is not UTF-8; pass its encoding, such as --encoding latin-1"
            ) from error
        if "straddling" in str(error):
            raise UserError(
                f"{path} has a row longer than {CSV_BLOCK_BYTES >> 20} MB; is a quotation mark never closed?"
            ) from error
        raise UserError(f"{path}{place} is truncated or damaged: {first_line(error)}") from error
    except OSError as error:
        # Of its own accord pyarrow, too, raises OSError, for contents that make no sense; then there is no number.
        what = "is truncated or damaged" if error.errno is None else "can't be read"
        raise UserError(f"{path}{place} {what}: {error.strerror or first_line(error)}") from error
    except (pa.ArrowException, EOFError, UnicodeError) as error:
        raise UserError(f"{path}{place} is truncated or damaged: {first_line(error)}") from error


def ragged_message(path: Path, row: Any) -> str:
    # pyarrow counts the header as row 1 and blank lines not at all.
    text = row.text if len(row.text) <= 60 else row.text[:57] + "..."
    return (
        f"{path}, row {row.number - 1}: {row.actual_columns} fields where the header has {row.expected_columns} "
        f"(the row reads {text!r}); a field that holds the delimiter must stand in quotation marks"
    )


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def plain(batch: Any, name: str) -> Any:
    """Return a record batch of arbitrary Arrow types with its columns as string, int64, float64, bool or timestamp[us].

    NaN becomes null: both mean that nothing was measured. Moments with a time zone are stated in UTC.

    Raises
    ------
    UserError
        If a column holds lists, structures or other things that are not one value per row.
    """
    import pyarrow as pa

    arrays = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        convert = conversion(column.type)
        if convert is None:
            raise UserError(
                f"{name}: column {field.name!r} holds {column.type}, not one value per row; "
                f"pass --ignore {field.name!r}"
            )
        try:
            arrays.append(convert(column))
        except pa.ArrowInvalid as error:
            raise UserError(f"{name}: column {field.name!r} ({column.type}): {first_line(error)}") from error
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def conversion(kind: Any) -> Callable[[Any], Any] | None:
    """Return the function that brings an array of an Arrow type to its plain type, or None if there is none."""
    import pyarrow as pa
    from pyarrow import compute, types

    def cast(target: Any) -> Callable[[Any], Any]:
        return lambda column: compute.cast(column, target, safe=False)

    def floating(column: Any) -> Any:
        numbers = compute.cast(column, pa.float64(), safe=False)
        return compute.if_else(compute.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)

    def decoded(column: Any) -> Any:
        inner = conversion(kind.value_type)
        assert inner is not None, kind
        return inner(column.dictionary_decode())

    if types.is_dictionary(kind):
        return decoded if conversion(kind.value_type) else None
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return cast(pa.string())
    if types.is_boolean(kind):
        return cast(pa.bool_())
    if types.is_uint64(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind):
        return floating
    if types.is_integer(kind):
        return cast(pa.int64())
    if types.is_timestamp(kind) or types.is_date(kind):
        return cast(pa.timestamp("us"))
    if types.is_time(kind) or types.is_duration(kind):
        return lambda column: floating(compute.cast(column, pa.int64(), safe=False))
    return None
