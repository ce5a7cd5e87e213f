"""torch: stated derivatives as autograd functions; their backward is made of differentiable operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["constant", "implicit", "potential"]


class _Implicit(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, solve: Any, product: Any, z: Any) -> Any:
        p = solve(z)
        ctx.product = product
        ctx.save_for_backward(p)
        return p

    @staticmethod
    def backward(ctx: Any, u: Any) -> Any:
        # p is an output of this function: differentiating the product again comes back here for dp/dz.
        (p,) = ctx.saved_tensors
        return None, None, ctx.product(p, u)


class _Potential(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, value: Any, gradient: Any, z: Any, q: Any) -> Any:
        ctx.gradient = gradient
        ctx.save_for_backward(z, q)
        return value(z, q)

    @staticmethod
    def backward(ctx: Any, u: Any) -> Any:
        z, q = ctx.saved_tensors
        return None, None, u[..., None] * ctx.gradient(z, q), None


def constant(x: Any) -> Any:
    """Return x, detached."""
    return x.detach()


def implicit(solve: Callable[[Any], Any], product: Callable[[Any, Any], Any], z: Any) -> Any:
    """Return p = solve(z) with backward J u = product(p, u)."""
    return _Implicit.apply(solve, product, z)


def potential(value: Callable[[Any, Any], Any], gradient: Callable[[Any, Any], Any], z: Any, q: Any) -> Any:
    """Return value(z, q) with backward u gradient(z, q)."""
    return _Potential.apply(value, gradient, z, q.detach())
