"""The arithmetic of a cross-entropy without logits: two sweeps over blocks of rows x classes.

The logits Z = H W^T + b, (N, V), are made block by block. A first sweep over the classes leaves a few numbers for each
row: the maximum M and the sum S = sum exp(z_k - M) over the classes OTHER than the target, and the target's own logit
z_y. With delta = M + log S - z_y,

    -log p_y = log(1 + exp delta),     1 - p_y = 1 / (1 + exp -delta),     p_k = (1 - p_y) exp(z_k - M) / S

so that a confident row keeps its relative accuracy. A second sweep turns the blocks into blocks of the gradient G and
feeds them to the products G W and G^T H. Where whole rows of logits fit the budget the second sweep reuses them
(three matrix products in all); else it makes them again (four).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import fsum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softmaxes.arrays import Floating, layout
from softmaxes.heads.blocks import Blocks, spans
from softmaxes.targets import read_target

Matrix: TypeAlias = NDArray[Any]
Gradients: TypeAlias = tuple[Matrix, Matrix, Matrix | None]


@dataclass(frozen=True, eq=False)
class Task:
    """Everything validated: rows of hidden vectors, classes, targets, weights, and the blocks to work in."""

    hidden: Matrix  # (N, D)
    weight: Matrix  # (V, D)
    bias: Matrix | None
    labels: Matrix | None  # (N,) or
    distributions: Matrix | None  # (N, V)
    class_weight: Matrix | None
    row_weight: Matrix  # (N,) float64: how much row i adds to the result and to the gradient
    possible: Matrix | None  # (N, V) the mask `where`
    per_log: float
    smoothing: float
    z_loss: float
    dtype: np.dtype[Any]
    blocks: Blocks
    outer: tuple[int, ...]
    reduction: str
    given: tuple[Floating, Floating, Floating | None]

    def run(self, gradient: Gradient | None) -> Any:
        """Return the reduced loss; add to the gradient if there is one."""
        losses = np.zeros(len(self.hidden)) if self.reduction == "none" else None
        total = []
        keep = gradient is not None and self.blocks.keep
        # one piece of memory for all blocks in turn: fresh pages would cost more than the exponentials
        logits = np.empty(self.blocks.rows * (len(self.weight) if keep else self.blocks.classes), self.dtype)
        with np.errstate(all="ignore"):
            for rows in self._row_blocks():
                block = _RowBlock.read(self, rows, logits, keep)
                value = block.sweep()
                if losses is not None:
                    losses[rows] = value
                total.append(float(value.sum()))
                if gradient is not None:
                    block.differentiate(gradient)
            result = losses.reshape(self.outer) if losses is not None else np.float64(_sum(total))
            return result.astype(self.result_dtype)[()]

    @property
    def result_dtype(self) -> Any:
        return np.result_type(*(f.result_dtype for f in self.given if f is not None))

    def class_spans(self) -> list[slice]:
        return spans(len(self.weight), self.blocks.classes)

    def _row_blocks(self) -> Iterator[slice | Matrix]:
        """Cut the rows that count; rows that do not are never multiplied."""
        counting = np.flatnonzero(self.row_weight)
        everything = len(counting) == len(self.hidden)
        for s in spans(len(counting), self.blocks.rows):
            yield s if everything else counting[s]


@dataclass(frozen=True, eq=False)
class Gradient:
    """Where the gradients are summed, in the dtype of the arithmetic, and two buffers for one product each."""

    hidden: Matrix
    weight: Matrix
    bias: Matrix
    hidden_part: Matrix
    weight_part: Matrix

    @classmethod
    def zeros(cls, task: Task) -> Gradient:
        d = task.hidden.shape[1]
        return cls(
            np.zeros(task.hidden.shape, task.dtype),
            np.zeros(task.weight.shape, task.dtype),
            np.zeros(len(task.weight), task.dtype),
            np.empty((task.blocks.rows, d), task.dtype),
            np.empty((task.blocks.classes, d), task.dtype),
        )

    def finish(self, task: Task) -> Gradients:
        hidden, weight, bias = task.given
        return (
            hidden.finish(self.hidden.reshape(*task.outer, -1)) if self.hidden.size else _empty_like(hidden),
            weight.finish(self.weight),
            None if bias is None else bias.finish(self.bias),
        )


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
    top: Matrix  # M, over the classes other than the target
    rest: Matrix  # S
    target_logit: Matrix  # z_y
    mass_of_logits: Matrix  # sum of (1 - smoothing) w q over the classes, and of that times z
    mass_times_logits: Matrix
    n_possible: Matrix
    weight_possible: Matrix  # sum of w, and of w z, over the possible classes
    weight_times_logits: Matrix
    kept: list[_Terms]

    @classmethod
    def read(cls, task: Task, rows: slice | Matrix, logits: Matrix, keep: bool) -> _RowBlock:
        hidden = task.hidden[rows].astype(task.dtype, copy=False)
        n = len(hidden)
        labels = None if task.labels is None else task.labels[rows]
        distributions = None
        if task.distributions is not None:
            q = task.distributions[rows]
            stand_in = np.broadcast_to(np.zeros((), task.dtype), q.shape)
            distributions = read_target(q, stand_in, layout(stand_in, -1, np)).distributions
        state = {name: np.zeros(n) for name in _SUMS} | {name: np.full(n, -np.inf) for name in ("top", "target_logit")}
        return cls(task, rows, logits, keep, hidden, labels, distributions, **state, kept=[])

    def sweep(self) -> Matrix:
        """Go over the classes once and return the rows' weighted losses."""
        for classes in self.task.class_spans():
            terms = self._terms(classes, first=True)
            top = np.maximum(self.top, terms.maxima)
            part = terms.exponentials.sum(axis=1).astype(np.float64)
            self.rest = self.rest * _ratio(self.top, top) + part * _ratio(terms.maxima, top)
            self.top = top
            if self.keep:
                self.kept.append(terms)
        return self._losses()

    def differentiate(self, out: Gradient) -> None:
        """Go over the classes again and add the block's share of the gradients."""
        task, rows = self.task, self.rows
        coefficients = self._coefficients()
        d_hidden = out.hidden_part[: len(self.hidden)]
        for i, classes in enumerate(task.class_spans()):
            terms = self.kept[i] if self.kept else self._terms(classes, first=False)
            block = coefficients.apply(self, terms, classes)
            weight = task.weight[classes].astype(task.dtype, copy=False)
            out.hidden[rows] += np.matmul(block, weight, out=d_hidden)
            out.weight[classes] += np.matmul(block.T, self.hidden, out=out.weight_part[: len(weight)])
            out.bias[classes] += block.sum(axis=0)
        self.kept.clear()

    def _terms(self, classes: slice, first: bool) -> _Terms:
        """Make the logits of some classes and exponentiate them in place; the first time, note what the loss needs."""
        task = self.task
        weight = task.weight[classes].astype(task.dtype, copy=False)
        z = np.matmul(self.hidden, weight.T, out=self._memory(classes))
        if task.bias is not None:
            z += task.bias[classes]
        if task.possible is not None:
            np.copyto(z, -np.inf, where=~task.possible[self.rows, classes])
        rows, columns = self._targets(classes)
        impossible = None
        if task.smoothing:
            impossible = z == -np.inf
        if first:
            self._note(z, classes, impossible)
            self.target_logit[rows] = z[rows, columns]
        z[rows, columns] = -np.inf
        maxima = z.max(axis=1)
        _exponentiate(z, maxima)
        if impossible is not None:
            np.copyto(z, -0.0, where=impossible)
        return _Terms(z, maxima.astype(np.float64), rows, columns)

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
        w = None if self.task.class_weight is None else self.task.class_weight[classes]
        if self.distributions is not None:
            mass = self.distributions[:, classes] if w is None else self.distributions[:, classes] * w
            self.mass_of_logits += mass.sum(axis=1, dtype=np.float64)
            self.mass_times_logits += _sum_of_products(mass, z)
        if impossible is not None:
            uniform = np.where(impossible, 0, 1 if w is None else w).astype(z.dtype)
            self.n_possible += z.shape[1] - np.count_nonzero(impossible, axis=1)
            self.weight_possible += uniform.sum(axis=1, dtype=np.float64)
            self.weight_times_logits += _sum_of_products(uniform, z)

    def _delta(self) -> Matrix:
        """Return log sum of the others' exponentials minus the target's logit."""
        others = self.top + np.log(self.rest)
        both_infinite = (self.top == np.inf) & (self.target_logit == np.inf)
        return np.where(both_infinite, np.log(self.rest), others - self.target_logit)

    def _log_z(self) -> Matrix:
        log_z: Matrix = np.logaddexp(self.top + np.log(self.rest), self.target_logit)
        return log_z

    def _target_weight(self) -> Matrix:
        """Return the row's mass before smoothing: w_y for a label, sum w q for a distribution, times 1 - smoothing."""
        task = self.task
        if self.labels is None:
            mass = self.mass_of_logits
        elif task.class_weight is None:
            mass = np.ones(len(self.labels))
        else:
            mass = task.class_weight[self.labels].astype(np.float64)
        return (1 - task.smoothing) * mass

    def _losses(self) -> Matrix:
        task, log_z = self.task, self._log_z()
        sharp = self._target_weight()
        if self.labels is not None:
            losses = _times(sharp, np.logaddexp(0, self._delta()))
        else:
            losses = _times(sharp, log_z) - (1 - task.smoothing) * self.mass_times_logits
        mass = sharp
        if task.smoothing:
            share = task.smoothing / np.maximum(self.n_possible, 1)
            losses = losses + share * (_times(self.weight_possible, log_z) - self.weight_times_logits)
            mass = sharp + share * self.weight_possible
        losses = np.where(log_z == -np.inf, np.nan, losses * task.per_log)
        if task.z_loss:
            losses = losses + task.z_loss * log_z * log_z
        else:
            losses = np.where(mass > 0, losses, 0.0)
        weighted: Matrix = losses * task.row_weight[self.rows]
        return weighted

    def _coefficients(self) -> _Coefficients:
        """Return what turns terms into gradients: G_k = a p_k - c_k / ln(base), see `softmaxes.losses`."""
        task, log_z = self.task, self._log_z()
        scale = task.row_weight[self.rows]
        sharp, share = task.per_log * self._target_weight(), np.zeros(len(scale))
        if task.smoothing:
            share = task.per_log * task.smoothing / np.maximum(self.n_possible, 1)
        pull = share * self.weight_possible
        if task.z_loss:
            pull = pull + 2 * task.z_loss * log_z
        others = np.ones(len(scale)) if self.labels is None else 1 / (1 + np.exp(-self._delta()))
        a = sharp + pull
        if not task.z_loss:
            scale = np.where(a > 0, scale, np.where(np.isnan(a), scale, 0.0))
        p_target = np.zeros(len(scale)) if self.labels is None else 1 / (1 + np.exp(self._delta()))
        spread = np.divide(a * others, self.rest, out=np.zeros_like(a), where=self.rest != 0)
        return _Coefficients(
            spread=scale * spread,
            target=scale * (p_target * pull - sharp * others),
            share=scale * share,
            sharp=scale * task.per_log * (1 - task.smoothing),
        )


