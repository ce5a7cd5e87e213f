"""A fit that survives the end of its process: a journal of what every pass over the data found.

All that a solver learns of the data are the sums of its passes, and all else it does follows from them. So the journal
holds these sums, one after the other. A fit that starts again is given them back as fast as they can be read, takes the
same steps as before to the last bit, and goes on with real passes where the journal ends. This works for any solver,
and nothing of a solver's state has to be known.

An entry is written whole, with a checksum, and forced to the disk before the fit goes on. What a killed process leaves
of an entry that it was writing is recognised and dropped; the entries before it are never touched.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from softmaxes.errors import UserError
from softmaxes.files import replacing
from softmaxes.sources.base import Source
from softmaxes.sources.passes import Plan, Sum, Workers

MAGIC = b"softmaxes checkpoint 1\n"
DIGEST = 32
HEAD = 8 + DIGEST

S = TypeVar("S", bound=Sum)


class Checkpointed(Workers):
    """Passes that are written to a journal, or read from it where an earlier fit has made them already.

    workers: what makes the passes that have to be made: threads, or a cluster. path: the journal, made if it is not
    there. settings: what the fit depends on besides the rows, as JSON data; a journal of other settings is refused, and
    so is one of other data: the first pass is made again and compared.
    """

    def __init__(self, workers: Workers, path: str | Path, settings: dict[str, Any]) -> None:
        super().__init__()
        self._workers = workers
        self.path = Path(path)
        self._first = True
        description = json.dumps(settings, sort_keys=True).encode()
        if not self.path.exists():
            with replacing(self.path) as file:
                file.write(MAGIC + len(description).to_bytes(8, "little") + description)
        try:
            self._file = self.path.open("r+b")
        except OSError as error:
            raise UserError(f"checkpoint {self.path} can't be opened: {error.strerror}") from error
        try:
            self._check_head(description)
            self._replaying = True
            self._end = self._file.tell()
        except BaseException:
            self._file.close()
            raise

    def _check_head(self, description: bytes) -> None:
        if self._file.read(len(MAGIC)) != MAGIC:
            raise UserError(f"{self.path} is no checkpoint of softmaxes; name another file, or remove it")
        written = self._file.read(int.from_bytes(self._file.read(8), "little"))
        if written != description:
            try:
                before, now = json.loads(written), json.loads(description)
                odd = next(name for name in now if before.get(name) != now[name])
                what = f"{odd} was {before.get(odd)!r} and now is {now[odd]!r}"
            except (ValueError, StopIteration, AttributeError):
                what = "its description can't be read"
            raise UserError(
                f"checkpoint {self.path} is of another fit: {what}; remove it to start anew, or go back to its settings"
            )

    def __enter__(self) -> Self:
        self._workers.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what could not be written was said, and can't be written now
            self._file.close()
        self._workers.__exit__(kind, error, trace)

    def fold(self, source: Source, plan: Plan, new_sum: Callable[[], S]) -> S:
        """Return the sum over all rows of source: from the journal if it is there, else by a pass."""
        stored = self._read() if self._replaying else None
        if stored is not None and not self._first:
            return self._restored(new_sum(), stored)
        found = self._workers.fold(source, plan, new_sum)
        if stored is None:
            self._append(_numbers(found))
        elif not _same(_numbers(found), stored):
            raise UserError(
                f"checkpoint {self.path} is of a fit to other data; remove it to start anew, or go back to that data"
            )
        self._first = False
        return found

    def _read(self) -> dict[str, np.ndarray] | None:
        """Return the next entry; None, ready to write, where there is none that is whole."""
        self._end = self._file.tell()
        head = self._file.read(HEAD)
        content = self._file.read(int.from_bytes(head[:8], "little")) if len(head) == HEAD else b""
        if len(head) == HEAD and hashlib.sha256(content).digest() == head[8:]:
            try:
                with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                    return dict(arrays)
            except (ValueError, zipfile.BadZipFile) as error:
                raise UserError(f"checkpoint {self.path} is damaged: {error}; remove it to start anew") from error
        self._replaying = False
        self._file.seek(self._end)
        self._file.truncate()
        return None

    def _append(self, numbers: dict[str, np.ndarray]) -> None:
        self._replaying = False
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **numbers)
        content = buffer.getvalue()
        try:
            self._file.write(len(content).to_bytes(8, "little") + hashlib.sha256(content).digest() + content)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise UserError(
                f"checkpoint {self.path} can't be written: {error.strerror}; what it holds is whole, and the fit can "
                "go on from there"
            ) from error

    def _restored(self, sums: S, stored: dict[str, np.ndarray]) -> S:
        own = _numbers(sums)
        if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in stored.items()}:
            raise UserError(f"checkpoint {self.path} is of another version of softmaxes; remove it to start anew")
        for name, value in stored.items():
            if value.ndim:
                getattr(sums, name)[...] = value  # in place, which keeps the order of the numbers in memory
            else:
                setattr(sums, name, float(value))
        return sums


def _numbers(sums: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in vars(sums).items() if isinstance(value, (float, np.ndarray))}


def _same(found: dict[str, np.ndarray], stored: dict[str, np.ndarray]) -> bool:
    return found.keys() == stored.keys() and all(np.array_equal(found[name], stored[name]) for name in found)
