"""The exponential core: softmax, log_softmax, logsumexp, and cross-entropy with its gradient.

Shapes: a classifier's batch (1024x1000), short rows (65536x128, 8192x512), language models (4096x32000, 128x128256), an
axis that is not the last, ten numbers (nothing but the call), and half types.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from softmaxes import reference

OPERATIONS = ("softmax", "log_softmax", "logsumexp", "cross_entropy_and_gradient")
PLAIN_SHAPES = ((10,), (65536, 128), (8192, 512), (1024, 1000), (4096, 32000), (128, 128256))
AXES = (((1000, 1024), 0), ((32, 64, 64, 64), 1))


@dataclass(frozen=True)
class Task:
    """One operation on one array. output: "fresh" is a new array a call, "warm" one array written again and again."""

    operation: str
    dtype: str
    shape: tuple[int, ...]
    axis: int = -1
    output: str = "fresh"

    @property
    def name(self) -> str:
        size = "x".join(map(str, self.shape))
        return f"{self.operation} {self.dtype} {size}{'' if self.axis == -1 else f' axis {self.axis}'} {self.output}"

    @property
    def entries(self) -> int:
        return math.prod(self.shape)

    @property
    def group(self) -> str:
        """What geometric means are taken over."""
        kind = "axis" if self.axis != -1 else "tiny" if self.entries < 100 else "rows"
        return f"{self.operation} {self.dtype} {kind} {self.output}"

    def logits(self) -> np.ndarray:
        rng = np.random.default_rng(self.entries)
        dtype = ml_dtypes.bfloat16 if self.dtype == "bfloat16" else self.dtype
        wide = np.float64 if self.dtype == "float64" else np.float32
        return rng.standard_normal(self.shape, wide).astype(dtype)

    def target(self) -> np.ndarray:
        return np.random.default_rng(1).integers(0, self.shape[-1], self.shape[:-1])

    def error(self, logits: np.ndarray, result: object) -> float | None:
        """Return the largest error in ULP over the first rows, None where there is no exact answer at hand."""
        if self.operation not in ("softmax", "log_softmax", "logsumexp") or self.dtype == "bfloat16":
            return None
        along = np.moveaxis(logits, self.axis, -1)
        got = np.asarray(result)
        got = got if self.operation == "logsumexp" else np.moveaxis(got, self.axis, -1)
        rows = [(0,) * (along.ndim - 1)] if along.shape[-1] > 2000 else list(np.ndindex(along.shape[:-1]))[:5]
        return max(reference.largest_ulp(self.operation, along[i], got[i]) for i in rows)


def tasks() -> list[Task]:
    found = []
    for operation in OPERATIONS:
        outputs = ("fresh",) if operation == "logsumexp" else ("warm", "fresh")
        gradient = operation == "cross_entropy_and_gradient"
        for dtype in ("float32", "float64"):
            for shape in PLAIN_SHAPES:
                if dtype == "float64" and shape == (4096, 32000):
                    shape = (2048, 32000)  # noqa: PLW2901 - the same work in bytes
                if gradient and len(shape) == 1:
                    continue
                found += [Task(operation, dtype, shape, -1, output) for output in outputs]
            if not gradient:
                found += [Task(operation, dtype, shape, axis, output) for shape, axis in AXES for output in outputs]
        if operation == "softmax":
            found += [
                Task(operation, dtype, (1024, 1000), -1, out) for dtype in ("float16", "bfloat16") for out in outputs
            ]
    return found
