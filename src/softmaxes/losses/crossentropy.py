"""Cross-entropy of logits against labels or distributions, with its gradient.

For one row z with masses c = w * q (class weights times target distribution), C = sum c, p = softmax(z), and the
row's log-partition value lse = m + L, L = log(1 + r):

    l        = sum_k c_k (L - d_k) / ln(base)  +  z_loss lse^2
    dl/dz_k  = (C p_k - c_k) / ln(base)        +  2 z_loss lse p_k

Both summands of L - d_k are >= 0, so nothing cancels, and C p_k - c_k is formed as p_k (C - c_k) - c_k (1 - p_k)
with C - c_k and 1 - p_k the sums of the OTHERS: confident rows keep full relative accuracy in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log
from numbers import Real

import numpy as np

from softmaxes import generic, native
from softmaxes.arrays import Array, Axis, is_plain
from softmaxes.losses.base import Problem, Reduction, nonnegative
from softmaxes.losses.loss import Loss
from softmaxes.maps.base import at_index, sums_of_others
from softmaxes.maps.softmax import Softmax

__all__ = ["CrossEntropy", "cross_entropy", "cross_entropy_and_gradient"]

_SOFTMAX = Softmax()


def cross_entropy(
    logits: Array,
    target: Array,
    axis: Axis = -1,
    *,
    base: float | None = None,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    class_weight: Array | None = None,
    sample_weight: Array | None = None,
    ignore_index: int | None = None,
    z_loss: float = 0.0,
    where: Array | None = None,
) -> Array:
    r"""Return the cross-entropy of softmax(logits) against the target.

    .. math:: \ell_i = \sum_k w_k q_{ik} \, (-\log p_{ik}), \qquad
              \text{mean} = \frac{\sum_i s_i \ell_i}{\sum_i s_i w_{y_i}}
              \text{ (labels)} \quad\text{or}\quad \frac{\sum_i s_i \ell_i}{\sum_i s_i} \text{ (distributions)}

    Parameters
    ----------
    logits : array of shape (..., K, ...)
        Unnormalised scores, never probabilities; K classes along `axis`. -inf marks a class that cannot happen.
    target : array
        Class indices: integers of the logits' shape without `axis`. Distributions: real numbers >= 0 of the
        logits' own shape that add up to 1 along `axis`.
    axis : int, default -1
    base : float, optional
        Base of the logarithm (> 1): 2 for bits, 10 for bans; the default is e, for nats.
    reduction : {"mean", "sum", "none"}
        "sum" is sum_i s_i l_i, "none" the array of s_i l_i, and "mean" the quotient above, which is the one of
        torch and scikit-learn for labels. With label smoothing the same divisor is kept.
    label_smoothing : float in [0, 1]
        q becomes (1 - label_smoothing) q + label_smoothing u, u uniform over the row's possible classes.
    class_weight : array of shape (K,), optional
        w, finite and >= 0.
    sample_weight : array, optional
        s, one finite number >= 0 for each row. A row of weight 0 contributes exactly nothing.
    ignore_index : int, optional
        Rows with this label do not count, neither above nor below the fraction bar.
    z_loss : float, default 0
        Adds z_loss * logsumexp(z_i)^2 (in nats, whatever the base; not class-weighted) to each l_i.
    where : boolean array that broadcasts to the logits, optional
        False marks a class that cannot happen, like a logit of -inf.

    Returns
    -------
    array
        A scalar, or an array of one loss a row for reduction="none", in the logits' dtype (integers: float64).

    Raises
    ------
    ValueError
        If an index is out of range, a distribution does not add up to 1, or a shape or option does not fit.
    TypeError
        If a dtype does not fit.

    Notes
    -----
    An empty batch gives 0. A target class that cannot happen gives +inf. A row with NaN, or without any possible
    class, gives NaN unless its weight is 0.

    Examples
    --------
    >>> import softmaxes as sm
    >>> round(float(sm.cross_entropy([[0.0, 10.0, 15.0, 18.0, 20.0]], [4])), 5)
    0.13288
    >>> float(sm.cross_entropy([0.0, -40.0], 0))
    4.248354255291589e-18
    """
    loss = CrossEntropy(base, label_smoothing, z_loss)
    problem = Problem.read(
        logits,
        target,
        axis,
        reduction=reduction,
        class_weight=class_weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        where=where,
    )
    return loss._value(problem)


def cross_entropy_and_gradient(
    logits: Array,
    target: Array,
    axis: Axis = -1,
    *,
    base: float | None = None,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    class_weight: Array | None = None,
    sample_weight: Array | None = None,
    ignore_index: int | None = None,
    z_loss: float = 0.0,
    where: Array | None = None,
    gradient_out: Array | None = None,
) -> tuple[Array, Array]:
    """Return `cross_entropy` and its gradient with respect to the logits, in one pass.

    The parameters are those of `cross_entropy`. gradient_out is a NumPy array of the logits' shape and of the
    result's dtype in which the gradient is written; it may be the logits themselves. With reduction="none" row i
    of the gradient belongs to loss i.

    The gradient is exactly 0 at a class that cannot happen (unless it is the target: then the loss is +inf and
    the entry is -c), and 0 for rows that do not count.

    Examples
    --------
    >>> import softmaxes as sm
    >>> value, gradient = sm.cross_entropy_and_gradient([[0.0, -40.0]], [0])
    >>> gradient
    array([[-4.24835426e-18,  4.24835426e-18]])
    """
    loss = CrossEntropy(base, label_smoothing, z_loss)
    problem = Problem.read(
        logits,
        target,
        axis,
        reduction=reduction,
        class_weight=class_weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        where=where,
    )
    out = problem.checked_gradient_out(gradient_out, logits)
    value, gradient = loss._value_and_gradient(problem, out)
    if out is None:
        return value, gradient
    if gradient is not out:
        out[...] = gradient
    return value, out


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Cross-entropy as a value, for where a loss is handed around; the functions above say what its fields mean.

    Examples
    --------
    >>> import softmaxes as sm
    >>> loss = sm.losses.CrossEntropy(label_smoothing=0.1)
    >>> loss.hessian_product([[0.0, 0.0]], [0], [[1.0, 0.0]])
    array([[ 0.25, -0.25]])
    """

    base: float | None = None
    label_smoothing: float = 0.0
    z_loss: float = 0.0

    def __post_init__(self) -> None:
        if self.base is not None and not (isinstance(self.base, Real) and 1.0 < self.base < inf):
            raise ValueError(f"base={self.base!r}; the base of a logarithm that measures losses is finite and above 1")
        nonnegative("label_smoothing", self.label_smoothing, 1.0)
        nonnegative("z_loss", self.z_loss)

    @property
    def log_base(self) -> float:
        return 1.0 if self.base is None else log(self.base)

    def _value(self, problem: Problem) -> Array:
        if self._has_kernel(problem):
            losses, _ = self._by_kernel(problem, with_gradient=False)
            return losses
        with np.errstate(all="ignore"):
            losses, _ = self._rows(problem, with_gradient=False)
            return problem.reduced(losses)

    def _value_and_gradient(self, problem: Problem, out: Array | None = None) -> tuple[Array, Array]:
        if self._has_kernel(problem):
            return self._by_kernel(problem, with_gradient=True, out=out)
        with np.errstate(all="ignore"):
            losses, gradient = self._rows(problem, with_gradient=True)
            return problem.reduced(losses), problem.gradient(gradient)

    def _hessian_product(self, problem: Problem, v: Array) -> Array:
        """With J = diag p - p p^T: (C / ln base) J v + 2 z_loss (p <p, v> + lse J v)."""
        xp, z = problem.xp, problem.rows
        if z.shape[-1] == 0:
            return problem.gradient(z)
        mass = xp.sum(problem.masses(self.label_smoothing), axis=-1, keepdims=True)
        moved, nothing = _SOFTMAX._jvp(z, v, xp), xp.zeros_like(v)
        curved = xp.where(mass > 0, mass * moved / self.log_base, nothing)
        if self.z_loss:
            p, log_z = _SOFTMAX._value(z, xp), generic.logsumexp(z, xp)[..., None]
            along = xp.sum(xp.where(p > 0, p * v, nothing), axis=-1, keepdims=True)
            curved = curved + 2 * self.z_loss * xp.where(p > 0, p * along + log_z * moved, nothing)
        return problem.gradient(curved)

    def _has_kernel(self, problem: Problem) -> bool:
        """Return whether the fused kernel computes exactly this: NumPy rows, labels, no smoothing, no z-loss."""
        return (
            is_plain(problem.rows)
            and problem.rows.dtype in (np.float32, np.float64)
            and problem.rows.size > 0
            and problem.target.labels is not None
            and self.label_smoothing == 0.0
            and self.z_loss == 0.0
        )

    def _by_kernel(self, problem: Problem, *, with_gradient: bool, out: Array | None = None) -> tuple[Array, Array]:
        """Run the kernel over C-contiguous rows, straight into `out` where its memory is laid out as rows."""
        rows = np.ascontiguousarray(problem.rows).reshape(-1, problem.rows.shape[-1])
        labels = np.ascontiguousarray(problem.target.labels).reshape(-1)
        weight = problem.label_weight()
        weight = np.ones(len(rows)) if weight is None else weight.reshape(-1).astype(np.float64)
        weight = weight / self.log_base
        divisor = float(problem.divisor())
        losses = np.empty(len(rows))
        gradient = None
        if with_gradient:
            gradient = out.reshape(rows.shape) if _is_rows(out, problem) else np.empty_like(rows)  # type: ignore[union-attr]
        native.cross_entropy_rows(rows, labels, losses, gradient, weight / divisor)
        losses = np.where(weight > 0, losses * weight, 0.0)
        if problem.reduction == "none":
            value = problem.finished(losses.reshape(problem.rows.shape[:-1]))
        else:
            value = problem.finished(losses.sum() / divisor)
        if gradient is None:
            return value, None
        if weight.min() == 0.0:
            gradient[weight == 0.0] = 0.0
        return value, problem.returned(gradient.reshape(problem.rows.shape))

    def _rows(self, problem: Problem, *, with_gradient: bool) -> tuple[Array, Array]:
        """Return each row's loss and its gradient by the generic text."""
        xp, z = problem.xp, problem.rows
        if z.shape[-1] == 0:
            return xp.sum(z, axis=-1), z
        mass = problem.masses(self.label_smoothing)
        zero = xp.zeros_like(z)
        frame = generic.frame(z, 1.0, xp)
        surprise = xp.where(mass > 0, xp.log1p(frame.others) - frame.correction - frame.difference, zero)
        losses = xp.sum(mass * surprise, axis=-1) / self.log_base
        gradient = zero
        if with_gradient:
            total = 1 + frame.others
            p = frame.terms / total
            others = xp.where(at_index(frame.first, z, xp), frame.others / total, 1 - p)
            gradient = (p * sums_of_others(mass, xp) - mass * others) / self.log_base
            gradient = xp.where(xp.sum(mass, axis=-1, keepdims=True) > 0, gradient, zero)
        if self.z_loss:
            log_z = generic.logsumexp(z, xp)
            losses = losses + self.z_loss * log_z * log_z
            if with_gradient:
                gradient = gradient + xp.where(p > 0, 2 * self.z_loss * log_z[..., None] * p, zero)
        possible = generic.possible(z, xp)
        losses = xp.where(possible[..., 0], losses, xp.full_like(losses, xp.nan))
        return losses, xp.where(possible, gradient, xp.full_like(gradient, xp.nan))


def _is_rows(out: Array | None, problem: Problem) -> bool:
    """Return whether the gradient's rows can be written straight into out."""
    return (
        out is not None
        and out.dtype == problem.rows.dtype
        and out.flags.c_contiguous
        and problem.layout.to_rows(out) is out
    )