@dataclass(frozen=True, eq=False)
class _Coefficients:
    """For each row: G_k = spread exp(z_k - M) - share w_k - sharp w_k q_k, and `target` in place of that at a label."""

    spread: Matrix
    target: Matrix
    share: Matrix
    sharp: Matrix

    def apply(self, block: _RowBlock, terms: _Terms, classes: slice) -> Matrix:
        """Return the gradient with respect to the logits of these classes, in the terms' own memory."""
        task, g = block.task, terms.exponentials
        w = None if task.class_weight is None else task.class_weight[classes]
        uniform = None
        if task.smoothing:
            uniform = np.where(np.signbit(g), 0, 1 if w is None else w).astype(g.dtype)
            uniform *= _column(self.share, g)
        g *= _column(self.spread * _ratio(terms.maxima, block.top), g)
        g[terms.target_rows, terms.target_columns] = self.target[terms.target_rows]
        if uniform is not None:
            g -= uniform
        if block.distributions is not None:
            mass = block.distributions[:, classes] * _column(self.sharp, g)
            g -= mass if w is None else mass * w
        return g


_SUMS = (
    "rest",
    "mass_of_logits",
    "mass_times_logits",
    "n_possible",
    "weight_possible",
    "weight_times_logits",
)
_NOBODY = np.zeros(0, np.int64)


def _exponentiate(z: Matrix, maxima: Matrix) -> None:
    """Replace z by exp(z - maxima[:, None]); an infinite maximum stands for its limit."""
    highest = maxima == np.inf
    if highest.any():
        z[highest] = np.where(z[highest] == np.inf, 0, -np.inf)
    reference = np.where(np.isinf(maxima), 0, maxima)
    np.subtract(z, reference[:, None], out=z)
    np.exp(z, out=z)


def _ratio(a: Matrix, b: Matrix) -> Matrix:
    """Return exp(a - b), which is 1 where the two are the same infinity."""
    return np.where(a == b, 1.0, np.exp(a - b))


def _times(mass: Matrix, values: Matrix) -> Matrix:
    """Return the product in which a mass of 0 silences even an infinite value."""
    return np.where(mass > 0, mass * values, 0.0)


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


def _empty_like(given: Floating) -> Matrix:
    return np.zeros(given.values.shape, given.result_dtype)
