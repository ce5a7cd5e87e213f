"""What kind of file this is and how its text is written: found from its first bytes, never from its name."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from softmaxes.errors import UserError

__all__ = ["Dialect", "Form", "sniff"]

Form = Literal["csv", "parquet", "arrow", "arrow-stream"]

SAMPLE_BYTES = 1 << 16

# In the order of trust: where two delimiters explain the sample equally well, the earlier one is taken.
DELIMITERS = (",", ";", "\t", "|", ":", " ", "^", "~")

CONTROLS = re.compile("[\x01-\x08\x0b\x0e-\x1f\x7f-\x9f]")

STRANGERS = {
    b"PK\x03\x04": "a zip archive or an Excel workbook; export the sheet as CSV",
    b"\x1f\x8b": "compressed with gzip; unpack it first (gunzip FILE)",
    b"BZh": "compressed with bzip2; unpack it first (bunzip2 FILE)",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it first (unzstd FILE)",
    b"\x93NUMPY": "a NumPy array; tables have named columns: write it as CSV or Parquet",
    b"%PDF": "a PDF document",
}


@dataclass(frozen=True)
class Dialect:
    """How the text of a CSV file is written.

    Parameters
    ----------
    delimiter
        The character between two fields.
    encoding
        The name of the character set, as `codecs` knows it.
    decimal
        The decimal mark, "." or ",".
    """

    delimiter: str = ","
    encoding: str = "utf-8"
    decimal: str = "."


def sniff(path: Path, *, delimiter: str | None = None, encoding: str | None = None) -> tuple[Form, Dialect]:
    """Return the form of a table file and, for a CSV, its dialect.

    Parameters
    ----------
    path
        An existing file.
    delimiter, encoding
        What the caller already knows; only the rest is guessed.

    Raises
    ------
    UserError
        If the file is empty, can't be opened, or isn't a table.
    """
    delimiter = {"tab": "\t", "\\t": "\t"}.get(delimiter or "", delimiter)
    if delimiter is not None and len(delimiter) != 1:
        raise UserError(f"the delimiter is {delimiter!r}; one character is needed, or tab")
    sample = first_bytes(path)
    if not sample:
        raise UserError(f"{path} is empty: a table needs a header line and at least one row")
    if sample.startswith(b"PAR1"):
        return "parquet", Dialect()
    if sample.startswith(b"ARROW1"):
        return "arrow", Dialect()
    if sample.startswith(b"\xff\xff\xff\xff"):
        return "arrow-stream", Dialect()
    for magic, what in STRANGERS.items():
        if sample.startswith(magic):
            raise UserError(f"{path} is {what}; a table in CSV, Parquet or Arrow form is needed")
    encoding = encoding or guess_encoding(sample)
    text = decode(sample, encoding, path)
    if is_junk(text):
        raise UserError(f"{path} holds binary data, not text; a table in CSV, Parquet or Arrow form is needed")
    lines = complete_lines(text, truncated=len(sample) == SAMPLE_BYTES)
    delimiter = delimiter or guess_delimiter(lines)
    return "csv", Dialect(delimiter, encoding, guess_decimal(lines, delimiter))


def first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SAMPLE_BYTES)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error


def guess_encoding(sample: bytes) -> str:
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        # A sample may end in the middle of a character: up to three bytes of it may be missing.
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(sample) == SAMPLE_BYTES and error.start > len(sample) - 4:
            return "utf-8"
        return "latin-1"
    return "utf-8"


def decode(sample: bytes, encoding: str, path: Path) -> str:
    try:
        return sample.decode(encoding, errors="ignore").removeprefix("\ufeff")
    except LookupError as error:
        raise UserError(f"{path}: there is no character set called {encoding!r}; try utf-8 or latin-1") from error
    except UnicodeError as error:
        raise UserError(f"{path} is not in {encoding}: {error}") from error


def is_junk(text: str) -> bool:
    """Whether control characters, which no table has, are more than a stray few."""
    return "\0" in text or len(CONTROLS.findall(text)) > 0.01 * len(text)


def complete_lines(text: str, truncated: bool) -> list[str]:
    lines = text.splitlines(keepends=True)
    return lines[:-1] if truncated and len(lines) > 1 else lines


def guess_delimiter(lines: list[str]) -> str:
    """Return the delimiter under which the largest share of rows has as many fields as the header, more than one."""

    def agreement(delimiter: str) -> tuple[float, int]:
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            return 0.0, 0
        if not counts or counts[0] < 2:
            return 0.0, 0
        return sum(count == counts[0] for count in counts) / len(counts), counts[0]

    # `max` keeps the first of equals, so the order of DELIMITERS decides ties. A header alone agrees with itself.
    best = max(DELIMITERS, key=agreement)
    share, _ = agreement(best)
    unusual = best not in DELIMITERS[:4]
    return "," if share == 0.0 or (unusual and share < 1.0) else best


def guess_decimal(lines: list[str], delimiter: str) -> str:
    """Return "," where fields such as 3,14 occur and none such as 3.14: the habit of much of Europe."""
    if delimiter == ",":
        return "."
    fields = [field.strip() for row in csv.reader(lines[1:], delimiter=delimiter) for field in row]
    commas = any(re.fullmatch(r"[+-]?\d+,\d+", field) for field in fields)
    points = any(re.fullmatch(r"[+-]?\d+\.\d+", field) for field in fields)
    return "," if commas and not points else "."
