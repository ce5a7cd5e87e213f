"""Rows in partitions on the workers of a dask cluster: they stay there, and only models and sums travel.

A pass is one task for each partition. A task gets the model, sums over its rows tile by tile and returns the sums; they
are merged in the order of the partitions, and where they are large, by the workers as far as possible. So the result
depends on the partitions, but not on how many workers there are, nor on which of them does what. Tasks are free to
move: where a worker dies, dask computes its partitions anew elsewhere, and what the pass lacks is asked for again.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeVar

import numpy as np

from softmaxes.errors import UserError
from softmaxes.sources.arrays import Arrays
from softmaxes.sources.base import Block, IndexedSource, Source, StridedSource, recut
from softmaxes.sources.passes import Plan, Sum, Workers
from softmaxes.sources.sparse import Sparse

ATTEMPTS = 10
"""How often a pass is asked for before the cluster is given up: every attempt survives the death of a worker."""

PATIENCE = 60
"""Seconds without a result after which a cluster that has no workers is given up."""

GATHERED_BYTES = 1 << 26
"""What the sums of all partitions may take to come one by one; larger ones are merged by the workers first,"""

MERGED = 8
"""so many neighbours at a time."""

S = TypeVar("S", bound=Sum)

Part = tuple[Any, Any, Any]
"""Features, class codes and weights (or None) of the rows of a partition."""


class Partitions(StridedSource):
    """Rows in partitions that a cluster holds.

    client: the cluster's. parts: one future of a `Part` for each partition; none is needed by the client itself.
    names: what the partitions are called in messages.
    """

    def __init__(self, client: Any, parts: list[Any], classes: np.ndarray, names: Sequence[str] = ()) -> None:
        self.client = client
        self.parts = parts
        self.classes: np.ndarray = classes
        self.names = list(names) or [f"partition {number}" for number in range(len(parts))]
        found = each(client, _described, [(part,) for part in parts], self.names)
        if not found:
            raise UserError("there are no partitions, so no rows to learn from")
        self.rows = [rows for rows, *_ in found]
        self.n_rows = sum(self.rows)
        _, self.n_features, _, self.is_sparse = found[0]
        self.dtype = np.dtype(np.float32 if all(kind == np.float32 for _, _, kind, _ in found) else np.float64)

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield the rows in the order of the partitions, fetched so many at a time."""
        portions = (
            each(self.client, _portion, [(part, start, start + rows)], [name])[0]
            for part, count, name in zip(self.parts, self.rows, self.names, strict=True)
            for start in range(0, count, rows)
        )
        return recut((Block(*portion) for portion in portions), rows)

    def workers(self) -> Distributed:
        """Return what makes the passes of a fit."""
        return Distributed()

    def every(self, stride: int) -> Partitions:
        """Return rows 0, stride, 2 stride, ... of every partition, where they are."""
        parts = [self.client.submit(_every, part, stride, pure=False) for part in self.parts]
        return Partitions(self.client, parts, self.classes, self.names)

    def weighted(self, factor: Callable[..., np.ndarray], arguments: Sequence[Any]) -> Partitions:
        """Return the same rows with their weights times factor(codes, argument of the partition); nothing is copied."""
        other = copy.copy(self)
        other.parts = [
            self.client.submit(_weighted, part, factor, argument, pure=False)
            for part, argument in zip(self.parts, arguments, strict=True)
        ]
        return other

    def class_weighted(self, of_class: np.ndarray) -> Partitions:
        """Return the same rows with their weights times those of their classes."""
        return self.weighted(_of_class, [of_class] * len(self.parts))


class Distributed(Workers):
    """Passes over partitions: a task for each of them, merged in their order."""

    def __init__(self) -> None:
        super().__init__(1)

    def fold(self, source: Source, plan: Plan, new_sum: Callable[[], S]) -> S:
        """Return the sum over all rows, partition by partition, whatever happens to workers meanwhile."""
        if not isinstance(source, Partitions):
            return super().fold(source, plan, new_sum)
        model = pickle.dumps(_portable(new_sum(), source))
        size = sum(np.size(value) * 8 for value in _numbers(new_sum()).values())
        numbers = _retried(source.client, lambda: _pass(source, model, plan.tile_rows, size))
        return reduce(lambda earlier, later: earlier.merge(later), [_filled(new_sum(), found) for found in numbers])


def _pass(source: Partitions, model: bytes, tile_rows: int, size: int) -> list[dict[str, Any]]:
    client = source.client
    # Scattered once, not sent with each task; lost with its worker, so every attempt scatters anew.
    scattered = client.scatter(model, hash=False)
    sums = [
        client.submit(_summed, part, scattered, tile_rows, name, pure=False)
        for part, name in zip(source.parts, source.names, strict=True)
    ]
    while len(sums) > MERGED and len(sums) * size > GATHERED_BYTES:
        groups = [sums[first : first + MERGED] for first in range(0, len(sums), MERGED)]
        sums = [client.submit(_merged, scattered, *group, pure=False) for group in groups]
    for _ in _as_completed(client, sums):
        pass
    numbers: list[dict[str, Any]] = client.gather(sums)
    return numbers


