"""Sparsemax and alpha-entmax: argmax <p, z> + H_alpha(p) with Tsallis' entropy, exact zeros included.

H_alpha(p) = sum (p - p^alpha) / (alpha (alpha - 1)); the search for p is that of the kernels, or of `threshold.py`.

Sources: Martins & Astudillo 2016; Peters, Niculae & Martins 2019; Correia, Niculae & Martins 2019.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

import numpy as np

from softmaxes import exponential, generic, native
from softmaxes.arrays import Array, is_plain
from softmaxes.maps.base import Properties, checked_number
from softmaxes.maps.regularised import RegularisedArgmax, divergence
from softmaxes.maps.threshold import probabilities

__all__ = ["Entmax", "Sparsemax"]

_MOST_ALPHA = 32.0  # beyond, p^(alpha - 1) has no place in float64 for rows of 10^7 equals


class _Tsallis(RegularisedArgmax):
    """What the two members share; a member gives its alpha."""

    @property
    @abstractmethod
    def _epsilon(self) -> float:
        """alpha - 1."""

    def properties(self) -> Properties:
        epsilon = self._epsilon
        return Properties(
            shift_invariant=True,
            scale_invariant=False,
            order_preserving=True,
            sparse=epsilon > 0,
            differentiable=epsilon < 1,
            strictly_positive=epsilon == 0,
            lipschitz=2.0 ** (epsilon - 1) if epsilon <= 1 else None,
        )

    def _solve(self, z: Array, xp: ModuleType) -> Array:
        if self._epsilon == 0:
            return exponential.softmax(z)
        if native.takes(z):
            p = native.empty_like(_rows(z))
            native.entmax_rows(_rows(z), 1 + self._epsilon, p)
            return p.reshape(z.shape)
        return probabilities(z, self._epsilon, xp)

    def _vjp(self, z: Array, u: Array, xp: ModuleType) -> Array:
        if self._epsilon == 0 or not (native.takes(z) and native.takes(u)):
            return super()._vjp(z, u, xp)
        result = native.empty_like(_rows(z))
        native.entmax_vjp(_rows(z), _rows(u), 1 + self._epsilon, result)
        return result.reshape(z.shape)

    def _jvp(self, z: Array, v: Array, xp: ModuleType) -> Array:
        return self._vjp(z, v, xp)  # J is symmetric

    def _label_kernel(self, z: Array, labels: Array, losses: Array, gradient: Array | None) -> bool:
        if self._epsilon > 0:
            native.entmax_losses(z, labels, 1 + self._epsilon, losses, gradient)
        return self._epsilon > 0

    def _gain(self, p: Array, xp: ModuleType) -> tuple[Array, Array]:
        epsilon, nothing = self._epsilon, xp.zeros_like(p)
        if epsilon == 1:
            return xp.where(xp.isnan(p), p, xp.astype(p > 0, p.dtype)), nothing
        if epsilon == 0.5 and is_plain(p):
            return np.sqrt(p), 0.5 * (p > 0).astype(p.dtype)
        safe = xp.where(p > 0, p, xp.ones_like(p))
        gain, bent = safe ** (1 - epsilon), (1 - epsilon) * safe ** (1 - 2 * epsilon)
        gain, bent = xp.where(p > 0, gain, nothing), xp.where(p > 0, bent, nothing)
        return xp.where(xp.isnan(p), p, gain), bent

    def _divergence(self, z: Array, p: Array, q: Array, xp: ModuleType) -> Array:
        epsilon = self._epsilon
        log_p = exponential.log_softmax(z) if epsilon == 0 else xp.log(xp.where(p > 0, p, xp.ones_like(p)))
        terms = divergence(q, p, log_p, epsilon, xp)
        if epsilon > 0:
            # Off the support z is below what p = 0 asks for; the target pays for it where it wants that class.
            z = generic.limit_of_infinities(z, xp)
            short = -(z - xp.max(z, axis=-1, keepdims=True)) - xp.max(p, axis=-1, keepdims=True) ** epsilon / epsilon
            wanted = (q > 0) & (p == 0)
            terms = terms + xp.where(wanted, q * xp.where(wanted, short, xp.zeros_like(q)), xp.zeros_like(q))
        return xp.sum(terms, axis=-1)


@dataclass(frozen=True)
class Sparsemax(_Tsallis):
    """The Euclidean projection onto the simplex: p = argmin |p - z|^2 (Martins & Astudillo 2016).

    p_i = [z_i - tau]_+ with the tau that makes the sum 1. Its loss for a label is zero as soon as that logit leads
    by 1. At the boundary of a support J is one-sided; the support {p > 0} is taken.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.Sparsemax()([0.5, 0.0, -0.5])
    array([0.75, 0.25, 0.  ])
    """

    name: ClassVar[str] = "sparsemax"

    @property
    def _epsilon(self) -> float:
        return 1.0


@dataclass(frozen=True)
class Entmax(_Tsallis):
    """alpha-entmax (Peters, Niculae & Martins 2019): between softmax (alpha = 1) and sparsemax (alpha = 2), and beyond.

    p_i = [(alpha - 1) z_i - tau]_+^(1 / (alpha - 1)), 1 <= alpha <= 32. Entries more than 1 / (alpha - 1) below the
    maximum are exactly 0; its loss for a label is zero as soon as that logit leads by as much.

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.Entmax(1.5)([2.0, 0.0])
    array([1., 0.])
    >>> sm.Entmax(1.5)([1.0, 0.5, -3.0]).round(4)
    array([0.674, 0.326, 0.   ])
    """

    name: ClassVar[str] = "entmax"

    alpha: float = 1.5

    def __post_init__(self) -> None:
        alpha = checked_number(self.alpha, "alpha")
        if not 1 <= alpha <= _MOST_ALPHA:
            raise ValueError(
                f"alpha={self.alpha!r}; needed is a number from 1 (softmax) over 2 (sparsemax) to {_MOST_ALPHA:g}; "
                "the limit for large alpha is hardmax"
            )

    @property
    def _epsilon(self) -> float:
        return self.alpha - 1

    def alpha_gradient(self, z: Array) -> Array:
        """Return dp/dalpha, (..., K), alpha = 1 included (Correia, Niculae & Martins 2019).

        With e = alpha - 1 and b = p (exp(-e log p) - 1 + e log p) / e^2 it is -b + g sum b / sum g.

        Examples
        --------
        >>> import softmaxes as sm
        >>> sm.Entmax(1.5).alpha_gradient([1.0, 0.5, -3.0]).round(4)
        array([ 0.1239, -0.1239,  0.    ])
        """
        return self._run(self._alpha_gradient, z)

    def _alpha_gradient(self, z: Array, xp: ModuleType) -> Array:
        p = self._argmax(z, xp)
        log_p = xp.where(p > 0, self._log(z, xp), xp.zeros_like(p))
        t = self._epsilon * log_p
        series = xp.zeros_like(t)
        for k in range(20, 1, -1):
            series = 1 / k * (1 - t * series) if k > 2 else 0.5 * (1 - t * series)
        direct = (xp.expm1(-t) + t) / xp.where(t == 0, xp.ones_like(t), t * t)
        b = p * log_p * log_p * xp.where(xp.abs(t) < 1, series, direct)
        g, _ = self._gain(p, xp)
        return g * (xp.sum(b, axis=-1, keepdims=True) / xp.sum(g, axis=-1, keepdims=True)) - b


def _rows(z: Array) -> Array:
    return np.ascontiguousarray(z).reshape(-1, z.shape[-1])
