"""Cross-entropy of hidden vectors times class weights, without ever holding the matrix of logits."""

from __future__ import annotations

from math import log
from typing import Any, Literal

import array_api_compat
import numpy as np
from numpy.typing import ArrayLike

from softmaxes.arrays import Array, Floating, as_floating, is_plain, layout, refuse_clever_arrays
from softmaxes.heads.blocks import DEFAULT_MAX_BYTES, Product, plan
from softmaxes.heads.sweeps import Gradient, Gradients, Matrix, Task
from softmaxes.targets import read_class_weight, read_row_weight, read_target


def linear_cross_entropy(
    hidden: Array,
    weight: Array,
    target: Array,
    bias: Array | None = None,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    base: float | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    label_smoothing: float = 0.0,
    class_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    z_loss: float = 0.0,
    where: ArrayLike | None = None,
) -> Any:
    """Return ``cross_entropy(hidden @ weight.T + bias, target, ...)`` without holding the logits.

    Parameters
    ----------
    hidden : array of shape (..., D)
        NumPy, or a torch tensor on any device: the result is then a tensor that can be differentiated twice.
    weight : array of shape (V, D)
        One row for each class.
    target : array
        Class indices of shape (...), or distributions of shape (..., V).
    bias : array of shape (V,), optional
        -inf marks a class that cannot happen.
    max_bytes : int, default 64 MiB
        The most memory to take beside the inputs and the results. The result is the same to rounding for every
        budget, and the same to the last bit for the same budget.
    base, reduction, label_smoothing, class_weight, sample_weight, ignore_index, z_loss, where
        As in `softmaxes.cross_entropy`, with the logits' shape (..., V); the value is the same to rounding.

    Returns
    -------
    scalar or array
        In the dtype that the logits would have.

    Raises
    ------
    ValueError
        If max_bytes is too small for the smallest block (the message says what is enough), if shapes do not fit,
        if a target is out of range.
    TypeError
        If a dtype does not fit, or the arrays are neither NumPy's nor torch's.

    Examples
    --------
    >>> import numpy as np
    >>> import softmaxes as sm
    >>> hidden = np.array([[1.0, 2.0], [0.5, -1.0]])
    >>> weight = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])
    >>> round(float(sm.linear_cross_entropy(hidden, weight, [1, 0])), 6)
    0.4289
    >>> round(float(sm.cross_entropy(hidden @ weight.T, [1, 0])), 6)
    0.4289
    """
    if array_api_compat.is_torch_array(hidden):
        from softmaxes.bridges import torch_linear

        return torch_linear.linear_cross_entropy(
            (linear_cross_entropy, linear_cross_entropy_and_gradient), hidden, weight, target, bias,
            max_bytes=max_bytes, base=base, reduction=reduction, label_smoothing=label_smoothing,
            class_weight=class_weight, sample_weight=sample_weight, ignore_index=ignore_index, z_loss=z_loss,
            where=where,
        )  # fmt: skip
    task = _read(
        hidden, weight, target, bias, max_bytes, False, base, reduction, label_smoothing, class_weight, sample_weight,
        ignore_index, z_loss, where,
    )  # fmt: skip
    return task.run(None)


def linear_cross_entropy_and_gradient(
    hidden: Array,
    weight: Array,
    target: Array,
    bias: Array | None = None,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    base: float | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    label_smoothing: float = 0.0,
    class_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    z_loss: float = 0.0,
    where: ArrayLike | None = None,
) -> tuple[Any, Gradients]:
    """Return `linear_cross_entropy` and its gradients with respect to hidden, weight and bias.

    The parameters are those of `linear_cross_entropy`. With G the gradient with respect to the logits, the gradients
    are d_hidden = G W, d_weight = G^T H and d_bias = G^T 1 (None without a bias), each in the dtype of what it
    belongs to. For reduction="none" they are those of the sum of the losses.

    Examples
    --------
    >>> import numpy as np
    >>> import softmaxes as sm
    >>> hidden, weight = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [0.0, -1.0]])
    >>> value, (d_hidden, d_weight, d_bias) = sm.linear_cross_entropy_and_gradient(hidden, weight, [0])
    >>> d_hidden
    array([[ 0., -1.]])
    >>> d_weight
    array([[-0.5,  0. ],
           [ 0.5,  0. ]])
    """
    task = _read(
        hidden, weight, target, bias, max_bytes, True, base, reduction, label_smoothing, class_weight, sample_weight,
        ignore_index, z_loss, where,
    )  # fmt: skip
    gradient = Gradient.zeros(task)
    value = task.run(gradient)
    return value, gradient.finish(task)


