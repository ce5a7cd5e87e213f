"""Sparsemax, 1.5-entmax and a general alpha: the maps, their Jacobian products, and their losses with gradient.

Logits of scale 1 and 3 have short supports, those of scale 0.1 wide ones. The entmax package is timed as it sorts whole
rows and as it sorts the largest 100 entries first; for a general alpha it bisects. It answers in absolute terms, so
errors are in ULP of 1. Its sorts take seconds a call: "sparse:4096x1000" and "sparse:512x32000 sparsemax" name parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

ALPHAS = {"sparsemax": 2.0, "entmax1.5": 1.5, "entmax1.2": 1.2}
WHATS = ("", "_vjp", "_loss_and_gradient")


@dataclass(frozen=True)
class Task:
    """One operation on one array of logits of one scale."""

    operation: str
    dtype: str
    shape: tuple[int, ...]
    scale: float
    axis: int = -1
    output: str = "fresh"

    @property
    def name(self) -> str:
        operation = self.operation.replace("_", " ", 1)
        return f"{operation} {self.dtype} {'x'.join(map(str, self.shape))} scale {self.scale:g}"

    @property
    def entries(self) -> int:
        return math.prod(self.shape)

    @property
    def group(self) -> str:
        return f"{self.operation} {self.dtype} scale {self.scale:g}"

    @property
    def alpha(self) -> float:
        return ALPHAS[self.operation.partition("_")[0]]

    def logits(self) -> np.ndarray:
        rng = np.random.default_rng(self.entries)
        return (rng.standard_normal(self.shape) * self.scale).astype(self.dtype)

    def target(self) -> np.ndarray:
        return np.random.default_rng(1).integers(0, self.shape[-1], self.shape[:-1])

    def error(self, logits: np.ndarray, result: object) -> float | None:
        """Return the largest error of the first rows in ULP of 1, against bisection in extended precision."""
        if "_" in self.operation:
            return None
        got = np.asarray(result)[:4].astype(np.longdouble)
        return float(np.abs(got - bisected(logits[:4], self.alpha)).max() / np.finfo(self.dtype).eps)


def bisected(logits: np.ndarray, alpha: float) -> np.ndarray:
    """Return alpha-entmax of a few rows in longdouble, from the definition."""
    e = np.longdouble(alpha) - 1
    y = e * logits.astype(np.longdouble)
    high = y.max(axis=-1, keepdims=True)
    low = high - 1
    for _ in range(80):
        middle = (low + high) / 2
        inside = (np.maximum(y - middle, 0) ** (1 / e)).sum(axis=-1, keepdims=True) >= 1
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.maximum(y - low, 0) ** (1 / e)


def tasks() -> list[Task]:
    return [
        Task(name + what, dtype, shape, scale)
        for shape in ((4096, 1000), (512, 32000))
        for name in ALPHAS
        for what in WHATS
        for dtype in ("float32", "float64")
        for scale in (1.0, 3.0, 0.1)
        if is_worth_its_seconds(name, what, dtype, shape[-1])
    ]


def is_worth_its_seconds(name: str, what: str, dtype: str, classes: int) -> bool:
    """Return whether a task is timed: float64 by the sorted maps on short rows, bisection on long ones by the map."""
    if dtype == "float64":
        return name != "entmax1.2" and not what and classes <= 1000
    return name != "entmax1.2" or not what or classes <= 1000
