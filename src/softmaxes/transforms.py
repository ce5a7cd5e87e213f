"""What comes before a map: logits -> logits, as frozen values that compose with >>.

A transform acts on rows (last axis, any leading axes) of any Array API library by the dtype table, keeps -inf where
it was, and is data: its repr rebuilds it. Class by class parameters are tuples.

Examples
--------
>>> from softmaxes.transforms import Temperature, TopK
>>> (Temperature(0.5) >> TopK(2))([1.0, 3.0, 2.0])
array([-inf,   6.,   4.])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf, isfinite, log
from types import ModuleType
from typing import Any

import array_api_compat
import array_api_compat.numpy as numpy_words
import numpy as np

from softmaxes import exponential, generic
from softmaxes.arrays import Array, as_floating
from softmaxes.maps.base import checked_number, surely

__all__ = [
    "Base",
    "Chain",
    "Margin",
    "Mask",
    "MatrixScale",
    "MinP",
    "PriorShift",
    "Temperature",
    "TopK",
    "TopP",
    "Transform",
    "VectorScale",
]


class Transform(ABC):
    """A map from rows of logits to rows of logits."""

    def __call__(self, z: Array) -> Array:
        """Return the new logits, (..., K)."""
        ready = as_floating(z, "logits")
        if ready.values.ndim == 0:
            raise ValueError("logits are a single number; a row of them is needed: shape (..., K)")
        if not ready.values.shape[-1]:
            return ready.finish(ready.values)
        with np.errstate(all="ignore"):
            return ready.finish(self._rows(ready.values, ready.xp))

    def __rshift__(self, after: Transform) -> Chain:
        """Return the transform that does this one first and the other after it."""
        if not isinstance(after, Transform):
            return NotImplemented
        return Chain((*_steps(self), *_steps(after)))

    @abstractmethod
    def _rows(self, z: Array, xp: ModuleType) -> Array: ...


@dataclass(frozen=True)
class Chain(Transform):
    """Several transforms, one after the other.

    Examples
    --------
    >>> Temperature(2.0) >> TopK(1)
    Chain(steps=(Temperature(temperature=2.0), TopK(k=1)))
    """

    steps: tuple[Transform, ...] = ()

    def _rows(self, z: Array, xp: ModuleType) -> Array:
        for step in self.steps:
            z = step._rows(z, xp)
        return z


def _steps(transform: Transform) -> tuple[Transform, ...]:
    return transform.steps if isinstance(transform, Chain) else (transform,)


@dataclass(frozen=True)
class Temperature(Transform):
    """z / T for T >= 0; T = 0 leaves the maxima alone possible, T = inf makes the possible classes equal.

    Examples
    --------
    >>> Temperature(0.0)([1.0, 3.0, 3.0])
    array([-inf,   0.,   0.])
    """

    temperature: float

    def __post_init__(self) -> None:
        exponential.inverse_temperature(self.temperature)

    def _rows(self, z: Array, xp: ModuleType) -> Array:
        if self.temperature in (0, inf):
            return generic.limit_of_temperature(z, inf if self.temperature == 0 else 0.0, xp)
        return z / self.temperature


@dataclass(frozen=True)
class Base(Transform):
    """z ln psi, psi >= 1: softmax of it is psi^z / sum psi^z (for psi < 1 negate the logits and take 1 / psi).

    Examples
    --------
    >>> import softmaxes as sm
    >>> sm.softmax(Base(2.0)([1.0, 2.0, 0.0])).round(4)
    array([0.2857, 0.5714, 0.1429])
    """

    base: float

    def __post_init__(self) -> None:
        exponential.inverse_temperature(base=self.base)

    def _rows(self, z: Array, xp: ModuleType) -> Array:
        if self.base in (1, inf):
            return generic.limit_of_temperature(z, inf if self.base == inf else 0.0, xp)
        return z * log(self.base)


@dataclass(frozen=True)
class Mask(Transform):
    """-inf where `possible` is False: those classes cannot happen.

    Examples
    --------
    >>> Mask((True, False, True))([1.0, 2.0, 3.0])
    array([  1., -inf,   3.])
    """

    possible: tuple[bool, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "possible", tuple(bool(b) for b in self.possible))

    def _rows(self, z: Array, xp: ModuleType) -> Array:
        possible = _classes(self.possible, "possible", z, xp, xp.bool)
        return xp.where(possible, z, xp.full_like(z, -xp.inf))


@dataclass(frozen=True)
class TopK(Transform):
    """Only the k largest logits of each row stay possible; classes tied with the k-th stay too.

    Examples
    --------
    >>> TopK(2)([1.0, 3.0, 2.0, 3.0])
    array([-inf,   3., -inf,   3.])
    """

    k: int

    def __post_init__(self) -> None:
        if (k := checked_number(self.k, "k")) < 1 or k % 1 != 0:
            raise ValueError(f"k={self.k!r}; needed is a whole number >= 1")

    def _rows(self, z: Array, xp: ModuleType) -> Array:
        if self.k >= z.shape[-1]:
            return z
        if xp is np:
            least = np.partition(z, z.shape[-1] - self.k, axis=-1)[..., -self.k, None]
        else:
            least = xp.sort(z, axis=-1)[..., z.shape[-1] - self.k, None]
        return _kept(z, z >= least, xp)


@dataclass(frozen=True)
class TopP(Transform):
    """Only the smallest set of the most probable classes that has mass p stays possible (nucleus).

    The most probable class always stays; classes tied with the last one that is needed stay too.

    Examples
    --------
    >>> TopP(0.8)([0.0, 2.0, 3.0])
    array([-inf,   2.,   3.])
    """

    p: float

    def __post_init__(self) -> None:
        if not 0 <= checked_number(self.p, "p") <= 1:
            raise ValueError(f"p={self.p!r}; needed is a probability from 0 to 1")

    def _rows(self, z: Array, xp: ModuleType) -> Array:
        if self.p == 1:
            return z
        words = numpy_words if xp is np else xp
        ordered = words.sort(z, axis=-1, descending=True)
        probability = exponential.softmax(ordered)
        before = words.cumulative_sum(probability, axis=-1) - probability
        last = xp.sum(xp.astype(before < self.p, xp.int32), axis=-1, keepdims=True)
        last = xp.where(last > 0, last, xp.ones_like(last)) - 1
        at = generic.positions(z, xp, dtype=xp.int32) == last
        least = xp.sum(xp.where(at, ordered, xp.zeros_like(ordered)), axis=-1, keepdims=True)
        return _kept(z, z >= least, xp)


@dataclass(frozen=True)
class MinP(Transform):
    """Only classes with at least p times the largest probability stay possible.

    Examples
    --------
    >>> MinP(0.1)([0.0, 2.0, 3.0])
    array([-inf,   2.,   3.])
    """

    p: float

    def __post_init__(self) -> None:
        if not 0 <= checked_number(self.p, "p") <= 1:
            raise ValueError(f"p={self.p!r}; needed is a share from 0 to 1")

    def _rows(self, z: Array, xp: ModuleType) -> Array:
        if self.p == 0:
            return z
        top = xp.max(z, axis=-1, keepdims=True)
        return _kept(z, (z >= top + log(self.p)) | (z == top), xp)


@dataclass(frozen=True)
class PriorShift(Transform):
    """z + strength (log after - log before): from the class frequencies of training to those of use.

    before, after: one number > 0 a class; after may be left out (equal frequencies: logit adjustment after training,
    Menon et al. 2020).

    Examples
    --------
    >>> PriorShift((0.9, 0.1))([0.0, 0.0]).round(4)
    array([0.1054, 2.3026])
    """

    before: tuple[float, ...]
    after: tuple[float, ...] | None = None
    strength: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "before", tuple(float(p) for p in self.before))
        if self.after is not None:
            object.__setattr__(self, "after", tuple(float(p) for p in self.after))
        if not all(0 < p < inf for p in (*self.before, *(self.after or ()))) or not isfinite(self.strength):
            raise ValueError(f"{self!r}: priors are finite and > 0, the strength is finite")
        if self.after is not None and len(self.after) != len(self.before):
            raise ValueError(f"{len(self.before)} priors before and {len(self.after)} after; each class needs both")

    def _rows(self, z: Array, xp: ModuleType) -> Array:
        shift = -xp.log(_classes(self.before, "before", z, xp, z.dtype))
        if self.after is not None:
            shift = shift + xp.log(_classes(self.after, "after", z, xp, z.dtype))
        return z + self.strength * shift


@dataclass(frozen=True)
class Margin(Transform):
    """z - margin e_y: the target's logit is made worse by the margin, so that training asks for a lead.

    target: one label for each row, as nested tuples of the rows' leading shape.

    Examples
    --------
    >>> Margin(1.0, (0, 1))([[0.0, 0.0], [0.0, 0.0]])
    array([[-1.,  0.],
           [ 0., -1.]])
    """

    margin: float
    target: Any

    def __post_init__(self) -> None:
        if not 0 <= checked_number(self.margin, "margin") < inf:
            raise ValueError(f"margin={self.margin!r}; it is finite and not negative")
        object.__setattr__(self, "target", _tuples(np.asarray(self.target)))

    def _rows(self, z: Array, xp: ModuleType) -> Array:
        target = np.asarray(self.target)
        if target.shape != tuple(z.shape[:-1]) or target.dtype.kind not in "iu":
            raise ValueError(
                f"target has shape {target.shape} and dtype {target.dtype}; "
                f"one integer label for each row of shape {tuple(z.shape[:-1])} is needed"
            )
        if np.any((target < 0) | (target >= z.shape[-1])):
            raise ValueError(f"labels go from {target.min()} to {target.max()}; there are {z.shape[-1]} classes")
        hit = target[..., None] == np.arange(z.shape[-1])
        return xp.where(xp.asarray(hit, device=_device(z)), z - self.margin, z)


@dataclass(frozen=True)
class VectorScale(Transform):
    """scale * z + shift, class by class.

    Examples
    --------
    >>> VectorScale((2.0, 1.0), (0.0, -1.0))([1.0, 1.0])
    array([2., 0.])
    """

    scale: tuple[float, ...]
    shift: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", tuple(float(x) for x in self.scale))
        if self.shift is not None:
            object.__setattr__(self, "shift", tuple(float(x) for x in self.shift))

    def _rows(self, z: Array, xp: ModuleType) -> Array:
        scaled = z * _classes(self.scale, "scale", z, xp, z.dtype)
        if self.shift is not None:
            scaled = scaled + _classes(self.shift, "shift", z, xp, z.dtype)
        return _kept(scaled, z != -xp.inf, xp)


@dataclass(frozen=True)
class MatrixScale(Transform):
    """matrix z + shift: new logit i is sum_j matrix[i][j] z_j + shift_i. Impossible classes (-inf) are refused.

    Examples
    --------
    >>> MatrixScale(((1.0, 1.0), (0.0, 2.0)))([1.0, 3.0])
    array([4., 6.])
    """

    matrix: tuple[tuple[float, ...], ...]
    shift: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix, dtype=np.float64)
        if matrix.ndim != 2:
            raise ValueError(f"matrix has shape {matrix.shape}; two axes are needed, (classes out, classes in)")
        object.__setattr__(self, "matrix", _tuples(matrix))
        if self.shift is not None:
            object.__setattr__(self, "shift", tuple(float(x) for x in self.shift))

    def _rows(self, z: Array, xp: ModuleType) -> Array:
        if z.shape[-1] != len(self.matrix[0]):
            raise ValueError(f"matrix takes {len(self.matrix[0])} classes, the logits have {z.shape[-1]}")
        if surely(xp.any(z == -xp.inf)):
            raise ValueError("a matrix mixes classes, so none may be impossible (-inf) before it; mask after it")
        matrix = xp.asarray(self.matrix, dtype=z.dtype, device=_device(z))
        mixed = z @ matrix.T
        return mixed if self.shift is None else mixed + _classes(self.shift, "shift", mixed, xp, z.dtype)


def _kept(z: Array, kept: Array, xp: ModuleType) -> Array:
    """Return z with -inf where it is not kept; NaN stays."""
    return xp.where(kept | xp.isnan(z), z, xp.full_like(z, -xp.inf))


def _classes(values: tuple[Any, ...], name: str, z: Array, xp: ModuleType, dtype: Any) -> Array:
    """Return one value a class beside z, or raise ValueError for another number of classes."""
    if len(values) != z.shape[-1]:
        raise ValueError(f"{name} has {len(values)} classes, the logits have {z.shape[-1]}")
    return xp.asarray(values, dtype=dtype, device=_device(z))


def _device(z: Array) -> Any:
    return array_api_compat.device(z)


def _tuples(array: Any) -> Any:
    """Return an array as nested tuples of Python numbers."""
    return array.item() if array.ndim == 0 else tuple(_tuples(row) for row in array)
