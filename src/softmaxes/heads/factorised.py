"""A tall matrix of weights kept in factors, so that an update of ALL its rows costs nothing in their number.

W = V U + 1 omega^T, (n, d), with V (n, d) tall and U (d, d), omega (d,) small. Beside them stand the inverse of U, the
Gram matrix Q = W^T W and the total t = W^T 1. The update

    W <- W A - 1 v^T + (a few rows D),     A = I - Y^T Y

(a shrinking along the rows of Y, a shift of all rows, and a change of the rows S) touches only the rows S of V:

    U <- U A        U^-1 <- A^-1 U^-1,  A^-1 = I + Y^T (I - Y Y^T)^-1 Y        omega <- A omega - v
    V_S <- V_S + D U^-1
    Q <- A Q A - A t v^T - v t^T A + n v v^T + R^T D + D^T R + D^T D,   R the rows S before D
    t <- A t - n v + D^T 1

O(d^2) for each of the rows of Y and D. Source: Vincent, de Brebisson & Bouthillier 2015, Efficient exact gradient
update for training deep networks with very large sparse targets (there without the shift).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from softmaxes.heads.base import Matrix, Vector, take_over
from softmaxes.heads.blocks import spans

_ROWS_AT_ONCE = 8192


class FactorisedRows:
    """W = V U + 1 omega^T with its Gram matrix and total. The small parts are float64; V keeps the dtype of weight.

    max_condition: as soon as the squared norm of U or of its inverse exceeds d times this, the singular values that
    have drifted away from 1 are mended. The condition number of U is then never above d max_condition.
    """

    def __init__(self, weight: Matrix, max_condition: float = 1e6) -> None:
        if not max_condition > 1:
            raise ValueError(f"max_condition={max_condition}; a condition number is at least 1: give something above")
        self.tall = weight
        self.max_condition = max_condition
        self.n_reconditioned = 0
        d = weight.shape[1]
        self.small = np.eye(d)
        self.inverse = np.eye(d)
        self.shift = np.zeros(d)
        self.refresh()

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return sum(x.nbytes for x in (self.tall, self.small, self.inverse, self.shift, self.gram, self.total))

    def state(self) -> dict[str, Matrix]:
        """Return the factors, their inverse, and the sums."""
        names = ("tall", "small", "inverse", "shift", "gram", "total")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: Mapping[str, Matrix]) -> None:
        """Copy a state over this one; raises ValueError if the shapes differ."""
        take_over(self.state(), state)

    def refresh(self) -> None:
        """Recompute the Gram matrix and the total from the factors, in O(n d^2): rounding has crept into them."""
        d = len(self.small)
        gram, total = np.zeros((d, d)), np.zeros(d)
        for s in spans(len(self.tall), _ROWS_AT_ONCE):
            rows = self.tall[s] @ self.small + self.shift
            gram += rows.T @ rows
            total += rows.sum(axis=0)
        self.gram, self.total = gram, total

    def rows(self, indices: Vector | slice) -> Matrix:
        """Return some rows of W, in float64."""
        rows: Matrix = self.tall[indices] @ self.small + self.shift
        return rows

    def products(self, hidden: Matrix) -> Matrix:
        """Return hidden @ W.T, (m, n), in the dtype of the tall factor."""
        inner = (hidden @ self.small.T).astype(self.tall.dtype)
        outputs: Matrix = inner @ self.tall.T
        outputs += (hidden @ self.shift).astype(outputs.dtype)[:, None]
        return outputs

    def update(self, shrink: Matrix, shift: Vector, rows: Vector, change: Matrix) -> None:
        """Replace W by W (I - Y^T Y) - 1 shift^T, then add change to the rows named, each once.

        shrink: Y, (m, d), with a Frobenius norm below 1, so that the inverse exists. change: (len(rows), d).
        """
        y, v, n = shrink, shift, len(self.tall)
        self.inverse += _inverse_correction(y, self.inverse)
        self.small -= (self.small @ y.T) @ y
        self.shift -= y.T @ (y @ self.shift) + v
        half = self.gram - (self.gram @ y.T) @ y
        gram = half - y.T @ (y @ half)
        shrunk = self.total - y.T @ (y @ self.total)
        cross = np.outer(shrunk, v)
        gram += n * np.outer(v, v) - cross - cross.T
        before = self.rows(rows)
        overlap = (before + change / 2).T @ change
        gram += overlap + overlap.T
        self.gram = (gram + gram.T) / 2
        self.total = shrunk - n * v + change.sum(axis=0)
        self.tall[rows] += (change @ self.inverse).astype(self.tall.dtype)
        if self.strain() > len(self.small) * self.max_condition:
            self.recondition()

    def strain(self) -> float:
        """Return the larger squared Frobenius norm of U and of its inverse: d at first, never below the condition."""
        return float(max(np.vdot(self.small, self.small), np.vdot(self.inverse, self.inverse)))

    def recondition(self) -> None:
        """Move extreme singular values of U into V: O(n d) for each of them, and W stays what it is.

        With U = L diag(s) R, V <- V + V L_b diag(s_b - 1) L_b^T makes room for s_b = 1, b being the values more than
        max_condition^(1/4) away from 1. The inverse is made anew from the same decomposition.
        """
        left, values, right = np.linalg.svd(self.small)
        reach = self.max_condition**0.25
        bad = (values > reach) | (values < 1 / reach)
        basis, factors = left[:, bad], values[bad] - 1
        for s in spans(len(self.tall), _ROWS_AT_ONCE):
            self.tall[s] += (((self.tall[s] @ basis) * factors) @ basis.T).astype(self.tall.dtype)
        mended = np.where(bad, 1.0, values)
        self.small = (left * mended) @ right
        self.inverse = (right.T / mended) @ left.T
        self.n_reconditioned += 1


def _inverse_correction(y: Matrix, inverse: Matrix) -> Matrix:
    """Return (A^-1 - I) U^-1 for A = I - Y^T Y, by the smaller of two systems of equations."""
    m, d = y.shape
    if m < d:
        solved: Any = np.linalg.solve(np.eye(m) - y @ y.T, y @ inverse)
        correction: Matrix = y.T @ solved
        return correction
    squares = y.T @ y
    solved = np.linalg.solve(np.eye(d) - squares, squares @ inverse)
    return np.asarray(solved)
