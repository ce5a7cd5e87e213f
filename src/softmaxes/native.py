"""The one doorway to the compiled kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmaxes.arrays import Array


def cross_entropy_rows(
    logits: Array,
    target: Array,
    losses_out: Array,
    gradient_out: Array | None = None,
    row_scale: Array | None = None,
    threads: int | None = None,
) -> None:
    """Write losses_out[i] = -log softmax(logits[i])[target[i]] and, if asked, the scaled gradient rows.

    logits: (n, K) C-contiguous float32 or float64. target: (n,) int64, already checked. losses_out: (n,) float64.
    gradient_out: (n, K) like logits, or logits itself. row_scale: (n,) float64, default ones.
    """
    top = logits.max(axis=1, keepdims=True)
    rows = np.arange(len(target))
    d = logits - top
    e = np.exp(d)
    s = e.sum(axis=1, dtype=np.float64)
    losses_out[:] = np.log(s) - d[rows, target]
    if gradient_out is not None:
        p = e / s[:, None].astype(e.dtype)
        p[rows, target] -= 1
        gradient_out[:] = p if row_scale is None else p * row_scale[:, None].astype(e.dtype)


def describe() -> dict[str, Any]:
    """Return what runs: the instruction set, the threads, and for every kernel whether and why it is native."""
    return {"isa": "none", "available": [], "threads": 1, "kernels": {}}
