"""Predictions for dask collections, and their scores: made on the workers, partition by partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from softmaxes.metrics import Metric
from softmaxes.sources.dask import partitions_of

M = TypeVar("M", bound=Metric)

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


def applied(classifier: Any, collection: Any, method: str = "predict_proba") -> Any:
    """Return what a fitted classifier says of the rows of a dask collection, as a lazy dask array.

    classifier: fitted. collection: a DataFrame with the columns of the features, or an array (n_rows, n_features).
    method: predict, predict_proba, predict_log_proba or decision_function. Nothing is computed until the result is; its
    partitions are those of the collection. Raises ValueError for another method or a collection of other columns.

    >>> import dask.array
    >>> from softmaxes import SoftmaxClassifier
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
    >>> clf = SoftmaxClassifier().fit(X, y)
    >>> applied(clf, dask.array.from_array(X, chunks=2), "predict").compute()
    array([0, 0, 1, 1])
    """
    import dask.array

    if method not in METHODS:
        raise ValueError(f"method={method!r}; one of {', '.join(METHODS)} is needed")
    sample = np.zeros((1, classifier.n_features_in_))
    blocks: list[Any]
    if isinstance(collection, dask.array.Array):
        if collection.shape[1:] != sample.shape[1:]:
            raise ValueError(f"the collection has shape {collection.shape}; {sample.shape[1]} features are needed")
        features = collection.rechunk({1: -1})
        blocks, rows = list(features.to_delayed().ravel()), features.chunks[0]
    else:
        names = _features(classifier, list(collection.columns))
        blocks = list(collection[names].to_delayed())
        rows = (np.nan,) * len(blocks)
    shape = getattr(classifier, method)(_as_fitted(classifier, sample)).shape[1:]
    dtype = classifier.classes_.dtype if method == "predict" else classifier.coef_.dtype
    call = dask.delayed(_call)
    parts = [
        dask.array.from_delayed(call(classifier, method, block), (count, *shape), dtype=dtype)
        for block, count in zip(blocks, rows, strict=True)
    ]
    return dask.array.concatenate(parts, allow_unknown_chunksizes=True)


def scored(
    classifier: Any, collection: Any, *, target: Any, metrics: Sequence[M], weight: str | None = None
) -> tuple[M, ...]:
    """Return the metrics of a fitted classifier on the labelled rows of a dask collection, as states that merge.

    collection: a DataFrame with the columns of the features, or an array (n_rows, n_features). target: the column of
    labels, or an array (n_rows,) if the collection is one. metrics: values of `softmaxes.metrics`, of which the workers
    fill one each for every partition. weight: a column of weights. The sums are exact, so no bit depends on the
    partitions or on who does what. Raises ValueError for columns that are not there and for labels that are no classes.

    >>> import dask.array
    >>> from softmaxes import SoftmaxClassifier, metrics
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
    >>> rows, labels = dask.array.from_array(X, chunks=2), dask.array.from_array(y, chunks=2)
    >>> (accuracy,) = scored(SoftmaxClassifier().fit(X, y), rows, target=labels, metrics=[metrics.Accuracy()])
    >>> accuracy.value, accuracy.count
    (1.0, 4)
    """
    import dask

    delayed, found = partitions_of(collection, target, weight)
    names = None if found is None else _features(classifier, found)
    column = target if isinstance(target, str) else None
    call = dask.delayed(_scored)
    # A tuple of metrics as it is would be taken apart and looked through for things to compute.
    wanted = dask.delayed(tuple(metrics), traverse=False)
    states = dask.compute(*(call(classifier, wanted, part, names, column, weight) for part in delayed))
    total = tuple(metrics)
    for part in states:
        total = tuple(known.merge(more) for known, more in zip(total, part, strict=True))
    return total


def _scored(
    classifier: Any, metrics: tuple[M, ...], part: Any, names: list[str] | None, target: str | None, weight: str | None
) -> list[M]:
    features, labels = part if names is None else (part[names].to_numpy(), part[target].to_numpy())
    if len(labels) == 0:
        return list(metrics)
    weights = None if weight is None else part[weight].to_numpy()
    p = classifier.predict_proba(_as_fitted(classifier, features))
    return [metric.of(p, labels, sample_weight=weights, classes=classifier.classes_) for metric in metrics]


def _features(classifier: Any, columns: list[str]) -> list[str]:
    """Return the columns of the features; ValueError if one of them is not there."""
    names = [str(name) for name in getattr(classifier, "feature_names_in_", columns)]
    missing = [name for name in names if name not in columns]
    if missing:
        raise ValueError(f"the collection has no column {missing[0]!r}, which the classifier was fitted on")
    return names


def _call(classifier: Any, method: str, block: Any) -> Any:
    values = block if isinstance(block, np.ndarray) else block.to_numpy()
    return getattr(classifier, method)(_as_fitted(classifier, values))


def _as_fitted(classifier: Any, values: np.ndarray) -> Any:
    """Return values as a frame if the classifier was fitted on one, because it compares the names."""
    names = getattr(classifier, "feature_names_in_", None)
    if names is None:
        return values
    import pandas as pd

    return pd.DataFrame(values, columns=list(names))
