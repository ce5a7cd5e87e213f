"""What a cross-entropy without logits is told about its rows, read and checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmaxes.arrays import layout
from softmaxes.heads.rows import Kind
from softmaxes.losses import CrossEntropy
from softmaxes.targets import read_class_weight, read_row_weight, read_target

Vector: TypeAlias = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Reading:
    """The options of N rows with V classes.

    labels: (N,) class indices, 0 where a row is ignored, or None for distributions. class_weight: (V,) or None.
    row_weight: (N,) float64, how much row i adds to the result and to the gradient, the mean's divisor included: 0 for
    rows that do not count.
    """

    kind: Kind
    labels: Vector | None
    class_weight: Vector | None
    row_weight: Vector
    reduction: str


def read(
    target: ArrayLike | None,
    outer: tuple[int, ...],
    n_classes: int,
    dtype: np.dtype[Any],
    *,
    base: float | None,
    reduction: str,
    label_smoothing: float,
    class_weight: ArrayLike | None,
    sample_weight: ArrayLike | None,
    ignore_index: int | None,
    z_loss: float,
) -> Reading:
    """Read the options of `cross_entropy`; target: class indices of shape outer, None if it holds distributions."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction={reduction!r}; it is one of 'mean', 'sum', 'none'")
    stand_in = np.broadcast_to(np.zeros((), dtype), (*outer, n_classes))
    labels = kept = None
    if target is None and ignore_index is not None:
        raise ValueError("ignore_index is for class indices; give the rows of distributions a sample_weight of 0")
    if target is not None:
        found = read_target(target, stand_in, layout(stand_in, -1, np), ignore_index=ignore_index)
        assert found.labels is not None
        labels, kept = found.labels.reshape(-1), None if found.kept is None else found.kept.reshape(-1)
    loss = CrossEntropy(base, label_smoothing, z_loss)
    kind = Kind(1 / loss.log_base, float(label_smoothing), float(z_loss), labels is not None)
    of_classes = read_class_weight(class_weight, stand_in, np)
    of_rows = read_row_weight(sample_weight, stand_in, np)
    weight = np.ones(prod(outer)) if of_rows is None else of_rows.reshape(-1).astype(np.float64)
    if kept is not None:
        weight = weight * kept
    in_divisor = weight if labels is None or of_classes is None else weight * of_classes[labels]
    total = in_divisor.sum() if reduction == "mean" else 1.0
    if not kind.smoothing and not kind.z_loss:
        weight = np.where(in_divisor > 0, weight, 0.0)
    return Reading(kind, labels, of_classes, weight / (total if total > 0 else 1.0), reduction)


def distributions(target: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Vector:
    """Return target distributions of this shape, checked, as rows."""
    stand_in = np.broadcast_to(np.zeros((), dtype), shape)
    return np.asarray(read_target(target, stand_in, layout(stand_in, -1, np)).distributions)


def numpy_type(name: str) -> np.dtype[Any]:
    """Return NumPy's type of a floating-point type of torch's."""
    return np.dtype(name.removeprefix("torch."))
