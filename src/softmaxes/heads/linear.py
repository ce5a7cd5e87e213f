"""Cross-entropy of hidden vectors times class weights, without ever holding the matrix of logits."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import array_api_compat
import numpy as np
from numpy.typing import ArrayLike

from softmaxes.arrays import Array, Floating, Layout, as_floating, is_plain, refuse_clever_arrays
from softmaxes.heads.blocks import DEFAULT_MAX_BYTES, Product, plan
from softmaxes.heads.counting import budget
from softmaxes.heads.reading import Reading, distributions, read
from softmaxes.heads.rows import Kind
from softmaxes.heads.sweeps import run
from softmaxes.heads.task import Gradient, Matrix, Task, Wanted
from softmaxes.masks import checked_mask

Gradients: TypeAlias = tuple[Matrix, Matrix, Matrix | None]
_EVERYTHING = True, True, True


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
    options = dict(
        base=base, reduction=reduction, label_smoothing=label_smoothing, class_weight=class_weight,
        sample_weight=sample_weight, ignore_index=ignore_index, z_loss=z_loss,
    )  # fmt: skip
    if array_api_compat.is_torch_array(hidden):
        from softmaxes.bridges import torch_linear

        return torch_linear.linear_cross_entropy(
            hidden, weight, target, bias, max_bytes=max_bytes, where=where, options=options
        )
    return run(_read(hidden, weight, target, bias, max_bytes, False, where, options), None)


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
    options = dict(
        base=base, reduction=reduction, label_smoothing=label_smoothing, class_weight=class_weight,
        sample_weight=sample_weight, ignore_index=ignore_index, z_loss=z_loss,
    )  # fmt: skip
    return value_and_gradients(
        hidden, weight, target, bias, wanted=_EVERYTHING, max_bytes=max_bytes, where=where, options=options
    )


def value_and_gradients(
    hidden: Array,
    weight: Array,
    target: Array,
    bias: Array | None,
    *,
    wanted: Wanted,
    max_bytes: int,
    where: ArrayLike | None,
    options: dict[str, Any],
) -> tuple[Any, tuple[Any, Any, Any]]:
    """Return the value and the gradients that are wanted, None in the place of others, which cost nothing."""
    return _both(_read(hidden, weight, target, bias, max_bytes, True, where, options), wanted)


def weighted_sum_and_gradient(
    hidden: Matrix, weight: Matrix, labels: Matrix, bias: Matrix, row_weight: Matrix, max_bytes: int
) -> tuple[float, tuple[Matrix, Matrix, Matrix]]:
    """Return sum_i row_weight_i loss_i and its gradients, of rows that a head has checked and converted already."""
    given = Floating(hidden, np, hidden.dtype), Floating(weight, np, weight.dtype), Floating(bias, np, bias.dtype)
    product = Product(len(hidden), len(weight), weight.shape[1], hidden.dtype.itemsize)
    task = Task(
        hidden=hidden,
        weight=weight,
        bias=bias,
        told=Reading(Kind(1.0, 0.0, 0.0, True), labels, None, row_weight, "sum"),
        distributions=None,
        possible=None,
        dtype=hidden.dtype,
        blocks=plan(product, max_bytes),
        outer=hidden.shape[:1],
        given=given,
    )
    value, gradients = _both(task, _EVERYTHING)
    return float(value), gradients


def _both(task: Task, wanted: Wanted) -> tuple[Any, tuple[Any, Any, Any]]:
    gradient = Gradient.zeros(task, wanted)
    value = run(task, gradient)
    return value, gradient.finish(task)


def _read(
    hidden: Array,
    weight: Array,
    target: Array,
    bias: Array | None,
    max_bytes: int,
    gradient: bool,
    where: ArrayLike | None,
    options: dict[str, Any],
) -> Task:
    """Validate everything before anything is computed (distributions excepted: each block of rows as it is read)."""
    given = _numpy(hidden, "hidden"), _numpy(weight, "weight"), None if bias is None else _numpy(bias, "bias")
    h, w, b = given[0].values, given[1].values, None if given[2] is None else given[2].values
    check_shapes(h.shape, w.shape, None if b is None else b.shape)
    dtype = np.result_type(*(x.dtype for x in (h, w, b) if x is not None))
    outer, (n_classes, n_features) = h.shape[:-1], w.shape
    refuse_clever_arrays(target, "target")
    wanted = np.asarray(target)
    soft = wanted.dtype.kind not in "biu" and (wanted.size > 0 or hasattr(target, "dtype"))
    told = read(None if soft else target, outer, n_classes, dtype, **options)
    if soft:
        masses = _as_rows(wanted, (*outer, n_classes), dtype)
    possible = None if where is None else _mask(where, (*outer, n_classes))
    flat = h.reshape(-1, n_features)
    smoothed = told.kind.smoothing > 0
    product = Product(
        n_rows=len(flat),
        n_classes=n_classes,
        n_features=n_features,
        itemsize=dtype.itemsize,
        gradient=gradient,
        copies=h.dtype != dtype or w.dtype != dtype or not told.row_weight.all(),
        mask_bytes=2 * (possible is not None) + smoothed * (1 + 2 * dtype.itemsize) + soft * 3 * dtype.itemsize,
        target_bytes=soft * (1 + dtype.itemsize),
    )
    return Task(
        hidden=flat,
        weight=w,
        bias=None if b is None else b.astype(dtype, copy=False),
        told=told,
        distributions=masses if soft else None,
        possible=possible,
        dtype=dtype,
        blocks=plan(product, budget(max_bytes)),
        outer=outer,
        given=given,
    )


def check_shapes(hidden: tuple[int, ...], weight: tuple[int, ...], bias: tuple[int, ...] | None) -> None:
    """Raise ValueError unless the shapes are (..., D), (V, D) and (V,)."""
    if len(weight) != 2 or len(hidden) < 1 or hidden[-1] != weight[1] or bias not in (None, weight[:1]):
        raise ValueError(
            f"hidden has shape {hidden}, weight {weight}" + ("" if bias is None else f", bias {bias}")
            + "; needed are (..., D), (V, D)" + ("" if bias is None else ", (V,)")
        )  # fmt: skip


def _numpy(x: Array, name: str) -> Floating:
    refuse_clever_arrays(x, name)
    floating = as_floating(x, name)
    if not is_plain(floating.values):
        raise TypeError(
            f"{name} is a {type(x).__module__}.{type(x).__name__}; NumPy arrays are needed here "
            "(torch tensors: differentiate linear_cross_entropy with backward())"
        )
    return floating


def _as_rows(target: Matrix, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Matrix:
    """Return target distributions as rows that are still to be checked, all but the first."""
    if target.shape == shape:
        rows = target.reshape(-1, shape[-1])
        distributions(rows[:1], rows[:1].shape, dtype)
        return rows
    return distributions(target, shape, dtype)


def _mask(where: ArrayLike, shape: tuple[int, ...]) -> Matrix:
    """Return the mask as if it had the logits' shape, without making it larger."""
    return np.broadcast_to(checked_mask(where, Layout(shape, (len(shape) - 1,), np)), shape)
