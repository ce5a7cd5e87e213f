"""python -m benchmarks.heads_memory ROWS CLASSES FEATURES CONTENDER: peak memory of a value and its gradients, as JSON.

One contender a process: what was given back to an allocator would hide what the next one takes. The peak is that of the
resident set of the whole process, as Linux alone tells it: libraries, inputs, results and everything beside them.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import softmaxes as sm
from benchmarks import measure


def ours(hidden: Any, weight: Any, target: Any) -> Any:
    return sm.linear_cross_entropy_and_gradient(hidden, weight, target)


def ours_dense(hidden: Any, weight: Any, target: Any) -> Any:
    logits = hidden @ weight.T
    value, gradient = sm.cross_entropy_and_gradient(logits, target, gradient_out=logits)
    return value, (gradient @ weight, gradient.T @ hidden, None)


def by_torch(hidden: Any, weight: Any, target: Any, contender: str) -> Any:
    """Return value and gradients by one of the contenders that are given tensors."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    h, w = (torch.from_numpy(x).requires_grad_() for x in (hidden, weight))
    t = torch.from_numpy(target)
    losses = {
        "softmaxes, torch tensors": lambda: sm.linear_cross_entropy(h, w, t),
        "torch, dense": lambda: functional.cross_entropy(h @ w.T, t),
        "torch, chunked": lambda: functional.linear_cross_entropy(
            h, w, t, options=torch.nn.LinearCrossEntropyOptions()
        ),
    }
    value = losses[contender]()
    value.backward()
    return value, (h.grad, w.grad, None)


BY_NUMPY = {"softmaxes": ours, "softmaxes, dense": ours_dense}


def run(contender: str, hidden: Any, weight: Any, target: Any) -> Any:
    if contender in BY_NUMPY:
        return BY_NUMPY[contender](hidden, weight, target)
    return by_torch(hidden, weight, target, contender)


def main() -> None:
    n, v, d = map(int, sys.argv[1:4])
    contender = sys.argv[4]
    rng = np.random.default_rng(0)
    hidden, weight = (rng.standard_normal(shape, dtype=np.float32) for shape in ((n, d), (v, d)))
    weight *= np.float32(0.3)
    target = rng.integers(0, v, n)
    with threadpool_limits(1):
        run(contender, hidden[:8], weight[:64], target[:8] % 64)  # what is imported late is no logit
        before = measure.resident("VmRSS")
        measure.forget_peak()
        kept = run(contender, hidden, weight, target)
        peak = measure.resident("VmHWM")
    results = sum(g.nbytes for g in kept[1] if g is not None)
    print(json.dumps({"process": peak, "beside inputs and results": peak - before - results}))


if __name__ == "__main__":
    main()
