"""The logits of a tile, in reused memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


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
        np.matmul(features, weights, out=target)
    else:
        target[...] = features @ weights
    target += bias
    if len(bias) == 1:
        logits[:, 0] = 0
        logits[:, 1] = target[:, 0]
    return logits
