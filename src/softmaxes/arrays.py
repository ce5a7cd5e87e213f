"""Arrays at the door: whose they are, what floating type they are computed in, and an axis laid out as rows.

Every public function starts here. What leaves this room is a floating-point array of a known namespace whose
interesting axis (or axes) can be put last, and the way back to the caller's shape and dtype.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from types import ModuleType
from typing import Any, TypeAlias

import array_api_compat
import numpy as np

Array: TypeAlias = Any
"""An array of any library that follows the Array API standard."""

Axis: TypeAlias = int | tuple[int, ...] | None

_REFUSED_KINDS = {
    "c": "complex",
    "O": "object",
    "U": "string",
    "S": "bytes",
    "T": "string",
    "M": "datetime",
    "m": "timedelta",
    "V": "structured",
}


def is_plain(x: object) -> bool:
    """Return whether x is a NumPy array that a kernel may read: an ndarray or a memory map, nothing cleverer.

    A masked array, a matrix, a torch tensor or a JAX array carries a meaning (a mask, a gradient, immutability)
    that a kernel would ignore, so none of them passes.
    """
    return type(x) is np.ndarray or type(x) is np.memmap


def namespace(x: Array) -> ModuleType:
    """Return the Array API namespace of x (NumPy for lists and scalars)."""
    if isinstance(x, (np.ndarray, np.generic, bool, int, float, list, tuple)):
        return np
    try:
        return array_api_compat.array_namespace(x)  # type: ignore[no-any-return]
    except TypeError:
        return np


def is_bfloat16(dtype: object) -> bool:
    """Return whether dtype is the NumPy extension type bfloat16 of the ml_dtypes package."""
    return isinstance(dtype, np.dtype) and dtype.name == "bfloat16"


def refuse_clever_arrays(x: object, name: str = "x") -> None:
    """Raise TypeError for NumPy subclasses whose meaning would be lost (masked arrays, matrices)."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array; its mask would be lost: "
            "pass its data and where=~numpy.ma.getmaskarray(x) (True where the entry counts)"
        )
    if isinstance(x, np.matrix):
        raise TypeError(f"{name} is a numpy.matrix, whose axes never drop; pass numpy.asarray({name})")


@dataclass(frozen=True)
class Floating:
    """An array ready for arithmetic, and what its results are to become.

    values: in the dtype that the arithmetic is done in. result_dtype: what same-valued results are returned in.
    """

    values: Array
    xp: ModuleType
    result_dtype: Any

    def finish(self, result: Array) -> Array:
        """Return result rounded once to the dtype that the caller expects."""
        if result.dtype == self.result_dtype:
            return result
        if self.xp is np:
            with np.errstate(over="ignore", under="ignore"):
                return result.astype(self.result_dtype)
        return self.xp.astype(result, self.result_dtype)


def as_floating(x: Array, name: str = "x") -> Floating:
    """Return x as a floating-point array by the dtype table.

    bool and 8- and 16-bit integers become float32, wider integers float64, BEFORE any subtraction; float16 and
    bfloat16 are computed in float32 and returned in their own type; float32, float64 and longdouble are kept.
    Lists and scalars become NumPy arrays. Raises TypeError that names the dtype for anything else.
    """
    xp = namespace(x)
    if xp is np:
        return _numpy_floating(x, name)
    dtype = x.dtype
    if xp.isdtype(dtype, "real floating"):
        narrow = xp.finfo(dtype).bits < 32
        return Floating(xp.astype(x, xp.float32) if narrow else x, xp, dtype)
    if "bfloat16" in str(dtype):
        return Floating(xp.astype(x, xp.float32), xp, dtype)
    if xp.isdtype(dtype, ("bool", "integral")):
        narrow = xp.isdtype(dtype, "bool") or xp.iinfo(dtype).bits <= 16
        wide = xp.float32 if narrow else _widest(xp)
        return Floating(xp.astype(x, wide), xp, wide)
    raise TypeError(f"{name} has dtype {dtype}; real numbers are needed (bool, integers or floating point)")


def _widest(xp: ModuleType) -> Any:
    """Return float64, or what stands for it where it is switched off (JAX without x64)."""
    if array_api_compat.is_jax_namespace(xp):
        return xp.__array_namespace_info__().default_dtypes()["real floating"]
    return xp.float64


