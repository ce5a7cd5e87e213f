"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from softmaxes.errors import UserError

__all__ = ["check_writable", "replacing"]


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` when the block ends, and only if it ends well.

    What is written goes to a new file in the same folder, is forced to the disk, and then renamed in one step: at
    every moment `path` is the whole old file or the whole new one. After an exception, Ctrl-C included, nothing is
    left behind. A device or a pipe (/dev/stdout) can't be replaced and is written to directly.

    Raises
    ------
    UserError
        If the file can't be written; the message says why.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "answer.txt"
    >>> with replacing(path) as file:
    ...     _ = file.write(b"42")
    >>> path.read_text()
    '42'
    >>> folder.cleanup()
    """
    path = Path(os.path.realpath(path))  # a link stays a link, to a new file
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb") as file:
                yield file
            return
        with part_of(path) as (file, part):
            yield file
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.replace(part, path)
            sync_folder(path.parent)
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror or error}") from error


@contextmanager
def part_of(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    # Created by hand because tempfile's files are for their owner alone, and would stay so.
    descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file, part
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)


def sync_folder(folder: Path) -> None:
    """Force the new name to the disk, where the system can open a folder for that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_writable(path: str | Path) -> None:
    """Raise UserError unless a file can be written at `path`; found by trying, before the work that would be lost.

    An existing file is left as it is.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise UserError(f"{path} is a folder; the name of a file is needed")
    if path.exists() and not path.is_file():
        return
    if not path.parent.is_dir():
        raise UserError(f"{path} can't be written: there is no folder {path.parent}")
    try:
        with part_of(path):
            pass
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror or error}") from error
