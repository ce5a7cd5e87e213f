"""The arithmetic of a cross-entropy without logits: two sweeps over blocks of rows x classes.

The logits Z = H W^T + b, (N, V), are made block by block. A first sweep over the classes leaves a few numbers for each
row (`rows.py`). A second sweep turns the blocks into blocks of the gradient G and feeds them to the products G W and
G^T H. Where whole rows of logits fit the budget the second sweep reuses them (three matrix products in all), and with
plain labels one pass of the kernel stands for all but the products; else it makes them again (four).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import Any

import numpy as np

from softmaxes import native
from softmaxes.heads.reading import distributions
from softmaxes.heads.rows import Coefficients, Sums, ratio
from softmaxes.heads.task import Gradient, Matrix, Task


def run(task: Task, gradient: Gradient | None) -> Any:
    """Return the reduced loss; add to the gradient if there is one."""
    losses = np.zeros(len(task.hidden)) if task.told.reduction == "none" else None
    total = []
    keep = gradient is not None and (task.blocks.keep or task.fused)
    # one piece of memory for all blocks in turn: fresh pages would cost more than the exponentials
    logits = np.empty(task.blocks.rows * (len(task.weight) if keep else task.blocks.classes), task.dtype)
    block: _FusedBlock | _RowBlock
    with np.errstate(all="ignore"):
        for rows in task.row_blocks():
            read = _FusedBlock.read if task.fused else _RowBlock.read
            block = read(task, rows, logits, keep)
            value = block.sweep()
            if losses is not None:
                losses[rows] = value
            total.append(float(value.sum()))
            if gradient is not None:
                block.differentiate(gradient)
        result = losses.reshape(task.outer) if losses is not None else np.float64(_sum(total))
        return result.astype(task.result_dtype)[()]


@dataclass(eq=False)
class _FusedBlock:
    """A block of rows whose logits become losses and gradient in one pass of the kernel."""

    task: Task
    rows: slice | Matrix
    z: Matrix
    hidden: Matrix
    keep: bool

    @classmethod
    def read(cls, task: Task, rows: slice | Matrix, logits: Matrix, keep: bool) -> _FusedBlock:
        hidden = task.hidden[rows].astype(task.dtype, copy=False)
        shape = len(hidden), len(task.weight)
        return cls(task, rows, logits[: shape[0] * shape[1]].reshape(shape), hidden, keep)

    def sweep(self) -> Matrix:
        """Return the rows' weighted losses; the logits turn into their gradient if it is wanted."""
        task, told = self.task, self.task.told
        np.matmul(self.hidden, task.weight.T, out=self.z)
        if task.bias is not None:
            self.z += task.bias
        labels = np.ascontiguousarray(told.labels[self.rows])  # type: ignore[index]
        scale = told.row_weight[self.rows] * told.kind.per_log
        if told.class_weight is not None:
            scale = scale * told.class_weight[labels]
        losses = np.empty(len(labels))
        native.cross_entropy_rows(self.z, labels, losses, self.z if self.keep else None, scale)
        weighted: Matrix = losses * scale
        return weighted

    def differentiate(self, out: Gradient) -> None:
        """Add the block's share of the gradients."""
        out.add_rows(self.rows, self.z, self.task.weight)
        for classes in self.task.class_spans():
            out.add_classes(classes, self.z[:, classes], self.hidden)


@dataclass(eq=False)
class _Terms:
    """One block of logits as exponentials: exp(z - maxima[:, None]), 0 at the targets.

    While labels are smoothed, a class that cannot happen is marked by a NEGATIVE zero, which no exponential is.
    """

    exponentials: Matrix
    maxima: Matrix
    target_rows: Matrix
    target_columns: Matrix


