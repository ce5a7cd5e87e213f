"""How well the data determine the coefficients: standard errors and Wald intervals from the Hessian."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from softmaxes.objective import Objective

MOST_PARAMETERS = 4000
"""More would need a Hessian of over 128 MB."""


@dataclass(frozen=True, eq=False)
class Wald:
    """Standard errors and intervals of a fitted model's coefficients.

    The covariance is H⁻¹ J H⁻¹, H the Hessian of Σ s ℓ + ‖W‖²/(2C) at the model and J that of Σ s ℓ alone: how the
    penalised estimate varies from sample to sample when the model is true, not its bias towards 0. With C=inf it is
    the inverse Fisher information J⁻¹, as statistics packages print it. Sample weights count as repeated rows.

    With three or more classes the coefficients are the symmetric ones (each column sums to 0) and J⁻¹ is the
    pseudo-inverse on those; a difference of two classes has errors of its own.

    coef, intercept: the estimates. coef_error, intercept_error: their standard errors. coef_interval,
    intercept_interval: (..., 2) lower and upper ends at `level`.
    """

    level: float
    coef: np.ndarray
    coef_error: np.ndarray
    coef_interval: np.ndarray
    intercept: np.ndarray
    intercept_error: np.ndarray
    intercept_interval: np.ndarray


def wald(objective: Objective, coef: np.ndarray, intercept: np.ndarray, level: float) -> Wald:
    """Return the Wald statistics at (coef, intercept); objective.l2 is 1 / (C Σ s).

    Raises ValueError if level is not between 0 and 1 or the parameters are too many.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level!r}; a number between 0 and 1 is needed, such as 0.95")
    theta = objective.theta(coef, intercept)
    if theta.size > MOST_PARAMETERS:
        raise ValueError(f"{theta.size} parameters; standard errors are worked out for at most {MOST_PARAMETERS}")
    k, width = theta.shape
    information = objective.hessian(theta, "double") * objective.moments.total
    penalty = np.tile(np.append(objective.l2 * objective.moments.total * objective.scale**2, 0.0), k)
    inverse = np.linalg.pinv(information + np.diag(penalty), rcond=1e-13, hermitian=True)
    covariance = inverse @ information @ inverse
    # From θ to the features as given: W = V scale, b = c - W shift.
    back = np.zeros((width, width))
    back[np.arange(width - 1), np.arange(width - 1)] = objective.scale
    back[-1, :-1] = -objective.scale * objective.shift
    back[-1, -1] = 1.0 if objective.fit_intercept else 0.0
    blocks = covariance.reshape(k, width, k, width)
    variances = np.array([np.einsum("ij,jl,il->i", back, blocks[c, :, c, :], back) for c in range(k)])
    errors = np.sqrt(np.maximum(variances, 0.0))
    reach = NormalDist().inv_cdf(0.5 + level / 2) * errors
    return Wald(
        level,
        coef,
        errors[:, :-1],
        np.stack([coef - reach[:, :-1], coef + reach[:, :-1]], axis=-1),
        intercept,
        errors[:, -1],
        np.stack([intercept - reach[:, -1], intercept + reach[:, -1]], axis=-1),
    )
