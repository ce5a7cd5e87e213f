"""The entmax package (PyTorch), sorting whole rows: sparsemax and 1.5-entmax, backward passes, and losses."""

from functools import partial

import entmax
import torch

PACKAGE = "entmax"
MAPS = {"sparsemax": entmax.sparsemax, "entmax": entmax.entmax15}
LOSSES = {"sparsemax": entmax.sparsemax_loss, "entmax": entmax.entmax15_loss}


def prepare(task, logits, target, k=None):
    name, _, what = task.operation.partition("_")
    if name not in MAPS or task.output == "warm":
        return None
    x = torch.from_numpy(logits)
    if not what:
        return partial(MAPS[name], x, task.axis, k)
    x = x.clone().requires_grad_()
    if what == "vjp":
        return lambda: torch.autograd.grad(MAPS[name](x, task.axis, k), x, x.detach())
    y = torch.from_numpy(target)

    def loss_and_gradient():
        losses = LOSSES[name](x, y, k)
        return losses.detach(), torch.autograd.grad(losses.sum(), x)

    return loss_and_gradient
