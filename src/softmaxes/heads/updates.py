"""AdaGrad with one memory for each row: the update that suits rows of very different frequency.

A row of weights w with gradient g becomes w - rate g / sqrt(G + floor), where G is the sum, over all steps, of the
mean square of the row's gradient. Rare classes thus keep long steps, and the memory is one number a row. The floor is
a tenth of the largest mean square in the first gradient: without it a class that never occurs, whose gradient is
small but always of one sign, would at once be pushed away in steps as long as anybody's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from softmaxes.heads.base import Matrix, Vector, take_over

_FLOOR = 0.1


class Rows:
    """Rows of parameters, (n, d), or n single parameters, and the sums of squares that scale their steps."""

    def __init__(self, values: Matrix) -> None:
        self.values = values
        self.squares = np.zeros(len(values))
        self._floor = np.zeros(1)

    @property
    def nbytes(self) -> int:
        """Bytes of the values and of the sums of squares."""
        return self.values.nbytes + self.squares.nbytes

    def state(self) -> dict[str, Matrix]:
        """Return the arrays themselves."""
        return {"values": self.values, "squares": self.squares, "floor": self._floor}

    def restore(self, state: Mapping[str, Matrix]) -> None:
        """Copy a state over this one; raises ValueError if the shapes differ."""
        take_over(self.state(), state)

    def descend(self, gradient: Matrix, rate: float) -> None:
        """Update every row; the gradient's memory is used up."""
        self.squares += self._mean_square(gradient)
        gradient *= _column(self._scale(self.squares, rate), gradient)
        self.values -= gradient

    def descend_rows(self, rows: Vector, gradient: Matrix, rate: float) -> None:
        """Update the rows named, each once."""
        self.squares[rows] += self._mean_square(gradient)
        self.values[rows] -= gradient * _column(self._scale(self.squares[rows], rate), gradient)

    def _mean_square(self, gradient: Matrix) -> Vector:
        squares: Vector = gradient * gradient if gradient.ndim == 1 else np.einsum("ij,ij->i", gradient, gradient)
        squares = squares / (gradient.size // max(len(gradient), 1))
        if self._floor[0] == 0:
            self._floor[0] = _FLOOR * float(squares.max(initial=0.0))
        return squares

    def _scale(self, squares: Vector, rate: float) -> Vector:
        # rows without any gradient so far stay where they are
        root = np.sqrt(squares + self._floor)
        return np.divide(rate, root, out=np.zeros_like(root), where=root > 0).astype(self.values.dtype)


def _column(scale: Vector, gradient: Matrix) -> Matrix:
    return scale if gradient.ndim == 1 else scale[:, None]


def sum_by_row(rows: Vector, gradients: Matrix) -> tuple[Vector, Matrix]:
    """Return the distinct rows and the sums of the gradients that belong to each."""
    order = np.argsort(rows, kind="stable")
    distinct, first = np.unique(rows[order], return_index=True)
    return distinct, np.add.reduceat(gradients[order], first, axis=0)
