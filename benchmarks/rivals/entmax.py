"""The entmax package: sparsemax and 1.5-entmax in PyTorch."""

from functools import partial

import entmax
import torch

PACKAGE = "entmax"


def prepare(task, logits, target):
    functions = {"sparsemax": entmax.sparsemax, "entmax": entmax.entmax15}
    if task.operation not in functions or task.output == "warm":
        return None
    return partial(functions[task.operation], torch.from_numpy(logits), task.axis)
