"""Rows as scikit-learn's users bring them: arrays, tables and labels, validated by its rules and made a source.

Each function takes the estimator too, whose `n_features_in_` and `feature_names_in_` scikit-learn sets or compares.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data

from softmaxes.sources.arrays import Arrays
from softmaxes.sources.base import Source
from softmaxes.sources.encoding import classes_of, codes_of, encoded, weights_of
from softmaxes.sources.sparse import Sparse

DTYPES = [np.float64, np.float32]


def labelled(estimator: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Source, np.ndarray]:
    """Return rows with codes for labels, or with probabilities if y has several columns, and the classes.

    Raises ValueError as scikit-learn does, with the place of the first value that is not finite.
    """
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    shape = np.asarray(y).shape
    if len(shape) == 2 and shape[1] > 1:
        return _with_probabilities(estimator, X, y, sample_weight)
    X, y = _validated(estimator, X, y)
    y = column_or_1d(y, warn=True)
    plain = y.dtype.kind in "biuU"  # surely labels: the check is a good part of a tiny fit
    if not plain:
        check_classification_targets(y)
    classes, codes = _distinct(y)
    if plain and 2 * len(classes) > len(y):
        check_classification_targets(y)  # warns of labels that hardly repeat
    check_classes(classes)
    return _rows(X, codes, _weights(estimator, X, classes, codes, sample_weight)), classes


def known(
    estimator: Any, X: Any, y: Any, classes: np.ndarray, sample_weight: Any, *, first: bool = False
) -> Arrays | Sparse:
    """Return rows with codes for labels that have to be among the classes.

    first: whether the estimator sees its features for the first time.
    """
    X, y = validate_data(estimator, X, y, accept_sparse="csr", dtype=DTYPES, reset=first)
    y = column_or_1d(y, warn=True)
    codes = codes_of(y, classes)
    return _rows(X, codes, _weights(estimator, X, classes, codes, sample_weight))


def given(estimator: Any, source: Source, y: Any, sample_weight: Any) -> tuple[Source, np.ndarray]:
    """Return a user's own source with codes for labels, and the classes; the estimator takes its feature names."""
    if y is not None or sample_weight is not None:
        raise ValueError("a source brings its own targets and weights; leave y and sample_weight out")
    classes = classes_of(source)
    check_classes(classes)
    estimator.n_features_in_ = source.n_features
    names = getattr(source, "feature_names", None)
    if names is not None:
        estimator.feature_names_in_ = np.asarray(names, dtype=object)
    return encoded(source, classes), classes


def check_classes(classes: np.ndarray) -> None:
    """Raise ValueError if there are fewer than two classes."""
    if len(classes) < 2:
        raise ValueError(
            f"y contains one class only, {classes.tolist()[0]!r}; a classifier needs samples of at least two classes"
            if len(classes)
            else "y is empty; samples of at least two classes are needed"
        )


def _with_probabilities(estimator: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Source, np.ndarray]:
    if estimator.class_weight is not None:
        raise ValueError("class_weight weighs labels; with probabilities for targets, weigh the rows: sample_weight")
    X, y = _validated(estimator, X, y, multi_output=True)
    y = np.asarray(y, dtype=np.float64)
    sums = y.sum(axis=1)
    bad = np.flatnonzero((np.abs(sums - 1) > 1e-6) | (y < 0).any(axis=1))
    if len(bad):
        raise ValueError(
            f"y has {y.shape[1]} columns, so its rows must be probabilities: >= 0, with sum 1; row {bad[0]} is "
            f"{y[bad[0]]} (for labels pass a 1-D array)"
        )
    classes = np.arange(y.shape[1])
    return _rows(X, y / sums[:, None], _weights(estimator, X, classes, None, sample_weight)), classes


def _rows(X: Any, targets: np.ndarray, weights: np.ndarray | None) -> Arrays | Sparse:
    return Arrays(X, targets, weights) if isinstance(X, np.ndarray) else Sparse(X, targets, weights)


def _weights(
    estimator: Any, X: Any, classes: np.ndarray, codes: np.ndarray | None, sample_weight: Any
) -> np.ndarray | None:
    """Return the weights of the rows times those of their classes; None where each row counts once."""
    weights = None
    if sample_weight is not None:
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if estimator.class_weight is None or codes is None:
        return weights
    of_class = weights_of(estimator.class_weight, classes, np.bincount(codes, weights, len(classes)))
    of_row: np.ndarray = of_class[codes]
    return of_row if weights is None else weights * of_row


def _distinct(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted distinct labels and the position of each label among them, by counting where that is quick."""
    if y.dtype.kind in "iu":
        low, high = int(y.min()), int(y.max())
        if high - low < len(y) and high < 2**62:
            offsets = y.astype(np.int64, copy=False)
            offsets = offsets - low if low else offsets
            present = np.bincount(offsets) > 0
            codes = offsets if present.all() else (np.cumsum(present) - 1)[offsets]
            return (np.flatnonzero(present) + low).astype(y.dtype), codes
    classes, codes = np.unique(y, return_inverse=True)
    return classes, codes.astype(np.int64, copy=False)


def _validated(estimator: Any, X: Any, y: Any, *, multi_output: bool = False) -> tuple[Any, Any]:
    """Return X and y as scikit-learn validates them, CSR or dense, and say where a value is not finite."""
    try:
        return validate_data(  # type: ignore[no-any-return]
            estimator, X, y, accept_sparse="csr", dtype=DTYPES, multi_output=multi_output
        )
    except ValueError as error:
        where = _first_not_finite(X) if "Input X contains" in str(error) else None
        if where is None:
            raise
        row, column = where
        raise ValueError(f"{error}\nThe first of them is in row {row}, column {column}.") from None


def _first_not_finite(X: Any) -> tuple[int, int] | None:
    try:
        values = X.tocoo() if hasattr(X, "tocoo") else np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if isinstance(values, np.ndarray):
        places = np.argwhere(~np.isfinite(values))
        return (int(places[0][0]), int(places[0][1])) if len(places) and values.ndim == 2 else None
    bad = np.flatnonzero(~np.isfinite(values.data))
    return (int(values.row[bad[0]]), int(values.col[bad[0]])) if len(bad) else None
