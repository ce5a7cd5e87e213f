"""What can't be read is one clear error."""

from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest
from tests.tables.cases import mixed, write

from softmaxes.errors import UserError
from softmaxes.tables import (
    as_table,
    open_table,
    profile,
)

BAD_FILES = {
    "empty": (b"", "is empty"),
    "blank": (b"\n \n", "is empty"),
    "header only": (b"a,b\n", "header with 2 columns but no rows"),
    "too few fields": (b"a,b\n1,2\n3\n4,5\n", "row 2: 1 fields where the header has 2"),
    "too many fields": (b"a,b\n1,2\n\n3,4\n5,6,7\n", "row 3: 3 fields where the header has 2"),
    "one name twice": (b"a,a\n1,2\n", "more than one column called 'a'"),
    "junk": (bytes(range(256)) * 8, "binary data"),
    "zeros": (b"a,b\n1,\x00\n", "binary data"),
    "zip": (b"PK\x03\x04" + b"\x00" * 40, "Excel"),
    "gzip": (b"\x1f\x8b" + b"\x00" * 40, "gunzip"),
    "parquet by name": (b"PAR1 and nothing", "truncated or damaged"),
    "arrow by name": (b"ARROW1 and nothing", "truncated or damaged"),
    "a row without end": (b'a,b\n1,2\n3,"' + b"4\n" * 5_000_000, "row longer than 4 MB|never closed"),
    "open quotation": (b'a,b\n1,2\n3,"4\n5,6\n', "never closed"),
    "late latin-1": (b"a,b\n" + b"1,2\n" * 30_000 + b"1,\xe9\n", "row 30001: the text is not UTF-8"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_one_clear_error(tmp_path, case):
    content, message = BAD_FILES[case]
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(open_table(path).blocks())


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("name", ["t.parquet", "t.feather", "t.arrow"])
def test_a_truncated_file_is_one_clear_error(tmp_path, name, share):
    path = write(mixed(), tmp_path / name)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match=rf"{name}.* is truncated or damaged"):
        list(open_table(path).blocks())


@pytest.mark.parametrize("name", ["t.feather", "t.arrow", "t.parquet"])
def test_flipped_bits_never_crash(tmp_path, name):
    """A damaged binary file is another table or an error; no check of ours can know which bits were meant."""
    data = write(mixed(), tmp_path / name).read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(data), 100):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        (tmp_path / name).write_bytes(damaged)
        with suppress(UserError):
            profile(open_table(tmp_path / name))


def test_a_missing_file_suggests_its_neighbour(tmp_path):
    (tmp_path / "flowers.csv").write_text("a\n1\n")
    with pytest.raises(UserError, match=r"flowrs.csv does not exist; did you mean .*flowers.csv"):
        open_table(tmp_path / "flowrs.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="without a table"):
        open_table(tmp_path / "folder")


def test_a_column_of_lists_is_refused_by_name():
    with pytest.raises(UserError, match=r"column 'x' holds list<.*--ignore 'x'"):
        profile(as_table(pa.table({"x": [[1], [2, 3]]})))
