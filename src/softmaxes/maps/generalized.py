"""Normalised scores of any positive function that a user brings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar

from softmaxes import generic
from softmaxes.arrays import Array, namespace
from softmaxes.maps.base import Properties, surely
from softmaxes.maps.normalised import NormalisedScores, Scores, scores_of_logarithms
from softmaxes.maps.sigmoid import log_sigmoid_of, softplus_of

__all__ = ["Generalized"]

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Generalized(NormalisedScores):
    """p_k = phi(z_k) / sum phi(z_j) for a positive phi, given by its logarithm and two slopes.

    Positivity is enough for a map, and two derivatives for its calculus; phi need not rise or be invertible, but
    where it falls the order of the probabilities is reversed. Only phi = exp(beta z) ignores shifts.

    Parameters
    ----------
    log_phi, slope, curvature : functions of an array
        log phi, s = phi'/phi and r = phi''/phi, entry by entry, in words that the arrays' library understands.
    title : str
        What to call it.
    sheet : Properties
        The property sheet; the default claims only what holds for every smooth positive phi.

    Examples
    --------
    >>> import softmaxes as sm
    >>> m = sm.Generalized(lambda z: 2 * z, lambda z: 2 + 0 * z, lambda z: 4 + 0 * z, title="base e^2")
    >>> m([0.0, 1.0]).round(4)
    array([0.1192, 0.8808])
    >>> sm.Generalized.softplus()([0.0, 1.0]).round(4)
    array([0.3455, 0.6545])
    """

    name: ClassVar[str] = "generalized"

    log_phi: Function
    slope: Function
    curvature: Function
    title: str = "phi"
    sheet: Properties = field(
        default=Properties(
            shift_invariant=False,
            scale_invariant=False,
            order_preserving=False,
            sparse=False,
            differentiable=True,
            strictly_positive=True,
        ),
        repr=False,
    )

    def __post_init__(self) -> None:
        for name in ("log_phi", "slope", "curvature"):
            if not callable(getattr(self, name)):
                raise TypeError(
                    f"{name}={getattr(self, name)!r}; a function of an array is needed "
                    "(Generalized.numeric takes phi alone)"
                )

    def __repr__(self) -> str:
        if self.title in _WORKED:
            return f"Generalized.{self.title}()"
        return f"Generalized({self.log_phi!r}, {self.slope!r}, {self.curvature!r}, title={self.title!r})"

    @classmethod
    def softplus(cls) -> Generalized:
        """Return phi = log(1 + e^z): rising, positive, and nearly linear for large scores."""
        return _WORKED["softplus"]

    @classmethod
    def double_exponential(cls) -> Generalized:
        """Return phi = e^(e^z): rising and positive, and anything but shift invariant."""
        return _WORKED["double_exponential"]

    @classmethod
    def numeric(cls, phi: Function, title: str = "phi", step: float = 1e-4) -> Generalized:
        """Return the map of a plain positive function, whose slopes are central differences: for looking only.

        The slopes have about 7 digits in float64; for work give log phi and its slopes. The map raises ValueError for
        logits at which phi is not positive.

        Examples
        --------
        >>> import softmaxes as sm
        >>> sm.Generalized.numeric(lambda z: 1 + z * z)([1.0, 0.0]).round(4)
        array([0.6667, 0.3333])
        """

        def log_phi(z: Any) -> Any:
            xp, values = namespace(z), phi(z)
            if surely(xp.any(values < 0)):
                raise ValueError(f"{title} is {float(xp.min(values)):g} at a logit; a positive function is needed")
            return xp.log(values)

        def slope(z: Any) -> Any:
            return (phi(z + step) - phi(z - step)) / (2 * step) / phi(z)

        def curvature(z: Any) -> Any:
            return ((phi(z + step) - phi(z)) - (phi(z) - phi(z - step))) / (step * step) / phi(z)

        return cls(log_phi, slope, curvature, title)

    def properties(self) -> Properties:
        return self.sheet

    def _scores(self, z: Array, xp: ModuleType) -> Scores:
        possible = z != -xp.inf
        y = xp.where(possible, generic.limit_of_infinities(z, xp), xp.zeros_like(z))
        y = xp.where(y == -xp.inf, xp.zeros_like(y), y)  # the others of a row whose limit was taken
        taken = xp.any(z == xp.inf, axis=-1, keepdims=True)
        possible = possible & (~taken | (z == xp.inf))
        return scores_of_logarithms(self.log_phi(y), self.slope(y), self.curvature(y), possible, xp)


def _softplus_log(z: Any) -> Any:
    xp = namespace(z)
    # log softplus z = z + log(log1p(e^z) / e^z): for z << 0 the quotient is 1 - e^z / 2
    value = softplus_of(z, xp)
    deep = z < -30
    return xp.where(deep, z - 0.5 * xp.exp(z), xp.log(xp.where(deep, xp.ones_like(z), value)))


def _softplus_slope(z: Any) -> Any:
    xp = namespace(z)
    return xp.exp(log_sigmoid_of(z, xp) - _softplus_log(z))


def _softplus_curvature(z: Any) -> Any:
    xp = namespace(z)
    return xp.exp(log_sigmoid_of(z, xp) + log_sigmoid_of(-z, xp) - _softplus_log(z))


def _exp(z: Any) -> Any:
    return namespace(z).exp(z)


def _exp_and_square(z: Any) -> Any:
    return _exp(z) + _exp(2 * z)


_RISING = Properties(
    shift_invariant=False,
    scale_invariant=False,
    order_preserving=True,
    sparse=False,
    differentiable=True,
    strictly_positive=True,
)

_WORKED = {
    "softplus": Generalized(_softplus_log, _softplus_slope, _softplus_curvature, "softplus", _RISING),
    "double_exponential": Generalized(_exp, _exp, _exp_and_square, "double_exponential", _RISING),
}
