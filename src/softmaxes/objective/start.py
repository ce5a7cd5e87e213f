"""The objective where every solver begins, told by the moments."""

from __future__ import annotations

import numpy as np

from softmaxes.exponential import log_softmax, softmax
from softmaxes.objective.objective import Evaluation, Objective
from softmaxes.objective.row_losses import SoftmaxLoss


def at_start(objective: Objective) -> Evaluation:
    """Return the evaluation at `objective.start()`, where W = 0 and, for its loss alone, the penalty is 0.

    All rows have the same softmax p there, so that Σ s (p - y) (x - shift) follows from the moments, without a pass.
    """
    start = objective.start()
    if not isinstance(objective.loss, SoftmaxLoss):
        return objective.evaluate(start)
    moments, k = objective.moments, objective.n_outputs
    logits = start[:, -1] if k > 1 else np.append(0.0, start[:, -1])
    loss = -float(moments.class_weight @ log_softmax(logits)) / moments.total
    residuals = (softmax(logits) - moments.class_weight / moments.total)[-k:]
    gradient = np.empty_like(start)
    np.divide(moments.class_sums[-k:], -moments.total, out=gradient[:, :-1])
    if not objective.fit_intercept:
        gradient[:, :-1] += np.multiply.outer(residuals, moments.mean)
    gradient[:, :-1] *= objective.scale
    gradient[:, -1] = residuals if objective.fit_intercept else 0.0
    return Evaluation(start, loss, loss, gradient, "single")
