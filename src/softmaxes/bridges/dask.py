"""Predictions for dask collections: made on the workers, partition by partition, when they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

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
        names = list(getattr(classifier, "feature_names_in_", collection.columns))
        missing = [name for name in names if name not in collection.columns]
        if missing:
            raise ValueError(f"the collection has no column {missing[0]!r}, which the classifier was fitted on")
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
