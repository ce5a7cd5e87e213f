"""Rows of dask collections: they stay on the workers, and only models and sums travel.

A pass is one task for each partition. A task gets the model, sums over its rows tile by tile and returns the sums; they
are merged in the order of the partitions. So the result depends on the partitions, but not on how many workers there
are, nor on which of them does what. Tasks are free to move: where a worker dies, dask computes its partitions anew
elsewhere, and what the pass lacks is asked for again.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeVar

import numpy as np

from softmaxes.errors import UserError
from softmaxes.sources.arrays import Arrays
from softmaxes.sources.base import Block, Source, recut
from softmaxes.sources.encoding import codes_of
from softmaxes.sources.passes import Plan, Sum, Workers

ATTEMPTS = 10
"""How often a pass is asked for before the cluster is given up: every attempt survives the death of a worker."""

S = TypeVar("S", bound=Sum)


class Dask(Source):
    """Rows of a dask DataFrame or array, on the cluster of the current `distributed.Client`.

    collection: a DataFrame of numbers, or an array (n_rows, n_features). target: the column of labels, or an array
    (n_rows,) if the collection is one. weight: a column of weights. client: the cluster, the current one if not given.

    The partitions are computed when the source is made, and kept by the workers. Raises UserError that names the
    partition where one can't be computed, or holds what is no finite number.
    """

    def __init__(self, collection: Any, *, target: Any, weight: str | None = None, client: Any = None) -> None:
        from distributed import get_client

        self.client = client or _current(get_client)
        delayed, self.feature_names = _partitions(collection, target, weight)
        column = target if isinstance(target, str) else None
        raw = self.client.compute(delayed)
        parts = [self.client.submit(_checked, part, column, weight, k, pure=False) for k, part in enumerate(raw)]
        found = _gathered(self.client, [self.client.submit(_described, part, pure=False) for part in parts])
        shapes = [shape for shape, _, _ in found]
        self.classes: np.ndarray = np.unique(np.concatenate([labels for _, labels, _ in found]))
        self.parts = [self.client.submit(_encoded, part, self.classes, pure=False) for part in parts]
        self.rows = [rows for rows, _ in shapes]
        self.n_rows = sum(self.rows)
        self.n_features = shapes[0][1]
        self.dtype = np.dtype(np.float32 if all(kind == np.float32 for _, _, kind in found) else np.float64)

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield the rows in the order of the partitions, which are fetched one at a time."""
        return recut((Block(*_gathered(self.client, [part])[0]) for part in self.parts), rows)

    def workers(self) -> Distributed:
        """Return what makes the passes of a fit."""
        return Distributed(self)


class Distributed(Workers):
    """Passes over a dask source: a task for each partition, merged in the order of the partitions."""

    def __init__(self, source: Dask) -> None:
        super().__init__(1)
        self._source = source

    def fold(self, source: Source, plan: Plan, new_sum: Callable[[], S]) -> S:
        """Return the sum over all rows, partition by partition, whatever happens to workers meanwhile."""
        if source is not self._source:
            return super().fold(source, plan, new_sum)
        model = pickle.dumps(_portable(new_sum(), source))
        numbers = _retried(lambda: self._pass(model, plan.tile_rows))
        return reduce(lambda earlier, later: earlier.merge(later), [_filled(new_sum(), found) for found in numbers])

    def _pass(self, model: bytes, tile_rows: int) -> list[dict[str, Any]]:
        client = self._source.client
        # Scattered once, not sent with each task; lost with its worker, so every attempt scatters anew.
        scattered = client.scatter(model, hash=False)
        tasks = [
            client.submit(_summed, part, scattered, tile_rows, k, pure=False)
            for k, part in enumerate(self._source.parts)
        ]
        numbers: list[dict[str, Any]] = client.gather(tasks)
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
        lean.workers, lean._scratch = None, []
        sums.objective = lean
    return sums


def _summed(part: Any, model: bytes, tile_rows: int, number: int) -> dict[str, Any]:
    sums = pickle.loads(model)  # from the client, over the connection that tasks come by as well
    try:
        with Workers(1):
            for block in Arrays(*part).blocks(tile_rows):
                sums.add(block)
    except Exception as error:
        raise UserError(f"partition {number} can't be summed: {error}") from error
    return _numbers(sums)


