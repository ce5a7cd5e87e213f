"""Compiled kernels of softmaxes; use them through softmaxes.native."""

from typing import Annotated

import numpy
from numpy.typing import NDArray

def isa() -> str:
    """Return the instruction set in use."""

def available() -> list[str]:
    """Return the instruction sets that this processor runs, best first."""

def select(name: str) -> bool:
    """Use the named instruction set from now on; False if it is not there."""

def rows(
    x: Annotated[NDArray[numpy.generic], dict(device="cpu", writable=False)],
    out: Annotated[NDArray[numpy.generic], dict(device="cpu")],
    axis: int,
    operation: int,
    beta_high: float,
    beta_low: float,
    empty: int,
    threads: int,
) -> int:
    """Write an operation along an axis into out; see native/module.cpp."""

def losses_f32(
    x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), device="cpu", writable=False)],
    target: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    out: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
    gradient: Annotated[NDArray[numpy.float32], dict(shape=(None, None), device="cpu")] | None,
    row_scale: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)] | None,
    threads: int,
) -> None:
    """Write cross-entropy losses and gradients of float32 rows."""

def losses_f64(
    x: Annotated[NDArray[numpy.float64], dict(shape=(None, None), device="cpu", writable=False)],
    target: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)],
    out: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")],
    gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, None), device="cpu")] | None,
    row_scale: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu", writable=False)] | None,
    threads: int,
) -> None:
    """Write cross-entropy losses and gradients of float64 rows."""

def draws_f32(
    x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), device="cpu", writable=False)],
    uniform: Annotated[NDArray[numpy.uint64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    chosen: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order="C", device="cpu")],
    beta_high: float,
    beta_low: float,
    top_k: int,
    top_p: float,
    min_reach: float,
    threads: int,
) -> int:
    """Write classes drawn from float32 rows; see native/module.cpp."""

def draws_f64(
    x: Annotated[NDArray[numpy.float64], dict(shape=(None, None), device="cpu", writable=False)],
    uniform: Annotated[NDArray[numpy.uint64], dict(shape=(None, None), order="C", device="cpu", writable=False)],
    chosen: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order="C", device="cpu")],
    beta_high: float,
    beta_low: float,
    top_k: int,
    top_p: float,
    min_reach: float,
    threads: int,
) -> int:
    """Write classes drawn from float64 rows; see native/module.cpp."""

def sparse_f32(
    x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), device="cpu", writable=False)],
    epsilon: float,
    out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), device="cpu")] | None,
    thresholds: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")] | None,
    target: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)] | None,
    losses: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")] | None,
    along: Annotated[NDArray[numpy.float32], dict(shape=(None, None), device="cpu", writable=False)] | None,
    threads: int,
) -> None:
    """Write alpha-entmax of rows, their thresholds, their losses and gradients, or Jacobian products."""

def sparse_product_f32(
    p: Annotated[NDArray[numpy.float32], dict(shape=(None, None), device="cpu", writable=False)],
    v: Annotated[NDArray[numpy.float32], dict(shape=(None, None), device="cpu", writable=False)],
    epsilon: float,
    out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), device="cpu")],
    threads: int,
) -> None:
    """Write the Jacobian of alpha-entmax times v."""

def sparse_f64(
    x: Annotated[NDArray[numpy.float64], dict(shape=(None, None), device="cpu", writable=False)],
    epsilon: float,
    out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), device="cpu")] | None,
    thresholds: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")] | None,
    target: Annotated[NDArray[numpy.int64], dict(shape=(None,), order="C", device="cpu", writable=False)] | None,
    losses: Annotated[NDArray[numpy.float64], dict(shape=(None,), order="C", device="cpu")] | None,
    along: Annotated[NDArray[numpy.float64], dict(shape=(None, None), device="cpu", writable=False)] | None,
    threads: int,
) -> None:
    """Write alpha-entmax of rows, their thresholds, their losses and gradients, or Jacobian products."""

def sparse_product_f64(
    p: Annotated[NDArray[numpy.float64], dict(shape=(None, None), device="cpu", writable=False)],
    v: Annotated[NDArray[numpy.float64], dict(shape=(None, None), device="cpu", writable=False)],
    epsilon: float,
    out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), device="cpu")],
    threads: int,
) -> None:
    """Write the Jacobian of alpha-entmax times v."""

def empty_like(x: object) -> object:
    """Return a new array like x, a large one in memory that is already warm."""

def quick(operation: int, x: object, axis: object, out: object, threads: int) -> object:
    """
    Return an operation on a plain array with every option at its default, or None if it is not one.
    """
