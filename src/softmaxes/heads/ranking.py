"""The best columns of rows of scores, in a definite order."""

from __future__ import annotations

import numpy as np

from softmaxes.heads.base import Matrix


def best_columns(scores: Matrix, k: int) -> tuple[Matrix, Matrix]:
    """Return the columns of the k largest scores of each row, best first, and these scores; ties go left."""
    n = scores.shape[1]
    if k == 1:
        columns = scores.argmax(axis=1)[:, None]
    elif k >= n // 4:
        columns = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    else:
        columns = _best_by_parts(scores, k)
    return columns, np.take_along_axis(scores, columns, axis=1)


def _best_by_parts(scores: Matrix, k: int) -> Matrix:
    """Narrow each row to a superset of its k best before sorting, with ties at the threshold in column order."""
    threshold = np.partition(scores, -k, axis=1)[:, -k]
    chosen = np.empty((len(scores), k), np.int64)
    for i, row in enumerate(scores):
        candidates = np.flatnonzero(row >= threshold[i])
        chosen[i] = candidates[np.argsort(-row[candidates], kind="stable")[:k]]
    return chosen
