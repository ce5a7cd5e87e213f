"""One copy of a source's rows in a temporary file, so that only the first pass has to decode what was stored.

Reading Parquet and turning its columns into rows takes several times as long as a pass of the solver, and text takes
longer still. The file has no name (or is removed as it is closed, where the system can't do that): whatever ends the
process, nothing is left behind.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from softmaxes.errors import UserError
from softmaxes.sources.base import Block, IndexedSource, Source
from softmaxes.sources.distributed import Partitions
from softmaxes.sources.memmap import Memmap, RowFile, codes_in
from softmaxes.sources.sparse import Sparse

WRITE_BYTES = 1 << 23
"""How much is decoded and written at a time."""

SPARE_SHARE = 0.05
"""The share of the free disk that is left alone."""


@contextmanager
def spilled(
    source: Source,
    tell: Callable[[str], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Source]:
    """Lend a copy of a source whose rows can be reached at once; the source itself, if it can do that or disk is short.

    Rows that are on a cluster stay there.

    The copy has the same numbers in the same type, so no result depends on whether it was made. tell: told, in a
    sentence, what is written where. progress: called with the rows of each block that is written.

    Raises UserError if the disk fills up meanwhile.
    """
    if isinstance(source, (IndexedSource, Partitions)):
        yield source
        return
    tell = tell or (lambda text: None)
    folder = tempfile.gettempdir()
    free = int(shutil.disk_usage(folder).free * (1 - SPARE_SHARE))
    row_bytes = source.n_features * source.dtype.itemsize
    if not source.is_sparse and source.n_rows * row_bytes > free:
        tell(
            f"the rows take {size(source.n_rows * row_bytes)} but {folder} has {size(free)} to spare, so every pass "
            "reads and decodes the data again; TMPDIR can name a larger folder"
        )
        yield source
        return
    block_rows = max(64, WRITE_BYTES // max(1, min(row_bytes, 8000) if source.is_sparse else row_bytes))
    with ExitStack() as stack:
        if source.is_sparse:
            tell(f"writing the rows once to a temporary file in {folder}")
            copy: Source = _sparse_copy(source, stack, folder, block_rows, progress)
        else:
            tell(f"writing the rows once, {size(source.n_rows * row_bytes)}, to a temporary file in {folder}")
            copy = _dense_copy(source, stack, folder, block_rows, progress)
        yield copy


def size(n_bytes: float) -> str:
    """Return a number of bytes as a person writes it.

    >>> size(1.2e9), size(3000)
    ('1.2 GB', '3.0 kB')
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.1f} {unit}" if unit != "bytes" else f"{n_bytes:.0f} bytes"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"


def temporary(folder: str) -> Any:
    """Return a new file without a name."""
    return tempfile.TemporaryFile(dir=folder, prefix="softmaxes-", buffering=0)


class _Labels:
    """Targets and weights of all rows, in memory; class codes in as few bytes as they need."""

    def __init__(self, source: Source) -> None:
        self.n_rows = source.n_rows
        self.code_type = None if source.classes is None else np.min_scalar_type(len(source.classes))
        self.filled = 0
        self.targets: np.ndarray | None = None
        self.weights: np.ndarray | None = None

    def add(self, block: Block) -> None:
        rows = slice(self.filled, self.filled + len(block))
        for name in ("targets", "weights"):
            values = getattr(block, name)
            if values is not None:
                if self.filled == 0:
                    coded = name == "targets" and values.ndim == 1 and self.code_type is not None
                    dtype = self.code_type if coded else values.dtype
                    setattr(self, name, np.empty((self.n_rows, *values.shape[1:]), dtype))
                getattr(self, name)[rows] = values
        self.filled += len(block)


def _dense_copy(
    source: Source, stack: ExitStack, folder: str, block_rows: int, progress: Callable[[int], None] | None
) -> Memmap:
    file = stack.enter_context(temporary(folder))
    labels = _Labels(source)
    for block in source.blocks(block_rows):
        write(file, block.features, folder)
        labels.add(block)
        if progress is not None:
            progress(len(block))
    rows = RowFile(file.fileno(), f"the temporary file in {folder}", source.dtype, source.n_features)
    return Memmap((rows, source.n_rows), labels.targets, labels.weights, classes=source.classes)


@dataclass(frozen=True, eq=False)
class SparseFile(IndexedSource):
    """Rows of a CSR matrix whose values and column numbers are in files; where its rows begin is in memory."""

    values: RowFile
    columns: RowFile
    pointers: np.ndarray
    n_features: int
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None
    classes: np.ndarray | None = None
    n_rows: int = field(init=False)
    dtype: np.dtype[Any] = field(init=False)
    is_sparse: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_rows", len(self.pointers) - 1)
        object.__setattr__(self, "dtype", self.values.dtype)

    def block(self, start: int, stop: int) -> Block:
        """Return rows start, ..., stop - 1, read into new memory."""
        from scipy.sparse import csr_array

        pointers = self.pointers[start : stop + 1]
        first, last = int(pointers[0]), int(pointers[-1])
        entries = (self.values.read(first, last)[:, 0], self.columns.read(first, last)[:, 0], pointers - first)
        return Block(
            csr_array(entries, shape=(stop - start, self.n_features)),
            codes_in(self.targets, slice(start, stop)),
            None if self.weights is None else self.weights[start:stop],
        )

    def take(self, rows: np.ndarray) -> Sparse:
        """Return the rows with these numbers, in memory."""
        from scipy.sparse import vstack

        parts = [self.block(int(row), int(row) + 1).features for row in rows]
        return Sparse(
            vstack(parts, format="csr"),
            codes_in(self.targets, rows),
            None if self.weights is None else self.weights[rows],
        )


def _sparse_copy(
    source: Source, stack: ExitStack, folder: str, block_rows: int, progress: Callable[[int], None] | None
) -> SparseFile:
    values, columns = stack.enter_context(temporary(folder)), stack.enter_context(temporary(folder))
    pointers = np.zeros(source.n_rows + 1, np.int64)
    labels = _Labels(source)
    for block in source.blocks(block_rows):
        start = labels.filled
        write(values, block.features.data, folder)
        write(columns, block.features.indices.astype(np.int32, copy=False), folder)
        pointers[start + 1 : start + 1 + len(block)] = pointers[start] + block.features.indptr[1:]
        labels.add(block)
        if progress is not None:
            progress(len(block))
    name = f"the temporary file in {folder}"
    return SparseFile(
        RowFile(values.fileno(), name, source.dtype, 1),
        RowFile(columns.fileno(), name, np.int32, 1),
        pointers,
        source.n_features,
        labels.targets,
        labels.weights,
        source.classes,
    )


def write(file: Any, array: np.ndarray, folder: str) -> None:
    """Append an array's numbers to a file without a buffer; UserError where the disk is full."""
    view = memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    try:
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"the disk is full: no room left in {folder} for the temporary copy of the rows; free some space, or "
                "let TMPDIR name a folder on a larger disk"
            ) from error
        raise UserError(f"the temporary file in {folder} can't be written: {error.strerror}") from error
