"""How far from the optimum a model can be: a proven bound, and an estimate beside it.

**The bound.** Let α_n be any vectors with p'_n = α_n + y_n on the simplex and (1/S) Σ s_n α_n = 0 (the intercept is not
penalised, so the dual has this constraint). Conjugate duality of

    f(W, b) = (1/S) Σ s_n ℓ(z_n, y_n) + (λ/2) ‖W‖²,      ℓ(z, y) = lse(z) - <y, z>,      ℓ*(α, y) = -H(α + y)

gives for A' = (1/S) Σ s_n α_n x_nᵀ

    f* >= D(α) = (1/S) Σ s_n H(p'_n) - ‖A'‖² / (2λ).

With p' = p, the model's own probabilities, Fenchel-Young is an equality for every row, ℓ + ℓ* = <α, z>, and if
a = (1/S) Σ s_n (p_n - y_n) is 0

    f - D = <A, W> + (λ/2) ‖W‖² + ‖A‖²/(2λ) = ‖A + λW‖² / (2λ) = ‖∇_W f‖² / (2λ).

Where a is not exactly 0, p is mixed with one constant distribution q that repairs the constraint: p' = (1 - t) p + t q
with q = π - a (1 - t)/t, π the class frequencies, and t the smallest number for which q >= 0. As H is concave,

    f - D <= ‖A' + λW‖²/(2λ) + <A - A', W> + <a, b> + t (mean H(p) - H(q)),      A' = (1 - t) A + t (q x̄ᵀ - M),

M = (1/S) Σ s_n y_n x_nᵀ. Everything in it is at hand after a gradient; no further pass is needed. (Features are taken
less their mean, which moves b alone, so x̄ = 0.) The bound holds for exact arithmetic; it is evaluated in float64 on a
float64 gradient, whose rounding error, about 1e-15 of f, it does not cover.

**With an L1 term** λ₁ Σ |W| the conjugate of the penalty is Σ max(|A'| - λ₁, 0)² / (2λ), and without λ > 0 it is finite
only where |A'| <= λ₁: the residuals are shrunk until it is, p' = s p + (1 - s) y, whose mean entropy is at least s
times that of p. Other members of the family with a Fenchel-Young loss have the same bounds with -Ω for H.

**The estimate** is half the squared Newton decrement, ½ gᵀ B g, with B the solver's own approximation of the inverse
Hessian. It is not proven, but close to f - f* near the optimum, where the bound is loose by the ratio of curvature
to λ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from softmaxes.objective import Evaluation, Objective, SoftmaxLoss

ROUNDING = 1e-15
"""What rounding makes of a mean of p - y in float64 that is 0."""


@dataclass(frozen=True)
class Optimality:
    """How close a fitted model is to the optimum of its objective f (mean loss plus penalty).

    suboptimality_bound: f - f* is at most this, proven; inf where nothing is penalised (C=inf).
    relative: the bound as a share of the least that f* can be, bound / (f - bound); inf where that is no number.
    newton_decrement: sqrt(gᵀ H⁻¹ g) with the solver's approximation of the Hessian H; half its square estimates f - f*.
    gradient_norm: Euclidean norm of the gradient with respect to coefficients and intercepts, in float64.
    tol: what `relative` was to reach. met: whether it did; where nothing is penalised, whether the estimate did.
    """

    suboptimality_bound: float
    relative: float
    newton_decrement: float
    gradient_norm: float
    tol: float
    met: bool


class _DualSums(NamedTuple):
    """<A, W>; <A' - A, W>; ‖A' + λ W‖²; Σ max(|A'| - λ₁, 0)²; the largest |A'|."""

    fit: float
    along: float
    squared: float
    over: float
    largest: float


class Certifier:
    """Proven bounds on f - f* for evaluations of one objective."""

    def __init__(self, objective: Objective, at_start: Evaluation) -> None:
        """at_start: the evaluation at `objective.start()`, where W = 0 and p is one distribution for all rows.

        It holds for any penalty, and is kept for a solver that begins there.
        """
        self.at_start = at_start
        self._objective = objective
        share = objective.moments.class_weight / objective.moments.total
        self._share = share

    def bound(self, evaluation: Evaluation) -> float:
        """Return what f - f* is at most; inf where that cannot be said."""
        return max(self._gap(evaluation), 0.0)  # at the optimum rounding alone is left, of either sign

    def _gap(self, evaluation: Evaluation) -> float:
        """Return f less the value of the dual point."""
        objective = self._objective
        if not objective.loss.convex or (objective.l1 == 0 and objective.l2 == 0):
            return float("inf")
        t, entropy = self._mixing(evaluation)
        if not t < 1:
            return float("inf")
        sums = self._dual_sums(evaluation, t)
        at_bias = float(evaluation.gradient[:, -1] @ evaluation.theta[:, -1])
        mean_entropy = evaluation.loss - sums.fit - at_bias
        lost = t * (mean_entropy - entropy)
        if objective.l1 == 0:
            return sums.squared / (2 * objective.l2) - sums.along + at_bias + lost
        if objective.l2 > 0:
            return evaluation.value - (mean_entropy - lost) + sums.over / (2 * objective.l2)
        # Without l2 the dual is only finite where |A'| <= l1 everywhere: shrink the residuals, p' = s p + (1 - s) y.
        s = min(1.0, objective.l1 / max(sums.largest, 1e-300))
        return evaluation.value - s * (mean_entropy - lost)

    def _mixing(self, evaluation: Evaluation) -> tuple[float, float]:
        """Return t, and the entropy of q, by which the dual point p' - y has the sum 0 over the rows."""
        from scipy.special import entr

        residual = self._full(evaluation.gradient[:, -1])
        # A class without weight at probability 0 asks nothing: there a residual that rounding explains is 0.
        asks = residual > np.where(self._share > 0, 0.0, ROUNDING)
        over = residual[asks]
        t = float((over / (self._share[asks] + over)).max(initial=0.0))
        if t == 0 or not isinstance(self._objective.loss, SoftmaxLoss):
            return t, 0.0  # -Ω(q) of another member is at least that of a vertex
        return t, float(entr(np.maximum(self._share - residual * ((1 - t) / t), 0.0)).sum())

    def _dual_sums(self, evaluation: Evaluation, t: float) -> _DualSums:
        """Return the sums over all coefficients, some of them at a time."""
        objective = self._objective
        l1, l2, scale = objective.l1, objective.l2, objective.scale
        fit = along = squared = over = largest = 0.0
        for some in objective.outputs_at_once():
            weights = evaluation.theta[some, :-1] * scale
            slopes = evaluation.gradient[some, :-1] / scale
            products = slopes - l2 * weights
            fit += float(np.vdot(products, weights))
            if t > 0:  # x̄ = 0 in centred coordinates, so A' - A = -t (A + M), and M is -A at W = 0
                change = t * (self.at_start.gradient[some, :-1] / scale - products)
                along += float(np.vdot(change, weights))
                slopes += change
                products += change
            if l1 == 0:
                squared += float(np.vdot(slopes, slopes))
            else:
                size = np.abs(products)
                largest = max(largest, float(size.max()))
                over += float(np.sum(np.maximum(size - l1, 0.0) ** 2))
        return _DualSums(fit, along, squared, over, largest)

    def _full(self, residual: np.ndarray) -> np.ndarray:
        """Return Σ s (p - y) / S for every class, also where two classes share one row of parameters."""
        return np.array([-residual[0], residual[0]]) if len(residual) == 1 else residual

    def optimality(self, evaluation: Evaluation, squared_decrement: float, tol: float) -> Optimality:
        """Return the certificate of an evaluation in float64."""
        bound = self.bound(evaluation)
        relative = relative_bound(bound, evaluation.value)
        by_weight, by_bias = self._objective.gradient_as_given(evaluation)
        size = float(np.sqrt(np.vdot(by_weight, by_weight) + by_bias @ by_bias))
        met = relative <= tol
        if self._objective.l1 == self._objective.l2 == 0:
            met = 0.5 * squared_decrement <= tol * evaluation.value  # nothing is proven without a penalty
        return Optimality(
            bound, relative, float(np.sqrt(max(squared_decrement, 0.0))), size, tol,
            met,
        )  # fmt: skip


def relative_bound(bound: float, value: float) -> float:
    """Return bound / (value - bound), at least (f - f*) / f*; inf unless that lower bound of f* is positive."""
    return bound / (value - bound) if bound < value else float("inf")
