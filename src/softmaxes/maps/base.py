"""What every member of the family is: the one interface, its property sheet, and the arithmetic of rows.

Two roads lead to the simplex, normalised scores (`normalised.py`) and regularised argmax (`regularised.py`): a member
takes one, gives its own scalar formulas, and inherits the rest.

In the formulas ubar = sum p u; J is the Jacobian dp_i/dz_j; a second derivative is contracted to
(u^T H v)_j = sum_ik u_i v_k d2 p_i / dz_j dz_k, the derivative along v of the product J^T u. All of it is O(K).
A logit of -inf is an impossible class everywhere: probability 0, derivative exactly 0. A +inf entry means the limit.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from types import ModuleType
from typing import ClassVar

import array_api_compat
import numpy as np

from softmaxes import generic, native
from softmaxes.arrays import Array, Floating, as_floating, is_plain, namespace

__all__ = [
    "Member",
    "Properties",
    "at_index",
    "checked_number",
    "excess",
    "is_traced",
    "refuse_no_distribution",
    "sums_of_others",
    "surely",
]


@dataclass(frozen=True)
class Properties:
    """What is true of a member everywhere on its domain; a law checks each line by machine.

    shift_invariant: p(z + c) = p(z). scale_invariant: p(c z) = p(z) for c > 0. order_preserving: z_i > z_j implies
    p_i >= p_j. sparse: exact zeros occur. differentiable: everywhere. strictly_positive: p_i > 0 wherever z is finite
    (in real arithmetic). lipschitz: the l2 constant of the map if it is known and finite. domain: the open interval
    of logits, or closed at a finite end that the map accepts.
    """

    shift_invariant: bool
    scale_invariant: bool
    order_preserving: bool
    sparse: bool
    differentiable: bool
    strictly_positive: bool
    lipschitz: float | None = None
    domain: tuple[float, float] = (-inf, inf)


class Member(ABC):
    """A map from rows of logits (last axis) to probabilities, with its derivatives, its entropy and its loss.

    A member is a frozen value. Every method takes arrays of any Array API library with any leading axes, which
    broadcast against each other, and follows the dtype table of `softmaxes.arrays.as_floating`.
    """

    name: ClassVar[str]

    def __call__(self, z: Array) -> Array:
        """Return the probabilities p, (..., K)."""
        return self._run(self._value, z)

    def log(self, z: Array) -> Array:
        """Return log p, (..., K); -inf where p is 0."""
        return self._run(self._log, z)

    def jvp(self, z: Array, v: Array) -> Array:
        """Return J v, (..., K): the derivative of p along v."""
        return self._run(self._jvp, z, v)

    def vjp(self, z: Array, u: Array) -> Array:
        """Return J^T u, (..., K): the gradient of <u, p>."""
        return self._run(self._vjp, z, u)

    def second_derivative(self, z: Array, u: Array, v: Array) -> Array:
        """Return u^T H v, (..., K): the derivative along v of the gradient of <u, p>."""
        return self._run(self._second, z, u, v)

    def jacobian(self, z: Array) -> Array:
        """Return the dense Jacobian, (..., K, K) with [i, j] = dp_i/dz_j: for looking, not for work."""
        ready = as_floating(z, "logits")
        xp, size = ready.xp, int(ready.values.shape[-1])
        basis = xp.eye(size, dtype=ready.values.dtype, device=array_api_compat.device(ready.values))
        return ready.finish(self.vjp(ready.values[..., None, :], basis))

    def loss(self, z: Array, y: Array) -> Array:
        """Return the member's own loss for each row, (...); y holds labels (...) or distributions (..., K).

        For normalised scores it is -sum_k y_k log p_k; for a regularised argmax the Fenchel-Young loss
        Omega*(z) + Omega(y) - <z, y>, which is zero exactly where p = y.
        """
        return self._run(self._loss, z, target=y)

    def loss_and_gradient(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the loss of each row, (...), and its gradient with respect to the logits, (..., K)."""
        pair: tuple[Array, Array] = self._run(self._loss_and_gradient, z, target=y)
        return pair

    def loss_hessian_product(self, z: Array, y: Array, v: Array) -> Array:
        """Return the Hessian of each row's loss times v, (..., K)."""
        return self._run(self._loss_hessian, z, v, target=y)

    def entropy(self, z: Array) -> Array:
        """Return the Shannon entropy H = -sum p log p of each row in nats, (...)."""
        return self._run(self._entropy, z)

    def entropy_gradient(self, z: Array) -> Array:
        """Return dH/dz = -J^T log p, (..., K)."""
        return self._run(self._entropy_gradient, z)

    def entropy_hessian_product(self, z: Array, v: Array) -> Array:
        """Return the Hessian of the entropy times v, (..., K)."""
        return self._run(self._entropy_hessian, z, v)

    def entropy_expansion(self, z: Array, change: Array) -> Array:
        """Return the second-order expansion of H(z + change) around z, (...)."""
        ready, step = as_floating(z, "logits"), as_floating(change, "change")
        xp = ready.xp
        slope = self.entropy_gradient(ready.values) + 0.5 * self.entropy_hessian_product(ready.values, step.values)
        return ready.finish(self.entropy(ready.values) + xp.sum(slope * step.values, axis=-1))

    @abstractmethod
    def properties(self) -> Properties:
        """Return the property sheet."""

    # What a road or a member defines, on floating-point rows; `_domain` says which logits it refuses.

    @abstractmethod
    def _value(self, z: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _log(self, z: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _jvp(self, z: Array, v: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _vjp(self, z: Array, u: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _second(self, z: Array, u: Array, v: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _loss(self, z: Array, q: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _loss_gradient(self, z: Array, q: Array, xp: ModuleType) -> Array: ...

    @abstractmethod
    def _loss_and_gradient(self, z: Array, q: Array, xp: ModuleType) -> tuple[Array, Array]: ...

    @abstractmethod
    def _loss_hessian(self, z: Array, v: Array, q: Array, xp: ModuleType) -> Array: ...

    def _refuse(self, z: Array, xp: ModuleType) -> None:  # noqa: B027 - most members refuse nothing
        """Raise ValueError for logits outside the member's domain (where values can be looked at)."""

    def _label_kernel(self, z: Array, labels: Array, losses: Array, gradient: Array | None) -> bool:
        """Write losses (n,) in float64, and gradients if asked, of rows (n, K) with a label each, where a kernel can.

        Returns False, with nothing written, where none does.
        """
        return False

    def _label_losses(self, z: Array, labels: Array, *, gradient: bool) -> tuple[Array, Array | None] | None:
        """Return the losses and, if asked, their gradients straight from labels; None where no kernel knows them."""
        if not (native.takes(z) and is_plain(labels) and labels.shape == z.shape[:-1] and z.size):
            return None
        rows = np.ascontiguousarray(z).reshape(-1, z.shape[-1])
        losses, slopes = np.empty(len(rows)), native.empty_like(rows) if gradient else None
        each = np.ascontiguousarray(labels, dtype=np.int64).reshape(-1)
        if not self._label_kernel(rows, each, losses, slopes):
            return None
        return losses.reshape(labels.shape), None if slopes is None else slopes.reshape(z.shape)

    def _surprise(self, z: Array, xp: ModuleType) -> Array:
        """Return -log p where it is finite, else 0 (p log p is 0 there)."""
        log_p = self._log(z, xp)
        return xp.where(xp.isinf(log_p), xp.zeros_like(log_p), -log_p)

    def _entropy(self, z: Array, xp: ModuleType) -> Array:
        # Both factors of every term are >= 0 and log p is accurate near p = 1: nothing cancels.
        return xp.sum(self._value(z, xp) * self._surprise(z, xp), axis=-1)

    def _entropy_gradient(self, z: Array, xp: ModuleType) -> Array:
        return self._vjp(z, self._surprise(z, xp), xp)

    def _entropy_hessian(self, z: Array, v: Array, xp: ModuleType) -> Array:
        p, moved = self._value(z, xp), self._jvp(z, v, xp)
        ratio = xp.where(p > 0, moved / xp.where(p > 0, p, xp.ones_like(p)), xp.zeros_like(p))
        return self._second(z, self._surprise(z, xp), v, xp) - self._vjp(z, ratio, xp)

    def _run(self, compute: Callable[..., Array], z: Array, *others: Array, target: Array | None = None) -> Array:
        """Validate, compute on floating-point rows of one shape, and round once."""
        ready = as_floating(z, "logits")
        xp, rows = ready.xp, ready.values
        if rows.ndim == 0:
            raise ValueError("logits are a single number; a row of them is needed: shape (..., K)")
        arguments = [
            rows,
            *(xp.astype(as_floating(_beside(o, rows, xp)).values, rows.dtype, copy=False) for o in others),
        ]
        if target is not None:
            target = _checked_target(target, rows, xp)
            if xp is np and target.dtype.kind in "iu" and compute in (self._loss, self._loss_and_gradient):
                found = self._label_losses(rows, target, gradient=compute == self._loss_and_gradient)
                if found is not None:
                    losses, gradient = (None if part is None else _finished(part, ready) for part in found)
                    return losses if gradient is None else (losses, gradient)
            arguments.append(_distributions(target, rows, xp))
        if len(arguments) > 1:
            arguments = list(xp.broadcast_arrays(*arguments))
        if not rows.shape[-1]:
            none = ready.finish(xp.sum(arguments[0], axis=-1))
            if compute == self._loss_and_gradient:
                return none, ready.finish(arguments[0])
            return none if compute in (self._loss, self._entropy) else ready.finish(arguments[0])
        with np.errstate(all="ignore"):
            self._refuse(rows, xp)
            result = compute(*arguments, xp)
        if isinstance(result, tuple):
            return tuple(_finished(part, ready) for part in result)
        return _finished(result, ready)


def _finished(result: Array, ready: Floating) -> Array:
    """Return a result in the caller's dtype, one number as a NumPy scalar."""
    result = ready.finish(result)
    return result[()] if ready.xp is np and result.ndim == 0 else result


def is_traced(x: Array) -> bool:
    """Return whether x is a JAX tracer, whose values cannot be looked at."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(x, jax.core.Tracer)


def surely(condition: Array) -> bool:
    """Return the truth of a condition on values, and False for values that are only being traced."""
    return not is_traced(condition) and bool(condition)


def checked_number(value: object, name: str) -> float:
    """Return a parameter as a float, or raise TypeError by its name for anything but one real number."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"{name}={value!r}; one real number is needed") from None


def _checked_target(y: Array, rows: Array, xp: ModuleType) -> Array:
    """Return labels or distributions beside the rows, or raise ValueError that shows what is wrong with them."""
    y = _beside(y, rows, xp)
    size = int(rows.shape[-1])
    if xp.isdtype(y.dtype, ("integral", "bool")):
        if surely(xp.any((y < 0) | (y >= size))):
            low, high = int(xp.min(y)), int(xp.max(y))
            raise ValueError(f"labels go from {low} to {high}; {size} classes need 0 to {size - 1}")
        return y
    if y.ndim == 0 or y.shape[-1] != size:
        raise ValueError(
            f"y holds reals of shape {tuple(y.shape)}, distributions over {size} classes need (..., {size}); "
            "labels must be integers"
        )
    refuse_no_distribution(y, "y", xp)
    return y


def refuse_no_distribution(q: Array, name: str, xp: ModuleType, precision: float = 0.0) -> None:
    """Raise ValueError unless the entries of every row are >= 0 and add up to 1 to 1e-4, or twice a precision."""
    bad = ~(q >= 0)
    if surely(xp.any(bad)):
        where = tuple(int(i[0]) for i in xp.nonzero(bad))
        raise ValueError(f"{name} holds {float(q[where])}; the entries of a distribution are numbers >= 0")
    total = xp.sum(q, axis=-1)
    wrong = ~(xp.abs(total - 1.0) <= max(1e-4, 2.0 * precision))
    if q.shape[-1] and surely(xp.any(wrong)):
        where = tuple(int(i[0]) for i in xp.nonzero(wrong)) if wrong.ndim else ()
        raise ValueError(
            f"{name}{f' row {list(where)}' if where else ''} adds up to {float(total[where])}; "
            "a distribution adds up to 1: "
            "divide each row by its sum, or pass scores through softmax first"
        )


def _distributions(y: Array, rows: Array, xp: ModuleType) -> Array:
    """Return a checked target as distributions (..., K) in the dtype of the rows: labels become e_y."""
    if not xp.isdtype(y.dtype, ("integral", "bool")):
        return xp.astype(y, rows.dtype, copy=False)
    return xp.astype(generic.positions(rows, xp) == xp.astype(y, rows.dtype)[..., None], rows.dtype)


def _beside(x: Array, rows: Array, xp: ModuleType) -> Array:
    """Return x as an array of the rows' library, on their device."""
    if xp is np or namespace(x) is xp:
        return np.asarray(x) if xp is np else x
    return xp.asarray(x, device=array_api_compat.device(rows))


def at_index(index: Array, rows: Array, xp: ModuleType) -> Array:
    """Return a mask (..., K) that is True at index (..., 1)."""
    return generic.positions(rows, xp, dtype=index.dtype) == index


def sums_of_others(masses: Array, xp: ModuleType) -> Array:
    """Return for each entry >= 0 the sum of the others of its row, exact in relative terms where one dominates."""
    first = at_index(xp.argmax(masses, axis=-1, keepdims=True), masses, xp)
    rest = xp.sum(xp.where(first, xp.zeros_like(masses), masses), axis=-1, keepdims=True)
    return xp.where(first, rest, xp.sum(masses, axis=-1, keepdims=True) - masses)


def excess(p: Array, q: Array, xp: ModuleType) -> Array:
    """Return (sum q) p - q for a distribution p, as p (sum of the other q) - q (sum of the other p)."""
    if is_plain(p) and is_plain(q) and p.ndim == 2 and np.all(np.count_nonzero(q, axis=-1) <= 1):
        return _excess_over_labels(p, q)
    return p * sums_of_others(q, xp) - q * sums_of_others(p, xp)


def _excess_over_labels(p: Array, q: Array) -> Array:
    """Return the same where each row of q has one entry at most: only there are the others' sums needed."""
    label, row = np.argmax(q, axis=-1), np.arange(len(p))
    total = q[row, label]
    result = p * total[:, None]
    others = 1 - p[row, label]
    sure = np.flatnonzero(others < 0.5)
    rest = p[sure]
    rest[np.arange(len(sure)), label[sure]] = 0
    others[sure] = rest.sum(axis=-1)
    result[row, label] = -total * others
    return result
