"""Rows of dask collections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from softmaxes.errors import UserError
from softmaxes.sources.distributed import Part, Partitions, each
from softmaxes.sources.encoding import codes_of


class Dask(Partitions):
    """Rows of a dask DataFrame or array, on the cluster of the current `distributed.Client`.

    collection: a DataFrame of numbers, or an array (n_rows, n_features). target: the column of labels, or an array
    (n_rows,) if the collection is one. weight: a column of weights. client: the cluster, the current one if not given.

    The partitions are computed when the source is made, and kept by the workers. Raises UserError that names the
    partition where one can't be computed, or holds what is no finite number.
    """

    def __init__(self, collection: Any, *, target: Any, weight: str | None = None, client: Any = None) -> None:
        from distributed import get_client

        client = client or _current(get_client)
        delayed, self.feature_names = partitions_of(collection, target, weight)
        names = [f"partition {number}" for number in range(len(delayed))]
        column = target if isinstance(target, str) else None
        raw = client.compute(delayed)
        checked = [client.submit(_checked, part, column, weight, k, pure=False) for k, part in enumerate(raw)]
        labels = each(client, _labels, [(part,) for part in checked], names)
        classes = np.unique(np.concatenate(labels)) if labels else np.empty(0)
        parts = [client.submit(_encoded, part, classes, pure=False) for part in checked]
        super().__init__(client, parts, classes, names)


def partitions_of(collection: Any, target: Any, weight: str | None) -> tuple[list[Any], list[str] | None]:
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


def _current(get_client: Callable[[], Any]) -> Any:
    try:
        return get_client()
    except ValueError as error:
        raise UserError(
            "there is no dask cluster: make one, client = distributed.Client(), or Client('tcp://...') for your own"
        ) from error


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


def _labels(part: Part) -> np.ndarray:
    return np.unique(part[1])


def _encoded(part: Part, classes: np.ndarray) -> Part:
    return part[0], codes_of(part[1], classes), part[2]
