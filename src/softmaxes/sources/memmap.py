"""Rows of a file that holds one matrix, read when they are asked for.

A memory map would do, but its pages count as the process's memory for as long as the system likes, and a file that
was cut short ends the process instead of raising an exception. So rows are read into a tile's own buffer: from the
system's cache that costs no more than touching the pages of a map, and the tile is in the core's cache afterwards.
"""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from softmaxes.errors import UserError
from softmaxes.sources.arrays import Arrays
from softmaxes.sources.base import Block, IndexedSource, check_lengths

SAMPLE_BYTES = 1 << 26
"""The largest sample of rows that is copied to memory; a larger one is read from the file again and again."""

SPAN_BYTES = 1 << 14
"""Rows at least so far apart are read one by one; of nearer ones all between them are read as well."""


class RowFile:
    """A C-ordered matrix in an open file, from byte `offset` on; reads don't move the file's position."""

    def __init__(self, descriptor: int, name: str, dtype: Any, width: int, offset: int = 0) -> None:
        self.descriptor = descriptor
        self.name = name
        self.dtype = np.dtype(dtype)
        self.width = width
        self.offset = offset

    def read(self, start: int, stop: int, stride: int = 1) -> np.ndarray:
        """Return rows start, start + stride, ... before stop, in new memory. Any thread may call this at any time."""
        row_bytes = self.dtype.itemsize * self.width
        if stride == 1 or stop <= start:
            rows = np.empty((max(stop - start, 0), self.width), self.dtype)
            self._fill(rows, start)
            return rows
        if stride * row_bytes <= SPAN_BYTES:
            return np.ascontiguousarray(self.read(start, stop)[::stride])
        rows = np.empty((-(-(stop - start) // stride), self.width), self.dtype)
        for place, row in enumerate(range(start, stop, stride)):
            self._fill(rows[place : place + 1], row)
        return rows

    def _fill(self, rows: np.ndarray, start: int) -> None:
        if rows.size == 0:
            return
        view = rows.reshape(-1).view(np.uint8).data
        position = self.offset + start * self.dtype.itemsize * self.width
        done = 0
        while done < len(view):
            try:
                count = os.preadv(self.descriptor, [view[done:]], position + done)
            except OSError as error:
                raise UserError(f"{self.name} can't be read: {error.strerror}") from error
            if count == 0:
                raise UserError(f"{self.name} ends before row {start + len(rows)}: it was cut short")
            done += count


@dataclass(frozen=True, eq=False)
class Memmap(IndexedSource):
    """Rows of a 2-D float32 or float64 matrix on disk, read as they are needed; the matrix never is in memory whole.

    features: the path of a .npy file, or a C-contiguous `numpy.memmap`. targets: (n_rows,) or (n_rows, n_classes) or
    None. weights: (n_rows,) or None. Both in memory. classes: the labels, if targets are positions in them; then the
    targets may be of any whole-number type, and are int64 in the blocks.

    Raises UserError if the file is no .npy file of a C-ordered matrix, or shorter than it says.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "X.npy", np.arange(6.0).reshape(3, 2))
    ...     source = Memmap(Path(folder) / "X.npy", targets=np.array([0, 1, 0]))
    ...     [block.features.tolist() for block in source.blocks(2)]
    [[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0]]]
    """

    features: Any
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None
    stride: int = 1
    classes: np.ndarray | None = None
    n_rows: int = field(init=False)
    n_features: int = field(init=False)
    dtype: np.dtype[Any] = field(init=False)
    file: RowFile = field(init=False, repr=False)

    def __post_init__(self) -> None:
        file, n_rows = self.features if isinstance(self.features, tuple) else opened(self.features)
        n_rows = -(-n_rows // self.stride)
        check_lengths(n_rows, self.targets, self.weights)
        object.__setattr__(self, "file", file)
        object.__setattr__(self, "n_rows", n_rows)
        object.__setattr__(self, "n_features", file.width)
        object.__setattr__(self, "dtype", file.dtype)

    def block(self, start: int, stop: int) -> Block:
        """Return rows start, ..., stop - 1, read into new memory."""
        last = (stop - 1) * self.stride + 1
        rows = slice(start, stop)
        return Block(
            self.file.read(start * self.stride, last, self.stride),
            codes_in(self.targets, rows),
            None if self.weights is None else self.weights[rows],
        )

    def take(self, rows: np.ndarray) -> Arrays:
        """Return the rows with these numbers, in memory."""
        features = np.empty((len(rows), self.n_features), self.dtype)
        for place, row in enumerate(rows):
            features[place] = self.file.read(int(row) * self.stride, int(row) * self.stride + 1)[0]
        return Arrays(
            features,
            codes_in(self.targets, rows),
            None if self.weights is None else self.weights[rows],
        )

    def every(self, stride: int) -> IndexedSource:
        """Return rows 0, stride, 2 stride, ...: in memory if they are few, else as a source that reads them."""
        sample = Memmap(
            (self.file, self.n_rows * self.stride),
            None if self.targets is None else self.targets[::stride],
            None if self.weights is None else self.weights[::stride],
            stride=self.stride * stride,
        )
        if sample.n_rows * self.n_features * self.dtype.itemsize > SAMPLE_BYTES:
            return sample
        features = np.empty((sample.n_rows, self.n_features), self.dtype)
        rows = max(1, SAMPLE_BYTES // 16 // (sample.stride * self.n_features * self.dtype.itemsize))
        for start in range(0, sample.n_rows, rows):
            stop = min(start + rows, sample.n_rows)
            features[start:stop] = sample.block(start, stop).features
        return Arrays(features, codes_in(sample.targets, slice(None)), sample.weights)


def codes_in(targets: np.ndarray | None, rows: Any) -> np.ndarray | None:
    """Return the targets of some rows; class codes, which are kept in as few bytes as they need, as int64."""
    if targets is None:
        return None
    own: np.ndarray = targets[rows]
    return own.astype(np.int64) if own.dtype.kind == "u" else own


def opened(features: Any) -> tuple[RowFile, int]:
    """Return the matrix in a .npy file or behind a memory map, and its number of rows."""
    if isinstance(features, np.memmap):
        if features.filename is None or not features.flags.c_contiguous:
            raise UserError("the memory map must be C-contiguous and of a named file; use Arrays for other views of it")
        # A view keeps the map's offset, so its place in the file is told by the addresses.
        whole: Any = features
        while isinstance(whole.base, np.memmap):
            whole = whole.base
        start = features.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        features.flush()
        return _matrix(Path(features.filename), features.shape, features.dtype, whole.offset + start)
    path = Path(features)
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            offset = file.tell()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is no .npy file: {error}") from error
    if fortran and len(shape) == 2:
        raise UserError(f"{path} holds columns, not rows, one after the other; save it with np.ascontiguousarray(X)")
    return _matrix(path, shape, dtype, offset)


def _matrix(path: Path, shape: tuple[int, ...], dtype: Any, offset: int) -> tuple[RowFile, int]:
    if len(shape) != 2:
        raise UserError(f"{path} holds an array of shape {shape}; two dimensions are needed: (n_rows, n_features)")
    if dtype not in (np.float32, np.float64):
        raise UserError(f"{path} holds {dtype} numbers; float32 or float64 is needed")
    expected = offset + shape[0] * shape[1] * dtype.itemsize
    if path.stat().st_size < expected:
        raise UserError(f"{path} is truncated: {path.stat().st_size:,} bytes where its header promises {expected:,}")
    file = RowFile(os.open(path, os.O_RDONLY), str(path), dtype, shape[1], offset)
    weakref.finalize(file, os.close, file.descriptor)
    return file, shape[0]
