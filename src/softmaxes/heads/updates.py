"""AdaGrad with one memory for each row: the update that suits rows of very different frequency.

A row of weights w with gradient g becomes w - rate g / sqrt(G + tiny), where G is the sum, over all steps, of the
mean square of the row's gradient. Rare classes thus keep long steps, and the memory is one number a row.
"""

from __future__ import annotations

import numpy as np

from softmaxes.heads.base import Matrix, Vector

_TINY = 1e-10


class Rows:
    """Rows of parameters, (n, d), or n single parameters, and the sums of squares that scale their steps."""

    def __init__(self, values: Matrix) -> None:
        self.values = values
        self.squares = np.zeros(len(values))

    @property
    def nbytes(self) -> int:
        """Bytes of the values and of the sums of squares."""
        return self.values.nbytes + self.squares.nbytes

    def descend(self, gradient: Matrix, rate: float) -> None:
        """Update every row; the gradient's memory is used up."""
        self.squares += _mean_square(gradient)
        gradient *= _column(self._scale(self.squares, rate), gradient)
        self.values -= gradient

    def descend_rows(self, rows: Vector, gradient: Matrix, rate: float) -> None:
        """Update the rows named, each once."""
        self.squares[rows] += _mean_square(gradient)
        self.values[rows] -= gradient * _column(self._scale(self.squares[rows], rate), gradient)

    def _scale(self, squares: Vector, rate: float) -> Vector:
        return (rate / np.sqrt(squares + _TINY)).astype(self.values.dtype)


def _mean_square(gradient: Matrix) -> Vector:
    squares: Vector = gradient * gradient if gradient.ndim == 1 else np.einsum("ij,ij->i", gradient, gradient)
    return squares / (gradient.size // max(len(gradient), 1))


def _column(scale: Vector, gradient: Matrix) -> Matrix:
    return scale if gradient.ndim == 1 else scale[:, None]


def sum_by_row(rows: Vector, gradients: Matrix) -> tuple[Vector, Matrix]:
    """Return the distinct rows and the sums of the gradients that belong to each."""
    order = np.argsort(rows, kind="stable")
    distinct, first = np.unique(rows[order], return_index=True)
    return distinct, np.add.reduceat(gradients[order], first, axis=0)