def _read(
    hidden: Array,
    weight: Array,
    target: Array,
    bias: Array | None,
    max_bytes: int,
    gradient: bool,
    base: float | None,
    reduction: str,
    label_smoothing: float,
    class_weight: ArrayLike | None,
    sample_weight: ArrayLike | None,
    ignore_index: int | None,
    z_loss: float,
    where: ArrayLike | None,
) -> Task:
    """Validate everything before anything is computed (distributions excepted: each block of rows as it is read)."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction={reduction!r}; it is one of 'mean', 'sum', 'none'")
    given = _numpy(hidden, "hidden"), _numpy(weight, "weight"), None if bias is None else _numpy(bias, "bias")
    h, w, b = given[0].values, given[1].values, None if given[2] is None else given[2].values
    if w.ndim != 2 or h.ndim < 1 or h.shape[-1] != w.shape[1] or (b is not None and b.shape != w.shape[:1]):
        raise ValueError(
            f"hidden has shape {h.shape}, weight {w.shape}" + ("" if b is None else f", bias {b.shape}")
            + "; needed are (..., D), (V, D)" + ("" if b is None else ", (V,)")
        )  # fmt: skip
    dtype = np.result_type(*(x.dtype for x in (h, w, b) if x is not None))
    outer, (n_classes, n_features) = h.shape[:-1], w.shape
    stand_in = np.broadcast_to(np.zeros((), dtype), (*outer, n_classes))
    labels, distributions, kept = _targets(target, stand_in, ignore_index)
    class_weights = read_class_weight(class_weight, stand_in, np)
    rows = _row_weights(labels, class_weights, read_row_weight(sample_weight, stand_in, np), kept, reduction,
                        label_smoothing, z_loss, outer)  # fmt: skip
    possible = None if where is None else _mask(where, stand_in.shape)
    flat = h.reshape(-1, n_features)
    product = Product(
        n_rows=len(flat),
        n_classes=n_classes,
        n_features=n_features,
        itemsize=dtype.itemsize,
        gradient=gradient,
        copies=h.dtype != dtype or w.dtype != dtype or not rows.all(),
        mask_bytes=(possible is not None) + (label_smoothing > 0) * (1 + 2 * dtype.itemsize)
        + (distributions is not None) * 3 * dtype.itemsize,
        target_bytes=(distributions is not None) * (1 + dtype.itemsize),
    )  # fmt: skip
    return Task(
        hidden=flat,
        weight=w,
        bias=None if b is None else b.astype(dtype, copy=False),
        labels=labels,
        distributions=distributions,
        class_weight=class_weights,
        row_weight=rows,
        possible=possible,
        per_log=1.0 if base is None else 1.0 / log(_above_one(base)),
        smoothing=_between(label_smoothing, 1.0, "label_smoothing"),
        z_loss=_between(z_loss, np.inf, "z_loss"),
        dtype=dtype,
        blocks=plan(product, int(max_bytes)),
        outer=outer,
        reduction=reduction,
        given=given,
    )


def _numpy(x: Array, name: str) -> Floating:
    refuse_clever_arrays(x, name)
    floating = as_floating(x, name)
    if not is_plain(floating.values):
        raise TypeError(
            f"{name} is a {type(x).__module__}.{type(x).__name__}; NumPy arrays are needed here "
            "(torch tensors: differentiate linear_cross_entropy with backward())"
        )
    return floating


def _targets(target: Array, stand_in: Matrix, ignore_index: int | None) -> tuple[Any, Any, Any]:
    """Return labels or distributions as rows, and which rows count."""
    n_classes = stand_in.shape[-1]
    given = np.asarray(target)
    if given.dtype.kind == "f" and given.shape == stand_in.shape and given.size and ignore_index is None:
        return None, given.reshape(-1, n_classes), None
    read = read_target(target, stand_in, layout(stand_in, -1, np), ignore_index=ignore_index)
    if read.labels is None:
        return None, np.asarray(read.distributions).reshape(-1, n_classes), None
    return read.labels.reshape(-1), None, None if read.kept is None else read.kept.reshape(-1)


def _row_weights(
    labels: Matrix | None,
    class_weight: Matrix | None,
    sample_weight: Matrix | None,
    kept: Matrix | None,
    reduction: str,
    smoothing: float,
    z_loss: float,
    outer: tuple[int, ...],
) -> Matrix:
    """Return what each row's loss is multiplied by, the mean's divisor included: 0 for rows that do not count."""
    n = int(np.prod(outer, dtype=np.int64))
    weight = np.ones(n) if sample_weight is None else sample_weight.reshape(-1).astype(np.float64)
    if kept is not None:
        weight = weight * kept
    in_divisor = weight if labels is None or class_weight is None else weight * class_weight[labels]
    total = in_divisor.sum() if reduction == "mean" else 1.0
    if not smoothing and not z_loss:
        weight = np.where(in_divisor > 0, weight, 0.0)
    return weight / (total if total > 0 else 1.0)


def _mask(where: ArrayLike, shape: tuple[int, ...]) -> Matrix:
    mask = np.asarray(where, bool)
    full = (shape[0] if len(shape) == 2 else int(np.prod(shape[:-1], dtype=np.int64)), shape[-1])
    if mask.ndim <= 1 or len(shape) == 2:
        return np.broadcast_to(mask, full)
    return np.broadcast_to(mask, shape).reshape(full)


def _above_one(base: float) -> float:
    if not 1 < base < np.inf:
        raise ValueError(f"base={base!r}; the base of a logarithm is a finite number above 1")
    return float(base)


def _between(value: float, most: float, name: str) -> float:
    if not 0 <= value <= most or value == np.inf:
        raise ValueError(f"{name}={value!r}; it must be finite and lie between 0 and {most:g}")
    return float(value)
