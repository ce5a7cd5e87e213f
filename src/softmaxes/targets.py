"""Targets: what each row of logits should have said, validated before anything is computed.

A target is either a class index for each row or a distribution over the classes for each row. Both are read into
one value, `Target`, whose `mass` says how much each class counts: the loss of a row is linear in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import array_api_compat
import numpy as np

from softmaxes.arrays import Array, Layout, is_plain, refuse_clever_arrays
from softmaxes.maps.base import refuse_no_distribution, surely

__all__ = ["Target", "read_class_weight", "read_row_weight", "read_target"]


@dataclass(frozen=True, eq=False)
class Target:
    """The target of every row: class indices, or distributions.

    labels: (...) integers below n_classes, 0 where the row is ignored; None for distributions.
    distributions: (..., K), or None for labels. kept: (...) True where the row counts, or None if all do.
    """

    labels: Array | None
    distributions: Array | None
    kept: Array | None
    n_classes: int

    def one_hot(self, dtype: Any, xp: ModuleType) -> Array:
        """Return the distributions, (..., K), whose rows are e_y for labels y."""
        if self.labels is None:
            return self.distributions
        classes = xp.arange(self.n_classes, dtype=self.labels.dtype, device=array_api_compat.device(self.labels))
        return xp.astype(classes == self.labels[..., None], dtype)

    def smoothed(self, smoothing: float, possible: Array, dtype: Any, xp: ModuleType) -> Array:
        """Return (1 - smoothing) q + smoothing u, with u uniform over the classes that are possible in the row."""
        q = self.one_hot(dtype, xp)
        if smoothing == 0.0:
            return q
        here = xp.astype(possible, dtype)
        count = xp.sum(here, axis=-1, keepdims=True)
        return (1.0 - smoothing) * q + smoothing * here / xp.where(count > 0, count, xp.ones_like(count))

    def of_label(self, values: Array, xp: ModuleType) -> Array:
        """Return values[y], (...), for a vector of one value a class; only for labels."""
        flat = xp.reshape(self.labels, (-1,))
        return xp.reshape(xp.take(values, flat, axis=0), tuple(self.labels.shape))  # type: ignore[union-attr]


def read_target(
    target: Array,
    logits: Array,
    layout: Layout,
    *,
    ignore_index: int | None = None,
) -> Target:
    """Return the target of logits laid out as rows.

    logits: (..., K), the rows. target: integers of the layout's outer shape, or floating-point distributions of
    the logits' own shape, whose entries along the class axis are >= 0 and add up to 1.
    Raises ValueError or TypeError that shows what came and what is needed.
    """
    xp, n_classes = layout.xp, int(logits.shape[-1])
    refuse_clever_arrays(target, "target")
    target = _as_array(target, logits, xp, "target")
    if _is_kind(target, ("bool", "integral"), xp):
        labels, kept = _labels(target, logits, layout, n_classes, ignore_index)
        return Target(labels, None, kept, n_classes)
    if not _is_kind(target, ("real floating",), xp):
        raise TypeError(
            f"target has dtype {target.dtype}; needed are class indices (integers) or distributions (reals)"
        )
    if ignore_index is not None:
        raise ValueError("ignore_index is for class indices; give the rows of distributions a sample_weight of 0")
    return Target(None, _distributions(target, logits, layout), None, n_classes)


def read_class_weight(class_weight: Array | None, logits: Array, xp: ModuleType) -> Array | None:
    """Return one weight >= 0 for each of the K classes in the dtype of the logits, or None."""
    if class_weight is None:
        return None
    return _weights(class_weight, logits, (int(logits.shape[-1]),), xp, "class_weight", "one weight a class")


def read_row_weight(sample_weight: Array | None, logits: Array, xp: ModuleType) -> Array | None:
    """Return one weight >= 0 for each row in the dtype of the logits, or None."""
    if sample_weight is None:
        return None
    shape = tuple(logits.shape[:-1])
    return _weights(sample_weight, logits, shape, xp, "sample_weight", "one weight a row")


def _labels(
    target: Array, logits: Array, layout: Layout, n_classes: int, ignore_index: int | None
) -> tuple[Array, Array | None]:
    xp = layout.xp
    if tuple(target.shape) != layout.outer:
        hint = "; pass one-hot rows as floating-point numbers" if tuple(target.shape) == layout.shape else ""
        raise ValueError(
            f"target holds class indices of shape {tuple(target.shape)}, but the logits of shape {layout.shape} "
            f"need shape {layout.outer}: one for each row{hint}"
        )
    labels = target if xp is np and target.dtype.kind != "b" else _default_integers(target, logits, xp)
    kept = None if ignore_index is None else labels != ignore_index
    bad = (labels < 0) | (labels >= n_classes)
    if kept is not None:
        bad = bad & kept
        labels = xp.where(kept, labels, xp.zeros_like(labels))
    if surely(xp.any(bad)):
        where = tuple(int(i[0]) for i in xp.nonzero(bad)) if bad.ndim else ()
        raise ValueError(
            f"target{list(where) if where else ''} is {int(target[where])}, but the logits have {n_classes} classes: "
            f"class indices go from 0 to {n_classes - 1}; pass ignore_index= for rows that do not count"
        )
    return (labels.astype(np.int64, copy=False) if xp is np else labels), kept


def _distributions(target: Array, logits: Array, layout: Layout) -> Array:
    xp = layout.xp
    if tuple(target.shape) != layout.shape:
        hint = "; class indices must be integers" if tuple(target.shape) == layout.outer else ""
        raise ValueError(
            f"target holds distributions of shape {tuple(target.shape)}, but the logits have shape {layout.shape}: "
            f"the two must be equal{hint}"
        )
    # A sum of rounded probabilities is off by about half a unit of their own type.
    precision = float(_eps(target, xp))
    rows = xp.astype(layout.to_rows(target), logits.dtype)
    refuse_no_distribution(rows, "target", xp, precision)
    return rows


def _weights(weights: Array, logits: Array, shape: tuple[int, ...], xp: ModuleType, name: str, what: str) -> Array:
    refuse_clever_arrays(weights, name)
    weights = _as_array(weights, logits, xp, name)
    if tuple(weights.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(weights.shape)}; needed is {what}: shape {shape}")
    weights = xp.astype(weights, logits.dtype)
    bad = ~((weights >= 0) & (weights < xp.inf))
    if surely(xp.any(bad)):
        where = tuple(int(i[0]) for i in xp.nonzero(bad)) if bad.ndim else ()
        raise ValueError(f"{name} holds {float(weights[where])}; weights are finite and not negative")
    return weights


def _as_array(x: Array, logits: Array, xp: ModuleType, name: str) -> Array:
    if xp is np:
        array = np.asarray(x)
        if array.size == 0 and not is_plain(x) and not hasattr(x, "dtype"):
            array = array.astype(np.int64)  # an empty list says nothing of its kind: labels
        if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
            raise TypeError(f"{name} has dtype {array.dtype}; numbers are needed")
        return array
    if array_api_compat.is_array_api_obj(x) and array_api_compat.array_namespace(x) is xp:
        return x
    return xp.asarray(x, device=array_api_compat.device(logits))


def _is_kind(x: Array, kinds: tuple[str, ...], xp: ModuleType) -> bool:
    if getattr(x.dtype, "name", str(x.dtype)).endswith("bfloat16"):
        return "real floating" in kinds
    return bool(xp.isdtype(x.dtype, kinds))


def _eps(x: Array, xp: ModuleType) -> float:
    return 2.0**-7 if "bfloat16" in str(x.dtype) else float(xp.finfo(x.dtype).eps)


def _default_integers(x: Array, logits: Array, xp: ModuleType) -> Array:
    """Cast to the library's own integers, so that a class count above 127 fits beside int8 labels."""
    if xp is np:
        return x.astype(np.int64)
    dtype = xp.__array_namespace_info__().default_dtypes(device=array_api_compat.device(logits))["integral"]
    return xp.astype(x, dtype)
