"""The products of a tile of rows, in reused memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

SMALL_PRODUCT = 1_000_000
"""OpenBLAS makes products of at most so many operations without packing, in half to three quarters of the time."""

MOST_AT_ONCE = 512
LEAST_AT_ONCE = 64
"""Fewer rows at once than this lose what is gained (measured)."""


class Scratch:
    """Buffers for one thread's tiles, kept between passes."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, Any], np.ndarray] = {}

    def get(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an uninitialised C-contiguous array, the same memory whenever it is large enough."""
        size = math.prod(shape)
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name, dtype] = np.empty(size, dtype)
        return buffer[:size].reshape(shape)


def tile_features(features: Any, dtype: Any, centre: np.ndarray | None, scratch: Scratch) -> Any:
    """Return a tile's features in dtype, less centre; the tile itself where nothing has to be done."""
    if not isinstance(features, np.ndarray):
        return features if features.dtype == dtype else features.astype(dtype)
    if centre is None and features.dtype == dtype:
        return features
    tile = scratch.get("features", features.shape, dtype)
    if centre is None:
        np.copyto(tile, features, casting="same_kind")
        return tile
    # The difference is taken in the features' own precision and rounded afterwards.
    wide = scratch.get("wide", features.shape, np.float64)
    np.copyto(tile, np.subtract(features, centre, out=wide), casting="same_kind")
    return tile


def tile_logits(features: Any, weights: np.ndarray, bias: np.ndarray, n_classes: int, scratch: Scratch) -> np.ndarray:
    """Return the logits of a tile, (rows, n_classes), in scratch memory; two classes get (0, z)."""
    rows = features.shape[0]
    logits = scratch.get("logits", (rows, n_classes), weights.dtype)
    target = logits if len(bias) > 1 else scratch.get("column", (rows, 1), weights.dtype)
    if isinstance(features, np.ndarray):
        at_once, whole = _at_once(rows, weights.size)
        np.matmul(_batched(features, at_once, whole), weights, out=_batched(target, at_once, whole))
        if whole < rows:
            np.matmul(features[whole:], weights, out=target[whole:])
    else:
        target[...] = features @ weights
    target += bias
    if len(bias) == 1:
        logits[:, 0] = 0
        logits[:, 1] = target[:, 0]
    return logits


def tile_products(left: np.ndarray, right: np.ndarray, scratch: Scratch) -> np.ndarray:
    """Return leftᵀ right, the sum over the rows of a tile, in float64 or in scratch memory."""
    (rows, k), d = left.shape, right.shape[1]
    at_once, whole = _at_once(rows, k * d)
    parts = -(-rows // at_once)
    products = scratch.get("products", (parts, k, d), right.dtype)
    first, second = _batched(left, at_once, whole), _batched(right, at_once, whole)
    np.matmul(first.swapaxes(1, 2), second, out=products[: whole // at_once])
    if whole < rows:
        np.matmul(left[whole:].T, right[whole:], out=products[-1])
    total: np.ndarray = products.sum(axis=0, dtype=np.float64) if parts > 1 else products[0]
    return total


def _at_once(rows: int, size: int) -> tuple[int, int]:
    """Return how many rows to multiply at once, each costing size operations, and the rows in whole such batches."""
    at_once = min(SMALL_PRODUCT // size // LEAST_AT_ONCE * LEAST_AT_ONCE, MOST_AT_ONCE)
    if at_once == 0 or rows * size <= SMALL_PRODUCT:
        at_once = rows
    return at_once, rows // at_once * at_once


def _batched(matrix: np.ndarray, at_once: int, whole: int) -> np.ndarray:
    return matrix[:whole].reshape(-1, at_once, matrix.shape[1])
