"""Softmax: the only member of both roads."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from types import ModuleType
from typing import ClassVar

from softmaxes import exponential, maximum_entropy, native
from softmaxes.arrays import Array
from softmaxes.maps.base import Properties
from softmaxes.maps.normalised import NormalisedScores, Scores
from softmaxes.maps.regularised import RegularisedArgmax, divergence

__all__ = ["Softmax"]


@dataclass(frozen=True)
class Softmax(NormalisedScores, RegularisedArgmax):
    """p_k = e^(z_k / T) / sum_j e^(z_j / T) = psi^z_k / sum_j psi^z_j, psi = e^(1/T).

    As normalised scores phi = exp(z / T); as a regularised argmax Omega = T sum p log p. No other positive phi gives
    a map that ignores shifts, and no other regulariser one whose scores are normalised one by one: the two roads
    meet here and nowhere else. The calculus is that of the first road (both give the same).

    Parameters
    ----------
    temperature : float, default 1
        T >= 0; 0 is hardmax (derivatives 0), infinity the uniform distribution.
    base : float, optional
        psi >= 1, in place of a temperature; for psi < 1 negate the logits, as softmin does, and take 1 / psi.

    Examples
    --------
    >>> import softmaxes as sm
    >>> m = sm.Softmax(temperature=2.0)
    >>> m([0.0, 2.0, 4.0]).round(4)
    array([0.09  , 0.2447, 0.6652])
    >>> m.jvp([0.0, 2.0, 4.0], [1.0, 0.0, 0.0]).round(4)
    array([ 0.041 , -0.011 , -0.0299])
    """

    name: ClassVar[str] = "softmax"

    temperature: float = 1.0
    base: float | None = None

    def __post_init__(self) -> None:
        exponential.inverse_temperature(self.temperature, self.base)

    @property
    def beta(self) -> float:
        """The inverse temperature 1 / T = ln psi."""
        return exponential.inverse_temperature(self.temperature, self.base).high

    @classmethod
    def from_mean(cls, z: Array, value: float) -> Softmax:
        """Return the softmax of one row z under which the mean of z is `value`: sum p z = value.

        Among all distributions with this mean it has the largest entropy. The temperature is unique.
        Raises ValueError if the mean lies outside (plain mean of z, max z): below the plain mean the temperature
        would be negative; negate both z and value then.

        Examples
        --------
        >>> import softmaxes as sm
        >>> m = sm.Softmax.from_mean([0.0, 1.0, 2.0, 3.0], 2.2)
        >>> round(m.beta, 4)
        0.6185
        """
        return cls._at(maximum_entropy.beta_from_mean(z, value), "mean")

    @classmethod
    def from_entropy(cls, z: Array, nats: float) -> Softmax:
        """Return the softmax of one row z whose entropy is `nats`, between log(number of maxima) and log K.

        Examples
        --------
        >>> import softmaxes as sm
        >>> z = [0.0, 1.0, 5.0]
        >>> round(float(sm.Softmax.from_entropy(z, 0.5).entropy(z)), 12)
        0.5
        """
        return cls._at(maximum_entropy.beta_from_entropy(z, nats), "entropy")

    @classmethod
    def from_perplexity(cls, z: Array, perplexity: float) -> Softmax:
        """Return the softmax of one row z whose perplexity e^H, the effective number of classes, is this.

        Examples
        --------
        >>> import softmaxes as sm
        >>> z = [0.0, 1.0, 5.0]
        >>> m = sm.Softmax.from_perplexity(z, 2.0)
        """
        return cls._at(maximum_entropy.beta_from_perplexity(z, perplexity), "perplexity")

    @classmethod
    def from_top_probability(cls, z: Array, probability: float) -> Softmax:
        """Return the softmax of one row z that gives its largest entry this probability.

        Examples
        --------
        >>> import softmaxes as sm
        >>> m = sm.Softmax.from_top_probability([0.0, 1.0, 5.0], 0.9)
        >>> round(float(m([0.0, 1.0, 5.0])[2]), 12)
        0.9
        """
        return cls._at(maximum_entropy.beta_from_top_probability(z, probability), "top probability")

    @classmethod
    def _at(cls, beta: Array, what: str) -> Softmax:
        if beta.ndim:
            raise ValueError(f"a {what} for many rows needs many temperatures; see softmaxes.maximum_entropy")
        value = float(beta)
        if value < 0:
            raise ValueError(
                f"this {what} lies below that of the uniform distribution: the temperature would be negative "
                f"(beta = {value:.6g}); negate the logits and the {what}"
            )
        return cls(temperature=inf if value == 0 else 1 / value)

    def properties(self) -> Properties:
        sharp, flat = self.beta == inf, self.beta == 0
        return Properties(
            shift_invariant=True,
            scale_invariant=sharp or flat,
            order_preserving=True,
            sparse=sharp,
            differentiable=not sharp,
            strictly_positive=not sharp,
            lipschitz=None if sharp else self.beta / 2,
        )

    @property
    def _rate(self) -> float:
        """d(beta z)/dz: beta, or 0 where the limit is constant almost everywhere."""
        return 0.0 if self.beta == inf else self.beta

    def _value(self, z: Array, xp: ModuleType) -> Array:
        return exponential.softmax(z, temperature=self.temperature, base=self.base)

    def _log(self, z: Array, xp: ModuleType) -> Array:
        return exponential.log_softmax(z, temperature=self.temperature, base=self.base)

    def _scores(self, z: Array, xp: ModuleType) -> Scores:
        p, rate = self._value(z, xp), self._rate
        slope = xp.full_like(p, rate)
        return Scores(p, None, rate * p, rate * rate * p, slope, xp.zeros_like(p), xp)

    def _entropy(self, z: Array, xp: ModuleType) -> Array:
        return exponential.entropy(z, temperature=self.temperature, base=self.base)

    # J is symmetric, so both products centre their vector: more digits than the general form, for the same price.

    def _jvp(self, z: Array, v: Array, xp: ModuleType) -> Array:
        return self._vjp(z, v, xp)

    def _second(self, z: Array, u: Array, v: Array, xp: ModuleType) -> Array:
        scores = self._scores(z, xp)
        moved = scores.second * scores.centred(u) * scores.centred(v)
        return moved - scores.p * xp.sum(moved, axis=-1, keepdims=True)

    def _loss_hessian(self, z: Array, v: Array, q: Array, xp: ModuleType) -> Array:
        return xp.sum(q, axis=-1, keepdims=True) * self._rate * self._vjp(z, v, xp)

    def _label_kernel(self, z: Array, labels: Array, losses: Array, gradient: Array | None) -> bool:
        if self.beta == 1:
            native.cross_entropy_rows(z, labels, losses, gradient)
        return self.beta == 1

    def _solve(self, z: Array, xp: ModuleType) -> Array:
        return self._value(z, xp)

    def _gain(self, p: Array, xp: ModuleType) -> tuple[Array, Array]:
        return self._rate * p, self._rate**2 * p

    def _divergence(self, z: Array, p: Array, q: Array, xp: ModuleType) -> Array:
        if self.beta == inf:
            return xp.sum((xp.max(z, axis=-1, keepdims=True) - z) * q, axis=-1)
        return xp.sum(divergence(q, p, self._log(z, xp), 0.0, xp), axis=-1) / self.beta
