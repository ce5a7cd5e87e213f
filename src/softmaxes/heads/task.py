"""What a cross-entropy without logits has to do, validated and cut into blocks, and where its gradients are summed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softmaxes.arrays import Floating
from softmaxes.heads.blocks import Blocks, spans
from softmaxes.heads.reading import Reading

Matrix: TypeAlias = NDArray[Any]
Wanted: TypeAlias = tuple[bool, bool, bool]  # the gradients of hidden, weight and bias


@dataclass(frozen=True, eq=False)
class Task:
    """Everything validated: rows of hidden vectors, classes, targets, weights, and the blocks to work in."""

    hidden: Matrix  # (N, D)
    weight: Matrix  # (V, D)
    bias: Matrix | None
    told: Reading
    distributions: Matrix | None  # (N, V), where the targets are not labels
    possible: Matrix | None  # (..., V) the mask `where`
    dtype: np.dtype[Any]
    blocks: Blocks
    outer: tuple[int, ...]
    given: tuple[Floating, Floating, Floating | None]

    @property
    def result_dtype(self) -> Any:
        """The dtype that the logits would have."""
        return np.result_type(*(f.result_dtype for f in self.given if f is not None))

    @property
    def fused(self) -> bool:
        """Whether whole rows of logits go through the kernel of cross-entropy: they are there, and labels are plain."""
        n_classes, kind = len(self.weight), self.told.kind
        return (
            kind.labelled
            and not (kind.smoothing or kind.z_loss or self.possible is not None)
            and self.weight.dtype == self.dtype in (np.float32, np.float64)
            and (self.blocks.keep or self.blocks.classes >= n_classes)
            and n_classes > 0
        )

    def class_spans(self) -> list[slice]:
        """Cut the classes into blocks."""
        return spans(len(self.weight), self.blocks.classes)

    def row_blocks(self) -> Iterator[slice | Matrix]:
        """Cut the rows that count into blocks; rows that do not are never multiplied."""
        counting = np.flatnonzero(self.told.row_weight)
        everything = len(counting) == len(self.hidden)
        for s in spans(len(counting), self.blocks.rows):
            yield s if everything else counting[s]


@dataclass(frozen=True, eq=False)
class Gradient:
    """Where the gradients are summed, in the dtype of the arithmetic, and two buffers for one product each.

    None stands for what nobody wants: its product is never made.
    """

    hidden: Matrix | None
    weight: Matrix | None
    bias: Matrix | None
    hidden_part: Matrix
    weight_part: Matrix

    @classmethod
    def zeros(cls, task: Task, wanted: Wanted) -> Gradient:
        of_hidden, of_weight, of_bias = wanted
        d = task.hidden.shape[1]
        return cls(
            np.zeros(task.hidden.shape, task.dtype) if of_hidden else None,
            np.zeros(task.weight.shape, task.dtype) if of_weight else None,
            np.zeros(len(task.weight), task.dtype) if of_bias and task.bias is not None else None,
            np.empty((task.blocks.rows if of_hidden else 0, d), task.dtype),
            np.empty((task.blocks.classes if of_weight else 0, d), task.dtype),
        )

    def add_rows(self, rows: slice | Matrix, g: Matrix, weight: Matrix) -> None:
        """Add G W, the share that some classes have in the gradient of some rows."""
        if self.hidden is not None:
            self.hidden[rows] += np.matmul(g, weight, out=self.hidden_part[: len(g)])

    def add_classes(self, classes: slice, g: Matrix, hidden: Matrix) -> None:
        """Add G^T H and G^T 1, the share that some rows have in the gradient of some classes."""
        if self.weight is not None:
            self.weight[classes] += np.matmul(g.T, hidden, out=self.weight_part[: g.shape[1]])
        if self.bias is not None:
            self.bias[classes] += g.sum(axis=0)

    def finish(self, task: Task) -> tuple[Any, Any, Any]:
        """Return the gradients of hidden, weight and bias in the dtypes and shapes of what they belong to."""
        d_hidden = None if self.hidden is None else self.hidden.reshape(*task.outer, task.hidden.shape[1])
        sums = zip((d_hidden, self.weight, self.bias), task.given, strict=True)
        hidden, weight, bias = (None if g is None or given is None else given.finish(g) for g, given in sums)
        return hidden, weight, bias
