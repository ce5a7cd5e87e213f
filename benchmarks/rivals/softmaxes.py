"""This library."""

from functools import partial

import numpy as np

import softmaxes

PACKAGE = "softmaxes"


def prepare(task, logits, target):
    if task.operation == "cross_entropy_and_gradient":
        call = partial(softmaxes.cross_entropy_and_gradient, logits, target)
        return partial(call, gradient_out=np.zeros_like(logits)) if task.output == "warm" else call
    if task.operation.startswith(("sparsemax", "entmax")):
        member = softmaxes.Entmax(task.alpha)
        what = task.operation.partition("_")[2]
        if not what:
            return partial(softmaxes.entmax, logits, task.alpha, axis=task.axis)
        return (
            partial(member.vjp, logits, logits) if what == "vjp" else partial(member.loss_and_gradient, logits, target)
        )
    if task.operation not in ("softmax", "log_softmax", "logsumexp"):
        return None
    call = partial(getattr(softmaxes, task.operation), logits, task.axis)
    return partial(call, out=np.zeros_like(logits)) if task.output == "warm" else call