@dataclass(frozen=True)
class _Shape:
    """What sums ask of an objective's source."""

    n_rows: int
    n_features: int
    is_sparse: bool


def _portable(sums: Any, source: Source) -> Any:
    """Return sums whose objective can travel: without rows, threads and buffers."""
    objective = getattr(sums, "objective", None)
    if objective is not None:
        lean = copy.copy(objective)
        lean.source = _Shape(source.n_rows, source.n_features, source.is_sparse)
        lean.workers, lean._whole, lean._second_moment, lean._scratch = None, None, None, []
        sums.objective = lean
    return sums


def rows_of(part: Part) -> IndexedSource:
    """Return the rows of a partition as a source, where they are."""
    return Arrays(*part) if isinstance(part[0], np.ndarray) else Sparse(*part)


def _summed(part: Part, model: bytes, tile_rows: int, name: str) -> dict[str, Any]:
    sums = pickle.loads(model)  # from the client, over the connection that tasks come by as well
    try:
        with Workers(1):
            for block in rows_of(part).blocks(tile_rows):
                sums.add(block)
    except Exception as error:
        raise UserError(f"{name} can't be summed: {error}") from error
    return _numbers(sums)


def _merged(model: bytes, *numbers: dict[str, Any]) -> dict[str, Any]:
    sums = [_filled(pickle.loads(model), found) for found in numbers]
    return _numbers(reduce(lambda earlier, later: earlier.merge(later), sums))


def _numbers(sums: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(sums).items() if isinstance(value, (float, np.ndarray))}


def _filled(sums: S, numbers: dict[str, Any]) -> S:
    for name, value in numbers.items():
        if isinstance(value, np.ndarray):
            getattr(sums, name)[...] = value
        else:
            setattr(sums, name, value)
    return sums


def _described(part: Part) -> tuple[int, int, Any, bool]:
    features = part[0]
    return features.shape[0], features.shape[1], features.dtype, not isinstance(features, np.ndarray)


def _every(part: Part, stride: int) -> Part:
    features, codes, weights = part
    return features[::stride].copy(), codes[::stride], None if weights is None else weights[::stride]


def _portion(part: Part, start: int, stop: int) -> Part:
    block = rows_of(part).block(start, min(stop, part[0].shape[0]))
    return block.features, block.targets, block.weights


def _weighted(part: Part, factor: Callable[..., np.ndarray], argument: Any) -> Part:
    features, codes, weights = part
    more = factor(codes, argument)
    return features, codes, more if weights is None else weights * more


def _of_class(codes: np.ndarray, of_class: np.ndarray) -> np.ndarray:
    chosen: np.ndarray = of_class[codes]
    return chosen


def _retried(client: Any, attempt: Callable[[], Any]) -> Any:
    """Return what a pass finds; ask again where a worker took something needed with it."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError

    lost = (CancelledError, FutureCancelledError, KilledWorker, CommClosedError)
    for tries in range(1, ATTEMPTS + 1):
        try:
            return attempt()
        except UserError:
            raise
        except Exception as error:  # whatever it is called: without a scheduler every call fails in its own way
            if client.status != "running":
                raise UserError(
                    "the dask scheduler is gone, and with it all that workers held; a fit with a checkpoint can go on "
                    "from there on another cluster"
                ) from error
            if not isinstance(error, lost):
                raise
            if tries == ATTEMPTS:
                raise UserError(f"the dask cluster lost what a pass needed {ATTEMPTS} times: {error}") from error
    raise AssertionError


def each(
    client: Any,
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    names: Sequence[str],
    done: Callable[[int], None] | None = None,
) -> list[Any]:
    """Return function(*call) for each call, computed by the cluster, in order.

    names: of what each call is about; an error becomes a UserError that names it. done: told of each as it is done.
    """

    def attempt() -> list[Any]:
        futures = [client.submit(function, *call, pure=False) for call in calls]
        finished(client, futures, names, done)
        results: list[Any] = client.gather(futures)
        return results

    found: list[Any] = _retried(client, attempt)
    return found


def finished(client: Any, futures: list[Any], names: Sequence[str], done: Callable[[int], None] | None = None) -> None:
    """Wait until all is computed; the first error becomes a UserError that says what it is about."""
    place = {future.key: number for number, future in enumerate(futures)}
    for future in _as_completed(client, futures):
        number = place[future.key]
        if future.status == "error":
            error = future.exception()
            if isinstance(error, UserError):
                raise error
            raise UserError(f"{names[number]} can't be computed: {type(error).__name__}: {error}") from error
        if done is not None:
            done(number)


def _as_completed(client: Any, futures: list[Any]) -> Iterator[Any]:
    """Yield the futures as they are done; UserError where no worker is left to do them."""
    from distributed import as_completed

    pending = {future.key: future for future in futures}
    while pending:
        try:
            for future in as_completed(list(pending.values()), loop=client.loop, timeout=PATIENCE):
                yield pending.pop(future.key)
        except TimeoutError:
            if not client.scheduler_info(n_workers=-1)["workers"]:
                raise UserError(
                    f"the dask cluster has had no workers for {PATIENCE} seconds; a fit with a checkpoint can go on "
                    "when there are some"
                ) from None
