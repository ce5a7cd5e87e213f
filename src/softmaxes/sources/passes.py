"""One pass over a source: tiles of a fixed size, summed in row order, by any number of threads.

The bits of a sum depend on where it is cut. Here the cuts depend on the shape of the data alone: rows are cut into
tiles that fit a core's cache, consecutive tiles into a few parts, each part is summed by one thread from its first
tile to its last, and the parts are merged in row order. The number of threads, the order in which they finish, and
the portions in which a source stores its rows change nothing.

A BLAS cuts its own products differently for each number of threads (measured: OpenBLAS gives other bits on two
threads than on one), so while `Workers` are at work every BLAS of the process runs on one thread, and the
parallelism is ours: threads over parts. That never oversubscribes either.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, reduce
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from softmaxes.sources.base import Block, IndexedSource, Source

TILE_BYTES = 1 << 18
"""What a tile's features and logits may occupy in float32: a fraction of a common second-level cache (measured)."""

LARGE_TILE_BYTES = 1 << 21
LARGE_TILES = 16
"""What they occupy if there are so many tiles at least. Between the products of a tile a thread holds Python's lock:
on two threads a pass over large tiles takes 0.6 of the time, on one thread a few percent more (measured)."""

MOST_PARTS = 16
"""The most parts, hence the most threads that a pass can use."""

PART_BYTES = 1 << 26
"""What the sums of all parts together may occupy in float64."""


SPARSE_LOGITS = 1 << 22
"""The most logits in a tile of sparse rows."""

SHARED_VALUES = 1 << 20
"""A pass over fewer features and logits than this takes about a millisecond: threads would cost more than they save,
and a copy of the rows costs nothing (see `objective.direct`)."""


class Sum(Protocol):
    """A running sum over rows: a monoid whose neutral element is a new one."""

    def add(self, block: Block) -> None:
        """Add the rows of one tile."""

    def merge(self, later: Any) -> Any:
        """Return the sum of this and of one that covers later rows; either may be reused for it."""


S = TypeVar("S", bound=Sum)


@dataclass(frozen=True)
class Plan:
    """Where a pass is cut: tiles of tile_rows rows, parts of part_tiles tiles."""

    n_rows: int
    tile_rows: int
    part_tiles: int
    shared: bool
    """Whether a pass is long enough to be worth handing to threads; no result depends on it."""

    @classmethod
    def of(cls, source: Source, n_classes: int, sum_size: int | None = None) -> Plan:
        """Return the cuts for a source's shape: a function of rows, features and classes, and of nothing else.

        sum_size: how many numbers one part sums, n_features · n_classes unless given.
        """
        n_rows, n_features = source.n_rows, source.n_features
        width = n_classes if source.is_sparse else n_features + n_classes
        large = min(LARGE_TILE_BYTES // (4 * width), n_rows // LARGE_TILES)
        tile_rows = min(max(TILE_BYTES // (4 * width), large, 256), 8192) // 64 * 64
        parts = max(1, min(MOST_PARTS, PART_BYTES // (8 * (sum_size or n_features * n_classes) + 1)))
        if source.is_sparse:  # a tile's gradient is as large as the model: few tiles, of 16 MB of logits
            tile_rows = max(2048, min(SPARSE_LOGITS // n_classes, -(-n_rows // min(4, parts))))
        tiles = max(1, -(-n_rows // tile_rows))
        work = n_rows * max(width, (sum_size or 0) // n_features)
        return cls(n_rows, tile_rows, -(-tiles // min(tiles, parts)), work > SHARED_VALUES)

    def parts(self) -> Iterator[tuple[int, int]]:
        """Yield the first row and the row after the last of each part."""
        rows = self.tile_rows * self.part_tiles
        for start in range(0, self.n_rows, rows):
            yield start, min(start + rows, self.n_rows)


class Workers(AbstractContextManager["Workers"]):
    """Threads for the passes of one fit; inside the `with` block every BLAS of the process is single-threaded.

    threads: how many; None means as many as the BLAS was allowed when the block is entered, so that OMP_NUM_THREADS,
    threadpoolctl and joblib's limits for its workers are obeyed.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._asked = threads
        self.threads = 1
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        allowed = _pin_blas()
        self.threads = self._asked or allowed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = None
        finally:
            _release_blas()

    def fold(self, source: Source, plan: Plan, new_sum: Callable[[], S]) -> S:
        """Return the sum over all rows of source, merged in row order, each part as soon as it is there."""
        parts = list(plan.parts())
        sums: Iterable[S]
        if isinstance(source, IndexedSource) and self.threads > 1 and plan.shared and len(parts) > 1:
            sums = self._in_parallel(source, plan, new_sum, parts)
        elif isinstance(source, IndexedSource):
            sums = (_sum_part(source, plan, new_sum, *part) for part in parts)
        else:
            sums = _sum_stream(source, plan, new_sum)
        return reduce(lambda earlier, later: earlier.merge(later), sums)

    def _in_parallel(
        self, source: IndexedSource, plan: Plan, new_sum: Callable[[], S], parts: list[tuple[int, int]]
    ) -> Iterator[S]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="softmaxes")
        futures = deque(self._pool.submit(_sum_part, source, plan, new_sum, start, stop) for start, stop in parts)
        try:
            while futures:
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()


def _sum_part(source: IndexedSource, plan: Plan, new_sum: Callable[[], S], start: int, stop: int) -> S:
    total = new_sum()
    for first in range(start, stop, plan.tile_rows):
        total.add(source.block(first, min(first + plan.tile_rows, stop)))
    return total


def _sum_stream(source: Source, plan: Plan, new_sum: Callable[[], S]) -> list[S]:
    """Return the sum of each part of a source that can only be read from its first row to its last."""
    sums: list[S] = []
    for tile, block in enumerate(source.blocks(plan.tile_rows)):
        if tile % plan.part_tiles == 0:
            sums = [sums[0].merge(sums[1])] if len(sums) == 2 else sums
            sums.append(new_sum())
        sums[-1].add(block)
    return sums or [new_sum()]


_blas_lock = threading.Lock()
_blas_users = 0
_blas_limit: Any = None
_blas_allowed = 1


def _pin_blas() -> int:
    """Make every BLAS single-threaded until the last user releases it; return how many threads it was allowed.

    The limit is one per process (OpenBLAS has no other), hence the count: of several fits in threads the first
    sets it and the last restores it.
    """
    global _blas_users, _blas_limit, _blas_allowed  # noqa: PLW0603
    with _blas_lock:
        if _blas_users == 0:
            controller = _blas_controller()
            _blas_allowed = max((library["num_threads"] for library in controller.info()), default=1)
            _blas_limit = controller.limit(limits=1)
        _blas_users += 1
        return _blas_allowed


@cache
def _blas_controller() -> Any:
    """Return what knows the BLAS libraries of the process; finding them takes a millisecond, hence once."""
    import scipy.linalg  # noqa: F401 - brings a BLAS of its own, which has to be loaded to be found
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # no stubs are published

    return ThreadpoolController().select(user_api="blas")


def _release_blas() -> None:
    global _blas_users, _blas_limit  # noqa: PLW0603
    with _blas_lock:
        _blas_users -= 1
        if _blas_users == 0:
            _blas_limit.restore_original_limits()
            _blas_limit = None