@dataclass(eq=False)
class _RowBlock:
    """A block of rows on its way from logits to losses to gradients."""

    task: Task
    rows: slice | Matrix
    logits: Matrix  # memory for all the classes of the rows if they are kept, else for one block
    keep: bool
    hidden: Matrix
    labels: Matrix | None
    distributions: Matrix | None
    sums: Sums
    kept: list[_Terms]

    @classmethod
    def read(cls, task: Task, rows: slice | Matrix, logits: Matrix, keep: bool) -> _RowBlock:
        hidden = task.hidden[rows].astype(task.dtype, copy=False)
        sums = Sums.empty(len(hidden), np, dtype=np.float64)
        labels = masses = None
        if task.told.labels is not None:
            labels = task.told.labels[rows]
            sums.target_mass += 1.0 if task.told.class_weight is None else task.told.class_weight[labels]
        if task.distributions is not None:
            q = task.distributions[rows]
            masses = distributions(q, q.shape, task.dtype)
        return cls(task, rows, logits, keep, hidden, labels, masses, sums, [])

    def sweep(self) -> Matrix:
        """Go over the classes once and return the rows' weighted losses."""
        for classes in self.task.class_spans():
            terms = self._terms(classes, first=True)
            self.sums.merge(terms.maxima, terms.exponentials.sum(axis=1).astype(np.float64), np)
            if self.keep:
                self.kept.append(terms)
        losses: Matrix = self.sums.losses(self.task.told.kind, np) * self.task.told.row_weight[self.rows]
        return losses

    def differentiate(self, out: Gradient) -> None:
        """Go over the classes again and add the block's share of the gradients."""
        task, rows = self.task, self.rows
        coefficients = self.sums.coefficients(task.told.kind, task.told.row_weight[rows], np)
        for i, classes in enumerate(task.class_spans()):
            terms = self.kept[i] if self.kept else self._terms(classes, first=False)
            block = self._gradient(coefficients, terms, classes)
            weight = task.weight[classes].astype(task.dtype, copy=False)
            out.add_rows(rows, block, weight)
            out.add_classes(classes, block, self.hidden)
        self.kept.clear()

    def _gradient(self, row: Coefficients, terms: _Terms, classes: slice) -> Matrix:
        """Return the gradient with respect to the logits of these classes, in the terms' own memory."""
        task, g = self.task, terms.exponentials
        w = None if task.told.class_weight is None else task.told.class_weight[classes]
        uniform = None
        if task.told.kind.smoothing:
            uniform = np.where(np.signbit(g), 0, 1 if w is None else w).astype(g.dtype)
            uniform *= _column(row.scale * row.share, g)
        g *= _column(row.scale * (row.a * row.per_term) * ratio(terms.maxima, self.sums.top, np), g)
        g[terms.target_rows, terms.target_columns] = row.target[terms.target_rows]
        if uniform is not None:
            g -= uniform
        if self.distributions is not None:
            mass = self.distributions[:, classes] * _column(row.scale * row.sharp, g)
            g -= mass if w is None else mass * w
        return g

    def _terms(self, classes: slice, first: bool) -> _Terms:
        """Make the logits of some classes and exponentiate them in place; the first time, note what the loss needs."""
        task = self.task
        weight = task.weight[classes].astype(task.dtype, copy=False)
        z = np.matmul(self.hidden, weight.T, out=self._memory(classes))
        if task.bias is not None:
            z += task.bias[classes]
        if task.possible is not None:
            np.copyto(z, -np.inf, where=~self._possible(task.possible[..., classes]))
        rows, columns = self._targets(classes)
        impossible = None
        if task.told.kind.smoothing:
            impossible = z == -np.inf
        if first:
            self._note(z, classes, impossible)
            self.sums.target_logit[rows] = z[rows, columns]
        z[rows, columns] = -np.inf
        maxima = z.max(axis=1)
        _exponentiate(z, maxima)
        if impossible is not None:
            np.copyto(z, -0.0, where=impossible)
        return _Terms(z, maxima.astype(np.float64), rows, columns)

    def _possible(self, of_classes: Matrix) -> Matrix:
        """Return these rows of a mask that has the logits' leading axes."""
        numbers = self.rows if isinstance(self.rows, np.ndarray) else np.arange(self.rows.start, self.rows.stop)
        rows: Matrix = of_classes[np.unravel_index(numbers, self.task.outer)]
        return rows

    def _memory(self, classes: slice) -> Matrix:
        n_rows, n_classes = len(self.hidden), classes.stop - classes.start
        start = n_rows * classes.start if self.keep else 0
        return self.logits[start : start + n_rows * n_classes].reshape(n_rows, n_classes)

    def _targets(self, classes: slice) -> tuple[Matrix, Matrix]:
        """Return the rows whose label is one of these classes, and its place among them."""
        if self.labels is None:
            return _NOBODY, _NOBODY
        rows = np.flatnonzero((self.labels >= classes.start) & (self.labels < classes.stop))
        return rows, self.labels[rows] - classes.start

    def _note(self, z: Matrix, classes: slice, impossible: Matrix | None) -> None:
        """Add up what soft and smoothed targets need of these logits: masses, and masses times logits."""
        w, sums = None if self.task.told.class_weight is None else self.task.told.class_weight[classes], self.sums
        if self.distributions is not None:
            mass = self.distributions[:, classes] if w is None else self.distributions[:, classes] * w
            sums.target_mass += mass.sum(axis=1, dtype=np.float64)
            sums.mass_times_logits += _sum_of_products(mass, z)
        if impossible is not None:
            uniform = np.where(impossible, 0, 1 if w is None else w).astype(z.dtype)
            sums.n_possible += z.shape[1] - np.count_nonzero(impossible, axis=1)
            sums.weight_possible += uniform.sum(axis=1, dtype=np.float64)
            sums.weight_times_logits += _sum_of_products(uniform, z)


_NOBODY = np.zeros(0, np.int64)


def _exponentiate(z: Matrix, maxima: Matrix) -> None:
    """Replace z by exp(z - maxima[:, None]); an infinite maximum stands for its limit."""
    highest = maxima == np.inf
    if highest.any():
        z[highest] = np.where(z[highest] == np.inf, 0, -np.inf)
    reference = np.where(np.isinf(maxima), 0, maxima)
    np.subtract(z, reference[:, None], out=z)
    np.exp(z, out=z)


def _sum_of_products(mass: Matrix, z: Matrix) -> Matrix:
    """Return sum_k mass_k z_k of each row, where a mass of 0 silences an infinite logit."""
    products = mass * z
    if not np.isfinite(products).all():
        products = np.where(mass > 0, products, 0)
    total: Matrix = products.sum(axis=1, dtype=np.float64)
    return total


def _column(values: Matrix, like: Matrix) -> Matrix:
    column: Matrix = values.astype(like.dtype)[:, None]
    return column


def _sum(parts: list[float]) -> float:
    """Return the exactly rounded sum, or what IEEE arithmetic says when a part is infinite or NaN."""
    return fsum(parts) if all(map(np.isfinite, parts)) else float(np.sum(parts))
