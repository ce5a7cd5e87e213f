"""python -m benchmarks.heads PART ...: many classes, beside torch in the same run; writes results/heads.json.

Parts: linear, wide, goal (minutes, 12 GB of memory), memory, spherical, adaptive, and race (needs --text FILE):
perplexity after equal processor time, our adaptive softmax and torch's on the same network
(examples/next_word/README.md says how to get a text). A part replaces its own results and leaves the others alone, so
the parts may be asked for one by one, on one machine and with one number of threads.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from time import perf_counter_ns
from typing import Any, TypeAlias

import threadpoolctl

from benchmarks import measure

HERE = Path(__file__).resolve().parent
Call: TypeAlias = Callable[[], Any]
# rows, classes, features of linear_cross_entropy: where the dense logits fit comfortably; the goal, and an eighth
SIZES = ((8192, 1000, 256), (4096, 32_000, 128), (2048, 32_000, 512))
GOAL, EIGHTH = (8192, 128_000, 512), (1024, 128_000, 512)


def in_turn(calls: dict[str, Call], rounds: int) -> dict[str, Any]:
    """Time calls of many seconds: in turn, without warming up."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = perf_counter_ns()
            call()
            samples[name].append(perf_counter_ns() - start)
    return {name: asdict(measure.Spread.of(found)) for name, found in samples.items()}


def contenders(n: int, v: int, d: int) -> dict[str, Call]:
    """Return value and gradients by each contender: ours in blocks and dense, torch's dense and in chunks."""
    import numpy as np
    import torch

    import softmaxes as sm

    rng = np.random.default_rng(0)
    hidden, weight = (rng.standard_normal(s, dtype=np.float32) * np.float32(0.3) for s in ((n, d), (v, d)))
    target = rng.integers(0, v, n)
    h, w, t = (torch.from_numpy(x) for x in (hidden, weight, target))
    h.requires_grad_(True)
    w.requires_grad_(True)

    def ours():
        value, (d_hidden, d_weight, _) = sm.linear_cross_entropy_and_gradient(hidden, weight, target)
        return value, d_hidden, d_weight

    def dense():
        logits = hidden @ weight.T
        value, gradient = sm.cross_entropy_and_gradient(logits, target, gradient_out=logits)
        return value, gradient @ weight, gradient.T @ hidden

    def differentiated(loss):
        def call():
            h.grad = w.grad = None
            value = loss()
            value.backward()
            return value.detach().numpy(), h.grad.numpy(), w.grad.numpy()

        return call

    chunked = torch.nn.LinearCrossEntropyOptions()
    return {
        "softmaxes": ours,
        "softmaxes, torch tensors": differentiated(lambda: sm.linear_cross_entropy(h, w, t)),
        "softmaxes, dense": dense,
        "torch, dense": differentiated(lambda: torch.nn.functional.cross_entropy(h @ w.T, t)),
        "torch, chunked": differentiated(lambda: torch.nn.functional.linear_cross_entropy(h, w, t, options=chunked)),
    }


def differences(calls: dict[str, Call]) -> dict[str, float]:
    """Return how far value and gradients of each are from ours, relative to the largest entry."""
    import numpy as np

    reference = calls["softmaxes"]()
    return {
        name: max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(call(), reference, strict=True))
        for name, call in calls.items()
        if name != "softmaxes"
    }