def _numbers(sums: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(sums).items() if isinstance(value, (float, np.ndarray))}


def _filled(sums: S, numbers: dict[str, Any]) -> S:
    for name, value in numbers.items():
        if isinstance(value, np.ndarray):
            getattr(sums, name)[...] = value
        else:
            setattr(sums, name, value)
    return sums


def _retried(attempt: Callable[[], Any]) -> Any:
    """Return what a pass finds; ask again where a worker took something needed with it."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError

    for tries in range(1, ATTEMPTS + 1):
        try:
            return attempt()
        except (CancelledError, FutureCancelledError, KilledWorker, CommClosedError) as error:
            if tries == ATTEMPTS:
                raise UserError(f"the dask cluster lost what a pass needed {ATTEMPTS} times: {error}") from error
    raise AssertionError


def _gathered(client: Any, futures: list[Any]) -> list[Any]:
    """Return the results; an error of a partition becomes a UserError that names it."""
    from distributed import wait

    wait(futures)
    for number, future in enumerate(futures):
        if future.status == "error":
            error = future.exception()
            if isinstance(error, UserError):
                raise error
            raise UserError(f"partition {number} can't be computed: {type(error).__name__}: {error}") from error
    results: list[Any] = client.gather(futures)
    return results


def _current(get_client: Callable[[], Any]) -> Any:
    try:
        return get_client()
    except ValueError as error:
        raise UserError(
            "there is no dask cluster: make one, client = distributed.Client(), or Client('tcp://...') for your own"
        ) from error


def _partitions(collection: Any, target: Any, weight: str | None) -> tuple[list[Any], list[str] | None]:
    """Return the partitions as delayed values, each what `_checked` takes, and the names of the features."""
    if hasattr(collection, "chunks"):
        from dask import delayed

        if getattr(target, "ndim", None) != 1 or collection.ndim != 2 or weight is not None:
            raise UserError("with a dask array (n_rows, n_features), target is a dask array (n_rows,) of labels")
        features = collection.rechunk({1: -1})
        labels = target.rechunk((features.chunks[0],))
        pairs = zip(features.to_delayed().ravel(), labels.to_delayed().ravel(), strict=True)
        return [delayed(tuple)(pair) for pair in pairs], None
    missing = [name for name in (target, weight) if name is not None and name not in collection.columns]
    if missing:
        raise UserError(
            f"the collection has no column {missing[0]!r}; it has: {', '.join(map(str, collection.columns))}"
        )
    names = [str(name) for name in collection.columns if name not in (target, weight)]
    return list(collection.to_delayed()), names


Part = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def _checked(part: Any, target: str | None, weight: str | None, number: int) -> Part:
    """Return features, labels and weights of a partition, C-ordered and finite."""
    try:
        weights = None
        if target is None:
            features, labels = part
        else:
            labels = part[target].to_numpy()
            weights = None if weight is None else part[weight].to_numpy(dtype=np.float64)
            features = part.drop(columns=[name for name in (target, weight) if name]).to_numpy()
        features = np.asarray(features)
        if features.dtype != np.float32:
            features = features.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"partition {number} holds what is no number: {error}") from error
    if not np.isfinite(features).all():
        row, column = np.argwhere(~np.isfinite(features))[0]
        raise UserError(f"partition {number}: row {row}, feature {column} is {features[row, column]}; fill it in first")
    if weights is not None and not (np.isfinite(weights) & (weights >= 0)).all():
        raise UserError(f"partition {number}: there is a weight that is negative or not finite")
    labels = np.asarray(labels)
    if labels.dtype == object:
        labels = labels.astype(str)
    return np.ascontiguousarray(features), labels, weights


def _described(part: Part) -> tuple[tuple[int, int], np.ndarray, Any]:
    return part[0].shape, np.unique(part[1]), part[0].dtype


def _encoded(part: Part, classes: np.ndarray) -> Part:
    return part[0], codes_of(part[1], classes), part[2]
