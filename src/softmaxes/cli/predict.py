"""`softmaxes predict`: labels, and probabilities if wanted, for the rows of a table."""

from __future__ import annotations

import csv as csv_text
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from shutil import copyfileobj
from typing import Annotated, Any, BinaryIO

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from softmaxes.errors import UserError
from softmaxes.files import check_writable, replacing
from softmaxes.tables import TableModel, open_table

from .console import progress
from .evaluate import load_model

__all__ = ["predict"]

SUFFIXES = (".csv", ".tsv", ".parquet", ".arrow", ".feather")
SPOOLED_BYTES = 1 << 26


def predict(
    model: Path,
    data: Path,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    probabilities: Annotated[bool, Parameter(alias="-p")] = False,
    ignore_extra: bool = False,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> None:
    """Predict the class of each row of a table.

    The result has one row for each row of the table, in its order: the column `prediction`, and with
    --probabilities one column `p(CLASS)` for each class besides. Nothing is written unless all rows can be predicted.

    Examples:

    ```
    softmaxes predict flowers.softmaxes new.csv
    softmaxes predict flowers.softmaxes new.parquet --probabilities --output answers.parquet
    ```

    Parameters
    ----------
    model
        A model that `softmaxes fit` saved.
    data
        The table: CSV, Parquet or Arrow, with the columns that the model was trained on; the class may be absent.
    output
        Where to write: .csv, .tsv, .parquet, .arrow or .feather. [default: CSV to standard output]
    probabilities
        Add the probability of each class.
    ignore_extra
        Accept columns that the model was not trained on.
    delimiter
        The character between the fields of a CSV, if the guess is wrong.
    encoding
        The character set of a CSV, such as utf-8 or latin-1, if the guess is wrong.
    """
    suffix = ".csv" if output is None else output.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"--output {output} ends in none of {', '.join(SUFFIXES)}, so its format is not clear")
    if output is not None:
        check_writable(output)
    fitted = load_model(model)
    opened = open_table(data, delimiter=delimiter, encoding=encoding)
    fitted.recipe.check_columns(opened, ignore_extra=ignore_extra)
    with (
        destination(output) as file,
        writer(file, suffix, schema(fitted, probabilities), quoting(fitted)) as write,
        progress("predicting", opened.known_rows) as advance,
    ):
        for block, p in fitted.blocks(opened, ignore_extra=ignore_extra):
            write(batch(fitted, p, probabilities))
            advance(len(block))


@contextmanager
def destination(output: Path | None) -> Iterator[BinaryIO]:
    """Open the output so that nothing is seen of it until it is complete."""
    if output is not None:
        with replacing(output) as file:
            yield file
        return
    with tempfile.SpooledTemporaryFile(SPOOLED_BYTES) as spool:
        yield spool  # type: ignore[misc]
        spool.seek(0)
        sys.stdout.flush()
        copyfileobj(spool, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def schema(model: TableModel, probabilities: bool) -> Any:
    import pyarrow as pa

    label = pa.array(model.labels.array[:1]).type
    columns = [pa.field("prediction", label)]
    if probabilities:
        columns += [pa.field(f"p({value})", pa.float64()) for value in model.classes_.tolist()]
    return pa.schema(columns)


def batch(model: TableModel, p: NDArray[np.float64], probabilities: bool) -> Any:
    import pyarrow as pa

    columns = [pa.array(model.labels.array[p.argmax(axis=1)])]
    if probabilities:
        columns += [pa.array(np.ascontiguousarray(column, dtype=np.float64)) for column in p.T]
    return pa.RecordBatch.from_arrays(columns, schema=schema(model, probabilities))


def quoting(model: TableModel) -> str:
    """Return how CSV values are quoted: pyarrow's "needed" means all text, so "none" where no label needs it."""
    return "needed" if any(re.search(r'[",\t\r\n]|^$', str(label)) for label in model.classes_) else "none"


@contextmanager
def writer(file: BinaryIO, suffix: str, columns: Any, quoting_style: str) -> Iterator[Any]:
    """Yield the function that writes a record batch in the format of a suffix."""
    from pyarrow import csv, ipc, parquet

    if suffix == ".parquet":
        with parquet.ParquetWriter(file, columns) as sink:
            yield sink.write_batch
    elif suffix in (".arrow", ".feather"):
        with ipc.new_file(file, columns) as sink:
            yield sink.write_batch
    else:
        delimiter = "\t" if suffix == ".tsv" else ","
        # pyarrow would put every name of the header in quotation marks, needed or not.
        header = StringIO()
        csv_text.writer(header, delimiter=delimiter, lineterminator="\n").writerow(columns.names)
        file.write(header.getvalue().encode())
        options = csv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style=quoting_style)
        with csv.CSVWriter(file, columns, write_options=options) as sink:
            yield sink.write_batch
