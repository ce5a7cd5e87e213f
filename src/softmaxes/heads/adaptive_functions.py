"""Adaptive softmax as functions of its weights: log-probabilities, and the loss with its gradient."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from softmaxes.heads.adaptive_weights import AdaptiveWeights, Matrix, Vector
from softmaxes.heads.blocks import DEFAULT_MAX_BYTES
from softmaxes.heads.counting import class_indices
from softmaxes.heads.linear import linear_cross_entropy, weighted_sum_and_gradient
from softmaxes.heads.reading import read


def adaptive_log_softmax(hidden: ArrayLike, weights: AdaptiveWeights) -> Matrix:
    """Return the exact log-probability of every class, (n, V) for hidden (n, d), in the classes' own numbering.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxes import heads
    >>> weights = heads.AdaptiveSoftmax(2, 6, [50, 30, 9, 5, 2, 1], rng=0, cutoffs=(2, 4)).weights
    >>> np.exp(heads.adaptive_log_softmax([[1.0, 0.0], [0.0, 5.0]], weights)).sum(axis=1).round(12)
    array([1., 1.])
    """
    rows = weights.rows(hidden)
    head = weights.head_log_softmax(rows)
    result = np.empty((len(rows), len(weights.order)), head.dtype)
    result[:, weights.order[: weights.n_short]] = head[:, : weights.n_short]
    for j, (start, stop, cluster) in enumerate(weights.spans()):
        inside = cluster.log_softmax(rows)
        inside += head[:, weights.n_short + j, None]
        result[:, weights.order[start:stop]] = inside
    return result


def adaptive_cross_entropy(
    hidden: ArrayLike,
    weights: AdaptiveWeights,
    target: ArrayLike,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    reduction: Literal["mean", "sum", "none"] = "mean",
    class_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
) -> Any:
    """Return the cross-entropy of class indices; only the clusters of the targets are evaluated.

    hidden: (n, d). target: (n,). The options are those of `softmaxes.cross_entropy`, max_bytes that of
    `linear_cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxes import heads
    >>> weights = heads.AdaptiveSoftmax(2, 6, [50, 30, 9, 5, 2, 1], rng=0, cutoffs=(2, 4)).weights
    >>> loss = heads.adaptive_cross_entropy([[1.0, 0.0]], weights, [4])
    >>> np.isclose(loss, -heads.adaptive_log_softmax([[1.0, 0.0]], weights)[0, 4])
    np.True_
    """
    rows = weights.rows(hidden)
    labels, scale = _targets(rows, weights, target, reduction, class_weight, sample_weight, ignore_index)
    losses, kept = np.zeros(len(rows)), np.flatnonzero(scale)
    losses[kept] = scale[kept] * row_losses(rows[kept], weights, labels[kept], max_bytes)
    return (losses if reduction == "none" else losses.sum()).astype(rows.dtype)[()]


def adaptive_cross_entropy_and_gradient(
    hidden: ArrayLike,
    weights: AdaptiveWeights,
    target: ArrayLike,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    reduction: Literal["mean", "sum"] = "mean",
    class_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
) -> tuple[Any, tuple[Matrix, AdaptiveWeights]]:
    """Return `adaptive_cross_entropy` and its gradients: in hidden, and in the weights, as weights of the same shapes.

    Examples
    --------
    >>> import numpy as np
    >>> from softmaxes import heads
    >>> weights = heads.AdaptiveWeights(np.array([1, 0]), np.zeros((2, 1)), np.zeros(2), ())
    >>> value, (d_hidden, d_weights) = heads.adaptive_cross_entropy_and_gradient([[3.0]], weights, [0])
    >>> d_weights.weight
    array([[ 1.5],
           [-1.5]])
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction={reduction!r}; a gradient is that of a 'mean' or a 'sum'")
    rows = weights.rows(hidden)
    labels, scale = _targets(rows, weights, target, reduction, class_weight, sample_weight, ignore_index)
    value, d_hidden, gradient = weighted_sum(rows, weights, labels, scale, max_bytes)
    arrays = [np.zeros_like(x, rows.dtype) if g is None else g for g, x in zip(gradient, weights.arrays(), strict=True)]
    return rows.dtype.type(value), (d_hidden, AdaptiveWeights.of(weights.order, arrays))


def _targets(
    rows: Matrix,
    weights: AdaptiveWeights,
    target: ArrayLike,
    reduction: str,
    class_weight: ArrayLike | None,
    sample_weight: ArrayLike | None,
    ignore_index: int | None,
) -> tuple[Vector, Vector]:
    """Return the labels and what the loss of each row is multiplied by."""
    told = read(
        class_indices(target), (len(rows),), len(weights.order), rows.dtype,
        base=None, reduction=reduction, label_smoothing=0.0, class_weight=class_weight,
        sample_weight=sample_weight, ignore_index=ignore_index, z_loss=0.0,
    )  # fmt: skip
    assert told.labels is not None
    return told.labels, told.row_weight * (1.0 if told.class_weight is None else told.class_weight[told.labels])


def row_losses(hidden: Matrix, weights: AdaptiveWeights, labels: Vector, max_bytes: int) -> Vector:
    """Return -log p of one class a row, (n,)."""
    in_head, members, ranks = weights.places(labels)
    result = _losses(hidden, weights.weight, in_head, weights.bias, max_bytes)
    for rows, (start, _, cluster) in zip(members, weights.spans(), strict=True):
        narrow = hidden[rows] @ cluster.projection.T
        result[rows] += _losses(narrow, cluster.weight, ranks[rows] - start, cluster.bias, max_bytes)
    return result


def weighted_sum(
    hidden: Matrix, weights: AdaptiveWeights, labels: Vector, row_weight: Vector, max_bytes: int
) -> tuple[float, Matrix, list[Matrix | None]]:
    """Return the weighted sum of the losses, its gradient in hidden, and those in the weights' arrays.

    The gradients of a cluster that no label is in are 0: None stands for them, so that nobody has to add them.
    """
    in_head, members, ranks = weights.places(labels)
    total, (d_hidden, *d_head) = weighted_sum_and_gradient(
        hidden, weights.weight, in_head, weights.bias, row_weight, max_bytes
    )
    gradients: list[Matrix | None] = [*d_head]
    for rows, (start, _, cluster) in zip(members, weights.spans(), strict=True):
        if not len(rows):
            gradients += [None, None, None]
            continue
        seen = hidden[rows]
        loss, (d_narrow, d_weight, d_bias) = weighted_sum_and_gradient(
            seen @ cluster.projection.T, cluster.weight, ranks[rows] - start, cluster.bias, row_weight[rows], max_bytes
        )
        d_hidden[rows] += d_narrow @ cluster.projection
        gradients += [d_narrow.T @ seen, d_weight, d_bias]
        total += loss
    return total, d_hidden, gradients


def _losses(hidden: Matrix, weight: Matrix, target: Vector, bias: Vector, max_bytes: int) -> Vector:
    return np.asarray(linear_cross_entropy(hidden, weight, target, bias, reduction="none", max_bytes=max_bytes))
