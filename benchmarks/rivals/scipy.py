"""SciPy: scipy.special, which has no out=; the gradient of cross-entropy as its users write it."""

from functools import partial

import numpy as np
from scipy import special

PACKAGE = "scipy"


def _cross_entropy(logits, target):
    rows = np.arange(len(target))
    logs = special.log_softmax(logits, axis=-1)
    gradient = np.exp(logs)
    gradient[rows, target] -= 1
    gradient /= len(target)
    return -logs[rows, target].mean(), gradient


def prepare(task, logits, target):
    if task.output == "warm" or task.dtype == "bfloat16":
        return None
    if task.operation == "cross_entropy_and_gradient":
        return partial(_cross_entropy, logits, target)
    if task.operation in ("softmax", "log_softmax", "logsumexp"):
        return partial(getattr(special, task.operation), logits, axis=task.axis)
    return None
