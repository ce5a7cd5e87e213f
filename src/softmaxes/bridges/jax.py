"""JAX: stated derivatives as custom JVPs, whose rules are differentiable words, so grad, jit and vmap nest freely."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["constant", "implicit", "iterate", "potential"]


def constant(x: Any) -> Any:
    """Return x with its gradient stopped."""
    return jax.lax.stop_gradient(x)


def implicit(solve: Callable[[Any], Any], product: Callable[[Any, Any], Any], z: Any) -> Any:
    """Return p = solve(z) with tangent J v = product(p, v)."""

    @jax.custom_jvp  # type: ignore[untyped-decorator]
    def function(z: Any) -> Any:
        return solve(z)

    @function.defjvp  # type: ignore[untyped-decorator]
    def rule(primals: Any, tangents: Any) -> Any:
        p = function(*primals)
        return p, product(p, *tangents)

    return function(z)


def potential(value: Callable[[Any, Any], Any], gradient: Callable[[Any, Any], Any], z: Any, q: Any) -> Any:
    """Return value(z, q) with tangent <gradient(z, q), v>."""

    @jax.custom_jvp  # type: ignore[untyped-decorator]
    def function(z: Any, q: Any) -> Any:
        return value(z, q)

    @function.defjvp  # type: ignore[untyped-decorator]
    def rule(primals: Any, tangents: Any) -> Any:
        return function(*primals), jnp.sum(gradient(*primals) * tangents[0], axis=-1)

    return function(z, jax.lax.stop_gradient(q))


def iterate(step: Callable[[Any], tuple[Any, Any]], state: Any, most: int) -> Any:
    """Return the state after the steps, as one compiled loop."""

    def unsettled(carry: Any) -> Any:
        return (carry[0] < most) & ~carry[2]

    def body(carry: Any) -> Any:
        state, settled = step(carry[1])
        return carry[0] + 1, state, settled

    _, state, _ = jax.lax.while_loop(unsettled, body, (0, state, jnp.asarray(False)))
    return state
