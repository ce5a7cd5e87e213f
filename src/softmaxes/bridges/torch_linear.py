"""linear_cross_entropy for torch: an autograd function on any device, with second derivatives, within its budget.

On the CPU a mean or a sum and its gradients come from the NumPy kernels, in one go, and the backward pass hands them
over. Everything else (other devices, losses of single rows, half types, derivatives of the gradient) is swept by torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch

from softmaxes.bridges.torch_problem import Inputs, Problem, Tensor
from softmaxes.bridges.torch_sweeps import curvature, gradients, values
from softmaxes.heads.linear import linear_cross_entropy as value_by_numpy
from softmaxes.heads.linear import value_and_gradients as both_by_numpy

__all__ = ["linear_cross_entropy"]


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, target: Any, bias: Tensor | None, *, max_bytes: int, where: Any, options: Any
) -> Tensor:
    """Return the loss as a tensor that can be differentiated twice with respect to hidden, weight and bias."""
    given = {"hidden": hidden, "weight": weight} | ({} if bias is None else {"bias": bias})
    for name, x in given.items():
        if not isinstance(x, torch.Tensor):
            raise TypeError(f"{name} is a {type(x).__name__}, but hidden is a torch tensor; give all as tensors")
        if x.device != hidden.device:
            raise ValueError(f"{name} is on {x.device}, but hidden on {hidden.device}; move them to one device")

    if isinstance(target, list | tuple) and not np.size(target):
        target = np.asarray(target, np.int64)  # a list of nothing holds floats, to NumPy and to torch

    @cache
    def problem() -> Problem:
        return Problem.read(hidden, weight, target, bias, max_bytes, where, options)

    tensors = given.values()
    by_numpy = all(x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) for x in tensors)
    if not by_numpy or options["reduction"] == "none":
        return _Loss.apply(problem, None, hidden, weight, bias)
    arrays = [_array(x) for x in (hidden, weight, target, bias)]
    told = {name: _array(x) for name, x in options.items()}
    limits: dict[str, Any] = {"where": _array(where), "max_bytes": max_bytes}
    if not (torch.is_grad_enabled() and any(x.requires_grad for x in tensors)):
        return torch.as_tensor(value_by_numpy(*arrays, **told | limits))
    wanted = hidden.requires_grad, weight.requires_grad, bias is not None and bias.requires_grad
    known = _Known(lambda: both_by_numpy(*arrays, wanted=wanted, options=told, **limits))
    return _Loss.apply(problem, known, hidden, weight, bias)


class _Known:
    """A value and its gradients by NumPy: handed over once, not copied, and made again for whoever wants them again.

    Only inputs that can be differentiated have one: what is frozen costs nothing.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        self.value, self.gradients = make()

    def take(self, u: Tensor, wanted: Any) -> Inputs:
        found, self.gradients = self.gradients or self.make()[1], None
        return Inputs(*(torch.from_numpy(g).mul_(u) if w else None for g, w in zip(found, wanted, strict=True)))


class _Loss(torch.autograd.Function):  # type: ignore[misc]
    """A loss, or one a row."""

    @staticmethod
    def forward(ctx: Any, problem: Callable[[], Problem], known: _Known | None, *parts: Tensor | None) -> Tensor:
        ctx.problem, ctx.known, ctx.sums = problem, known, None
        ctx.save_for_backward(*parts)
        if known is not None:
            return torch.as_tensor(known.value)
        losses, ctx.sums = values(problem(), _rows(parts))
        if problem().reduction == "none":
            return losses.reshape(problem().outer).to(problem().result)
        return losses.sum().to(problem().result)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> Any:
        wanted = ctx.needs_input_grad[2:]
        return None, None, *_Gradient.apply(ctx.problem, ctx.known, ctx.sums, wanted, u, *ctx.saved_tensors)


class _Gradient(torch.autograd.Function):  # type: ignore[misc]
    """The gradients of sum_i u_i loss_i in hidden, weight and bias, as a function of u and these three."""

    @staticmethod
    def forward(
        ctx: Any, problem: Callable[[], Problem], known: _Known | None, sums: Any, wanted: Any, u: Tensor, *parts: Any
    ) -> Any:
        ctx.problem, ctx.sums = problem, sums
        ctx.save_for_backward(u, *parts)
        ctx.set_materialize_grads(False)
        if known is not None:
            return _like(known.take(u, wanted), parts)
        return _like(gradients(problem(), sums, u.reshape(-1), _rows(parts), wanted), parts)

    @staticmethod
    def backward(ctx: Any, *directions: Tensor | None) -> Any:
        u, *parts = ctx.saved_tensors
        problem = ctx.problem()
        sums = values(problem, _rows(parts))[1] if ctx.sums is None else ctx.sums
        wanted = ctx.needs_input_grad[5:]
        return None, None, None, None, *_Curvature.apply(problem, sums, wanted, u, *parts, *directions)


class _Curvature(torch.autograd.Function):  # type: ignore[misc]
    """The derivative of `_Gradient`, along directions of hidden, weight and bias; it has none itself."""

    @staticmethod
    def forward(ctx: Any, problem: Problem, sums: Any, wanted: Any, u: Tensor, *others: Any) -> Any:
        parts, directions = others[:3], others[3:]
        slopes, bent = curvature(problem, sums, u.reshape(-1), _rows(parts), _rows(directions), wanted)
        d_u = slopes.reshape(u.shape) if problem.reduction == "none" else slopes.sum()
        return d_u.to(u.dtype), *_like(bent, parts)

    @staticmethod
    def backward(ctx: Any, *directions: Tensor | None) -> Any:
        raise RuntimeError(
            "linear_cross_entropy has first and second derivatives, but no third; cross_entropy of the logits has them"
        )


def _rows(parts: Any) -> Inputs:
    """Return hidden, weight and bias with all leading axes of hidden in one."""
    hidden, weight, bias = parts
    return Inputs(None if hidden is None else hidden.reshape(-1, hidden.shape[-1]), weight, bias)


def _like(found: Inputs, parts: Any) -> tuple[Tensor | None, ...]:
    """Return what was found in the shapes and dtypes of the inputs that it belongs to."""
    pairs = zip((found.hidden, found.weight, found.bias), parts, strict=True)
    return tuple(None if g is None else g.reshape(x.shape).to(x.dtype) for g, x in pairs)


def _array(x: Any) -> Any:
    """Return the memory of a tensor as NumPy sees it; lists, arrays and None as arrays, or as they are."""
    if isinstance(x, torch.Tensor):
        return x.detach().numpy()
    return np.asarray(x) if isinstance(x, list | tuple) else x
