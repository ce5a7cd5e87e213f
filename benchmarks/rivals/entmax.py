"""The entmax package (PyTorch), sorting whole rows, or bisecting for a general alpha: maps, backward passes, losses."""

from functools import partial

import entmax
import torch

PACKAGE = "entmax"
SORTED = {
    "sparsemax": (entmax.sparsemax, entmax.sparsemax_loss),
    "entmax1.5": (entmax.entmax15, entmax.entmax15_loss),
}


def prepare(task, logits, target, k=None):
    name, _, what = task.operation.partition("_")
    if name in SORTED:
        function, loss = SORTED[name]
        probabilities, losses = (lambda x: function(x, task.axis, k)), (lambda x, y: loss(x, y, k))
    elif name.startswith("entmax") and k is None:
        probabilities = partial(entmax.entmax_bisect, alpha=task.alpha, dim=task.axis)
        losses = partial(entmax.entmax_bisect_loss, alpha=task.alpha)
    else:
        return None
    x = torch.from_numpy(logits)
    if not what:
        return partial(probabilities, x)
    x = x.clone().requires_grad_()
    if what == "vjp":
        return lambda: torch.autograd.grad(probabilities(x), x, x.detach())
    y = torch.from_numpy(target)

    def loss_and_gradient():
        values = losses(x, y)
        return values.detach(), torch.autograd.grad(values.sum(), x)

    return loss_and_gradient
