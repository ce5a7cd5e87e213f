"""python -m benchmarks.threads: how much sooner two threads are than one, beside what the machine's memory allows.

The limit is a copy of the same bytes, by one thread and by two. Writes results/threads.json.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import measure

HERE = Path(__file__).resolve().parent
SHAPES = ((1024, 1000), (8192, 512), (65536, 128), (4096, 32000))


def copied(pool: ThreadPoolExecutor, source: np.ndarray, target: np.ndarray, threads: int) -> None:
    """Copy in equal parts, one a thread (NumPy lets other threads run while it copies)."""
    parts = zip(np.array_split(target, threads), np.array_split(source, threads), strict=True)
    list(pool.map(lambda pair: np.copyto(*pair), parts))


def calls(operation: str, logits: np.ndarray, pool: ThreadPoolExecutor) -> dict:
    import softmaxes.native

    out = np.zeros_like(logits)
    if operation == "cross_entropy_and_gradient":
        target, losses = np.random.default_rng(1).integers(0, logits.shape[1], len(logits)), np.zeros(len(logits))
        call = partial(softmaxes.native.cross_entropy_rows, logits, target, losses, out)
    else:
        call = partial(getattr(softmaxes, operation), logits, **({} if operation == "logsumexp" else {"out": out}))
    return {
        **{f"softmaxes, {n} threads": partial(call, threads=n) for n in (1, 2)},
        **{f"copy, {n} threads": partial(copied, pool, logits, out, n) for n in (1, 2)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.3, help="about how long to time each contender on a task")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        parser.exit(2, "this process may use one processor only: nothing to compare\n")
    results = []
    with ThreadPoolExecutor(2) as pool:
        for operation in ("softmax", "log_softmax", "logsumexp", "cross_entropy_and_gradient"):
            for dtype in (np.float32, np.float64):
                for shape in SHAPES:
                    logits = np.random.default_rng(0).standard_normal(shape, dtype)
                    times = measure.compare(calls(operation, logits, pool), options.seconds)
                    ours, copy = (
                        times[f"{who}, 1 threads"].median / times[f"{who}, 2 threads"].median
                        for who in ("softmaxes", "copy")
                    )
                    name = f"{operation} {np.dtype(dtype)} {'x'.join(map(str, shape))}"
                    print(f"{name:50s} two threads {ours:.2f}x as fast as one; a copy {copy:.2f}x", flush=True)
                    results.append(
                        {"task": name, "ratio": ours, "copy": copy, "medians": {k: v.median for k, v in times.items()}}
                    )
    record = {"machine": measure.machine(("numpy", "softmaxes")), "unit": "nanoseconds a call", "results": results}
    path = HERE / "results" / "threads.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"\nwrote {path}")


if __name__ == "__main__":
    main()
