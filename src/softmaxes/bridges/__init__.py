"""Derivatives for other people's arrays: one bridge a framework, loaded only if the array is one of theirs.

Everything written in Array API words is differentiated by torch and JAX as it stands. Two things are not: a search
(its steps are not what should be differentiated) and a loss whose accurate form is not the one to differentiate.
Both state their derivative here, in the same words, so that it can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import array_api_compat

from softmaxes.arrays import is_plain

__all__ = ["constant", "implicit", "iterate", "potential"]


def implicit(solve: Callable[[Any], Any], product: Callable[[Any, Any], Any], z: Any) -> Any:
    """Return p = solve(z), whose Jacobian is symmetric and given by p alone: product(p, v) = J v."""
    bridge = _bridge(z)
    return solve(z) if bridge is None else bridge.implicit(solve, product, z)


def potential(value: Callable[[Any, Any], Any], gradient: Callable[[Any, Any], Any], z: Any, q: Any) -> Any:
    """Return value(z, q), (...), whose gradient with respect to z, (..., K), is gradient(z, q); q is a constant."""
    bridge = _bridge(z)
    return value(z, q) if bridge is None else bridge.potential(value, gradient, z, q)


def constant(x: Any) -> Any:
    """Return x as something that no derivative goes through."""
    bridge = _bridge(x)
    return x if bridge is None else bridge.constant(x)


def iterate(step: Callable[[Any], tuple[Any, Any]], state: Any, most: int, z: Any) -> Any:
    """Return the state after at most `most` steps; step returns the next state and whether it is settled."""
    if not is_plain(z) and array_api_compat.is_jax_array(z):
        return import_module("softmaxes.bridges.jax").iterate(step, state, most)
    for _ in range(most):
        state, settled = step(state)
        if bool(settled):
            break
    return state


def _bridge(z: Any) -> ModuleType | None:
    if is_plain(z):
        return None
    if array_api_compat.is_torch_array(z):
        return import_module("softmaxes.bridges.torch")
    if array_api_compat.is_jax_array(z):
        return import_module("softmaxes.bridges.jax")
    return None