def _numpy_floating(x: Array, name: str) -> Floating:
    refuse_clever_arrays(x, name)
    values = np.asarray(x)
    dtype = values.dtype
    kind = dtype.kind
    if is_bfloat16(dtype):
        return Floating(values.astype(np.float32), np, dtype)
    if kind in _REFUSED_KINDS:
        raise TypeError(
            f"{name} has dtype {dtype} ({_REFUSED_KINDS[kind]}); real numbers are needed "
            "(bool, integers or floating point)"
        )
    if kind == "f":
        native = dtype.newbyteorder("=")
        work = np.dtype(np.float32) if dtype.itemsize == 2 else native
        return Floating(values.astype(work, copy=False), np, native)
    if kind not in "biu":
        raise TypeError(f"{name} has dtype {dtype}; real numbers are needed (bool, integers or floating point)")
    work = np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)
    return Floating(values.astype(work), np, work)


def normalise_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return axis as a sorted tuple of distinct non-negative axes; None means all, and a 0-d array has one entry.

    Raises numpy.exceptions.AxisError (a ValueError and an IndexError) when out of range, ValueError for a repeat.
    """
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, tuple) else (axis,)
    limit = max(ndim, 1)
    axes = []
    for a in given:
        try:
            index = operator.index(a)
        except TypeError:
            raise TypeError(f"axis={axis!r}; an integer, a tuple of integers or None is needed") from None
        if not -limit <= index < limit:
            raise np.exceptions.AxisError(index, ndim)
        axes.append(index % limit)
    if len(set(axes)) != len(axes):
        raise ValueError(f"axis={axis} names an axis twice")
    return tuple(sorted(axes)) if ndim else ()


@dataclass(frozen=True)
class Layout:
    """How the axes of an array were laid out as rows on the last axis, and the way back."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    xp: ModuleType

    @property
    def outer(self) -> tuple[int, ...]:
        """The shape that is left when the axes are taken away."""
        return tuple(n for i, n in enumerate(self.shape) if i not in self.axes)

    def to_rows(self, x: Array) -> Array:
        """Return x, which has (or broadcasts to) the layout's shape, with its axes flattened into a last one."""
        if tuple(x.shape) != self.shape:
            x = self.xp.broadcast_to(x, self.shape)
        if self.axes != (len(self.shape) - 1,):
            kept = [i for i in range(len(self.shape)) if i not in self.axes]
            moved = self.xp.permute_dims(x, (*kept, *self.axes)) if self.shape else x
            x = self.xp.reshape(moved, (*self.outer, prod(self.shape[i] for i in self.axes)))
        # numpy.sum adds in the order of memory: rows that lie alike give the same bits whatever they came from
        return np.ascontiguousarray(x) if self.xp is np else x

    def from_rows(self, rows: Array) -> Array:
        """Undo to_rows for a result of the same shape."""
        if self.axes == (len(self.shape) - 1,):
            return rows
        kept = [i for i in range(len(self.shape)) if i not in self.axes]
        moved = self.xp.reshape(rows, (*self.outer, *(self.shape[i] for i in self.axes)))
        if not self.shape:
            return moved
        order = (*kept, *self.axes)
        return self.xp.permute_dims(moved, tuple(order.index(i) for i in range(len(order))))

    def from_reduced(self, values: Array, keepdims: bool) -> Array:
        """Give a result with one value a row its axes of length one back, if they are to be kept."""
        if not keepdims:
            return values
        return self.xp.reshape(values, tuple(1 if i in self.axes else n for i, n in enumerate(self.shape)))


def layout(x: Array, axis: Axis, xp: ModuleType) -> Layout:
    """Return the row layout of x along axis (an int, a tuple, or None for all)."""
    shape = tuple(x.shape)
    return Layout(shape, normalise_axes(axis, len(shape)), xp)


def checked_out(out: Array, shape: tuple[int, ...], dtype: Any, x: Array) -> Array:
    """Return out if a result of this shape and dtype can be written there without spoiling x.

    out may be x itself (same memory, same layout) or disjoint from it; any other overlap is refused before
    anything is written. Raises TypeError or ValueError that says what out is and what is needed.
    """
    if not is_plain(out):
        raise TypeError(f"out must be a numpy.ndarray, got {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(f"out has shape {out.shape} and dtype {out.dtype}; needed are {shape} and {dtype}")
    if not out.flags.writeable:
        raise ValueError("out is read-only; pass a writeable array")
    if isinstance(x, np.ndarray) and not _same_memory(out, x) and _overlap(out, x):
        raise ValueError("out overlaps x without being x; pass x itself or an array that shares no memory with it")
    if any(step == 0 and n > 1 for step, n in zip(out.strides, out.shape, strict=True)):
        raise ValueError("out is a broadcast view: several of its entries share one place; pass a full array")
    return out


def _overlap(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]  # the stub knows only -1 and 0
    except np.exceptions.TooHardError:  # interlaced beyond what is worth finding out: take it as an overlap
        return True


def _same_memory(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    return (
        a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
        and a.strides == b.strides
        and a.shape == b.shape
        and a.dtype == b.dtype
    )


RowFunction: TypeAlias = Callable[[Array], Array]
