"""linear_cross_entropy for torch: an autograd function on any device, with second derivatives, in blocks of rows.

On the CPU the value and the gradients come from the NumPy kernels, in one go, and the backward pass only scales them.
Everywhere else, and whenever the gradient itself is to be differentiated, blocks of rows are computed by torch and
computed again in the backward pass, so that no more than one block of logits is ever held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from softmaxes.losses import cross_entropy

__all__ = ["linear_cross_entropy"]

# logits, exponentials, gradients and their masks: how many matrices of one block are alive at the same time
_MATRICES = 10

Compute: TypeAlias = Callable[..., Any]


def linear_cross_entropy(
    by_numpy: tuple[Compute, Compute],
    hidden: Any,
    weight: Any,
    target: Any,
    bias: Any,
    *,
    max_bytes: int,
    reduction: str,
    **options: Any,
) -> Any:
    """Return the loss as a tensor that can be differentiated twice with respect to hidden, weight and bias.

    by_numpy: the value, and the value with its gradients, for NumPy arrays.
    """

    def blocked(h: Any, w: Any, b: Any) -> Any:
        return _by_blocks(h, w, target, b, max_bytes=max_bytes, reduction=reduction, **options)

    tensors = [x for x in (hidden, weight, bias) if x is not None]
    plain = all(x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) for x in tensors)
    if not plain or reduction == "none":
        return blocked(hidden, weight, bias)
    given = {name: _array(value) for name, value in options.items()} | {"max_bytes": max_bytes, "reduction": reduction}
    wanted = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    compute = by_numpy[1] if wanted else by_numpy[0]
    result = compute(_array(hidden), _array(weight), _array(target), _array(bias), **given)
    if not wanted:
        return torch.as_tensor(result)
    return _Linear.apply(result, blocked, hidden, weight, bias)


class _Linear(torch.autograd.Function):  # type: ignore[misc]
    """A value whose gradients are known already; they are made again only to be differentiated themselves."""

    @staticmethod
    def forward(ctx: Any, result: Any, blocked: Compute, hidden: Any, weight: Any, bias: Any) -> Any:
        value, gradients = result
        ctx.blocked = blocked
        ctx.gradients = [None if g is None else torch.from_numpy(g) for g in gradients]
        ctx.save_for_backward(hidden, weight, bias)
        return torch.as_tensor(value)

    @staticmethod
    def backward(ctx: Any, u: Any) -> Any:
        inputs = ctx.saved_tensors
        needed = [x is not None and x.requires_grad for x in inputs]
        if torch.is_grad_enabled():
            chosen = [x for x, wanted in zip(inputs, needed, strict=True) if wanted]
            found = iter(torch.autograd.grad(ctx.blocked(*inputs), chosen, u, create_graph=True))
            return None, None, *(next(found) if wanted else None for wanted in needed)
        return None, None, *(u * g if wanted else None for g, wanted in zip(ctx.gradients, needed, strict=True))


def _by_blocks(
    hidden: Any, weight: Any, target: Any, bias: Any, *, max_bytes: int, reduction: str, **options: Any
) -> Any:
    """Add up the blocks' losses; each block is a checkpoint, whose logits are made again when they are needed."""
    n_features = hidden.shape[-1]
    rows = hidden.reshape(-1, n_features)
    n_rows, n_classes = len(rows), len(weight)
    one_row = _MATRICES * n_classes * max(hidden.element_size(), 4)
    if max_bytes < one_row:
        raise ValueError(f"max_bytes={max_bytes} is too small: one row of {n_classes} classes needs {one_row} bytes")
    target = torch.as_tensor(target, device=hidden.device)
    sample_weight, where = options.pop("sample_weight", None), options.pop("where", None)
    soft = target.is_floating_point()
    target = target.reshape(n_rows, n_classes) if soft else target.reshape(n_rows)
    per_row = None if sample_weight is None else torch.as_tensor(sample_weight, device=hidden.device).reshape(n_rows)
    mask = None if where is None else torch.as_tensor(where, device=hidden.device)
    if mask is not None and mask.ndim > 1:
        mask = mask.expand(*hidden.shape[:-1], n_classes).reshape(n_rows, n_classes)

    def losses(h: Any, w: Any, b: Any, place: slice) -> Any:
        logits = torch.nn.functional.linear(h, w, b)
        return cross_entropy(
            logits, target[place], reduction="none",
            sample_weight=None if per_row is None else per_row[place],
            where=mask if mask is None or mask.ndim == 1 else mask[place],
            **options,
        )  # fmt: skip

    size = max(1, max_bytes // one_row)
    parts = [
        checkpoint(losses, rows[start : start + size], weight, bias, slice(start, start + size), use_reentrant=False)
        for start in range(0, n_rows, size)
    ]
    found = torch.cat(parts) if parts else rows.sum(dim=1)
    if reduction == "none":
        return found.reshape(hidden.shape[:-1])
    if reduction == "sum":
        return found.sum()
    return found.sum() / _divisor(target, per_row, options, n_rows, soft)


def _divisor(target: Any, per_row: Any, options: dict[str, Any], n_rows: int, soft: bool) -> Any:
    """Return what the mean divides by, as `softmaxes.cross_entropy` defines it: 1 where nothing counts."""
    counted = torch.ones(n_rows, dtype=torch.float64, device=target.device) if per_row is None else per_row.double()
    if not soft:
        ignored = options.get("ignore_index")
        kept = torch.ones_like(target, dtype=torch.bool) if ignored is None else target != ignored
        counted = torch.where(kept, counted, 0.0)
        if options.get("class_weight") is not None:
            of_classes = torch.as_tensor(options["class_weight"], device=target.device).double()
            counted = counted * of_classes[torch.where(kept, target, 0)]
    total = float(counted.sum())
    return total if total > 0 else 1.0


def _array(x: Any) -> Any:
    return x.detach().numpy() if isinstance(x, torch.Tensor) else x if x is None else _plain(x)


def _plain(x: Any) -> Any:
    return np.asarray(x) if isinstance(x, list | tuple) else x