def linear(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time value and gradients where the dense logits fit comfortably."""
    results = []
    for size in SIZES:
        calls = contenders(*size)
        far = differences(calls)  # which warms everybody up
        times = in_turn(calls, 3 if options.seconds < 4 else 7)
        results.append({"task": named(size), "times": times, "differences": far})
    return results


def wide(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time all contenders on an eighth of the goal's rows: torch's chunks take half a minute."""
    return [{"task": named(EIGHTH), "times": in_turn(contenders(*EIGHTH), 1 if options.seconds < 4 else 3)}]


def goal(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time the goal's size, in blocks and dense."""
    calls = contenders(*GOAL)
    chosen = {name: calls[name] for name in ("softmaxes", "softmaxes, dense")}
    return [{"task": named(GOAL), "times": in_turn(chosen, 1 if options.seconds < 4 else 2)}]


def named(size: tuple[int, int, int]) -> str:
    return f"linear cross-entropy {'x'.join(map(str, size))}"


def memory(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the peak of whole processes beside the budget, at the goal's size and an eighth."""
    from softmaxes.heads.blocks import DEFAULT_MAX_BYTES

    ours = ("softmaxes", "softmaxes, torch tensors")
    chunked = () if options.seconds < 4 else ("torch, chunked",)
    results = []
    for size, contenders in ((EIGHTH, (*ours, "softmaxes, dense", "torch, dense", *chunked)), (GOAL, ours)):
        found = {}
        for contender in contenders:
            command = [sys.executable, "-m", "benchmarks.heads_memory", *map(str, size), contender]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent)
            found[contender] = json.loads(done.stdout)
        for what, budget in (("process", {}), ("beside inputs and results", {"budget": DEFAULT_MAX_BYTES})):
            nbytes = budget | {contender: peaks[what] for contender, peaks in found.items()}
            megabytes = {name: round(n / 1e6, 1) for name, n in nbytes.items()}
            results.append({"task": f"peak in MB, {what}: {named(size)}", **megabytes})
    return results


def spherical(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time one exact step at 10,000 and 200,000 classes, and the same step with the dense matrix of outputs."""
    return [spherical_step(v, 256, n, options.seconds) for n in (1, 128) for v in (10_000, 200_000)]


def spherical_step(v: int, d: int, n: int, seconds: float) -> dict[str, Any]:
    import numpy as np

    from softmaxes import heads

    rng = np.random.default_rng(0)
    head = heads.SphericalHead(d, v, rng=0, dtype="float32")
    hidden, target = rng.standard_normal((n, d), dtype=np.float32), rng.integers(0, v, n)
    weight, rows = rng.standard_normal((v, d), dtype=np.float32) * 0.05, np.arange(n)

    def dense():
        o = hidden @ weight.T
        f = 0.5 * (1 + o) ** 2 + 0.5
        gradient = (1 + o) / f.sum(axis=1, keepdims=True)
        gradient[rows, target] -= (1 + o[rows, target]) / f[rows, target]
        gradient /= n
        d_hidden = gradient @ weight
        np.subtract(weight, 1e-3 * (gradient.T @ hidden), out=weight)
        return d_hidden

    calls = {"softmaxes": lambda: head.step(hidden, target), "dense": dense}
    times = measure.compare(calls, seconds, rounds=9)
    return {"task": f"spherical step {n}x{v}x{d}", "times": {name: asdict(spread) for name, spread in times.items()}}


def adaptive(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time one training step of ours with its own cut-offs, and of torch's with the same and with customary ones."""
    return [adaptive_step(v, 128, 256, options.seconds) for v in (10_000, 100_000)]


def adaptive_step(v: int, d: int, n: int, seconds: float) -> dict[str, Any]:
    import numpy as np
    import torch

    from softmaxes import heads

    rng = np.random.default_rng(0)
    frequency = 1 / np.arange(1, v + 1)
    target = rng.choice(v, n, p=frequency / frequency.sum())
    hidden = rng.standard_normal((n, d), dtype=np.float32)
    head = heads.AdaptiveSoftmax(d, v, frequency * 1e6, 0, batch_rows=n)
    h, t = torch.from_numpy(hidden).requires_grad_(True), torch.from_numpy(target)

    def rival(cutoffs):
        layer = torch.nn.AdaptiveLogSoftmaxWithLoss(d, v, list(cutoffs))
        optimiser = torch.optim.Adagrad(layer.parameters(), lr=0.1)

        def step():
            optimiser.zero_grad()
            layer(h, t).loss.backward()
            optimiser.step()

        return step

    calls = {
        "softmaxes": lambda: head.step(hidden, target),
        "torch, our cut-offs": rival(head.cutoffs),
        "torch, customary cut-offs": rival((v // 5, v // 2)),
    }
    times = {name: asdict(spread) for name, spread in measure.compare(calls, seconds, rounds=9).items()}
    return {"task": f"adaptive step {n}x{v}x{d}", "times": times, "cut-offs": head.cutoffs}


def race(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train our adaptive head and torch's for equal time on the network of the example; return the perplexities."""
    if options.text is None:
        raise SystemExit("the race needs --text FILE; examples/next_word/README.md says how to get one")
    from benchmarks.next_word import raced

    return [raced(options.text, options.race_seconds)]


PARTS = {part.__name__: part for part in (linear, wide, goal, memory, spherical, adaptive, race)}
RECORD = HERE / "results" / "heads.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.heads", description=__doc__)
    parser.add_argument("part", nargs="+", choices=PARTS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4.0, help="about how long to time a contender on a task")
    parser.add_argument("--text", type=Path, help="a text for the next-word race")
    parser.add_argument("--race-seconds", type=float, default=24.0)
    options = parser.parse_args()
    measure.pin(options.threads)
    # NumPy is loaded already, and its BLAS has counted more processors than it now has
    threadpoolctl.threadpool_limits(options.threads)
    made = {"machine": measure.machine(("numpy", "torch")), "threads": options.threads}
    before = earlier(made)
    for part in options.part:
        found = PARTS[part](options)
        for result in found:
            show(result)
        before = [r for r in before if r["task"] not in {f["task"] for f in found}] + found
        # after every part: what took minutes is not lost if the next one fails
        RECORD.write_text(json.dumps(made | {"results": before}, indent=1) + "\n")


def earlier(made: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results that stay beside new ones; the whole record speaks of one machine."""
    if not RECORD.exists():
        return []
    record = json.loads(RECORD.read_text())
    for what, now in made.items():
        if record[what] != now:
            raise SystemExit(
                f"{RECORD.name} was made with {what} {record[what]}, this is {now}: remove it to start anew"
            )
    return record["results"]


def show(result: dict[str, Any]) -> None:
    print(result["task"])
    for name, spread in result.get("times", {}).items():
        print(f"  {name:28s} {spread['median'] / 1e6:10.2f} ms  (best {spread['best'] / 1e6:.2f})")
    for name, found in result.items():
        if name not in ("task", "times"):
            print(f"  {name}: {found}")


if __name__ == "__main__":
    main()
