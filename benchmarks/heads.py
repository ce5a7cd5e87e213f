"""python -m benchmarks.heads: many classes, beside torch in the same run; writes results/heads.json.

--text FILE adds the next-word race: perplexity after equal processor time, our adaptive softmax and torch's on the same
network (examples/next_word/README.md says how to get a text).
"""

from __future__ import annotations

import argparse
import json
import sys
import tracemalloc
from dataclasses import asdict
from pathlib import Path
from time import process_time
from typing import Any

import threadpoolctl

from benchmarks import measure

HERE = Path(__file__).resolve().parent
# rows, classes, features of linear_cross_entropy: where the dense logits still fit comfortably, and the goal's own size
SIZES = ((8192, 1000, 256), (4096, 32_000, 128), (2048, 32_000, 512))
GOAL = (8192, 128_000, 512)


def linear(n: int, v: int, d: int, seconds: float) -> dict[str, Any]:
    """Time value and gradients: dense, in blocks, and torch's two versions. Extra memory of ours is measured too."""
    import numpy as np
    import torch

    import softmaxes as sm

    rng = np.random.default_rng(0)
    hidden, weight = (rng.standard_normal(s, dtype=np.float32) * 0.3 for s in ((n, d), (v, d)))
    target = rng.integers(0, v, n)
    h, w, t = (torch.from_numpy(x) for x in (hidden, weight, target))
    h.requires_grad_(True)
    w.requires_grad_(True)

    def dense():
        logits = hidden @ weight.T
        value, gradient = sm.cross_entropy_and_gradient(logits, target, gradient_out=logits)
        return value, gradient @ weight, gradient.T @ hidden

    def by_torch(**options):
        h.grad = w.grad = None
        value = (
            torch.nn.functional.linear_cross_entropy(h, w, t, **options)
            if options
            else torch.nn.functional.cross_entropy(h @ w.T, t)
        )
        value.backward()
        return value.detach().numpy(), h.grad.numpy(), w.grad.numpy()

    def ours():
        value, (d_hidden, d_weight, _) = sm.linear_cross_entropy_and_gradient(hidden, weight, target)
        return value, d_hidden, d_weight

    calls = {"softmaxes": ours}
    if n * v <= 2**28:
        calls |= {"softmaxes, dense": dense, "torch, dense": by_torch}
    calls["torch, chunked"] = lambda: by_torch(options=torch.nn.LinearCrossEntropyOptions())
    reference = ours()
    differences = {
        name: max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(call(), reference, strict=True))
        for name, call in calls.items()
    }
    tracemalloc.start()
    kept = ours()
    peak = tracemalloc.get_traced_memory()[1] - sum(np.asarray(x).nbytes for x in kept)
    tracemalloc.stop()
    times = {name: asdict(spread) for name, spread in measure.compare(calls, seconds, rounds=5).items()}
    return {
        "task": f"linear cross-entropy {n}x{v}x{d}",
        "times": times,
        "differences": differences,
        "extra bytes": peak,
    }


def spherical(v: int, d: int, n: int, seconds: float) -> dict[str, Any]:
    """Time one exact step, and the same step with the dense matrix of outputs."""
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


def adaptive(v: int, d: int, n: int, seconds: float) -> dict[str, Any]:
    """Time one training step of ours with its own cut-offs, and of torch's with the same and with customary ones."""
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


def race(path: Path, seconds: float, vocabulary: int = 10_000, d: int = 128, n: int = 256) -> dict[str, Any]:
    """Train our adaptive head and torch's for equal time on the network of the example; return the perplexities."""
    sys.path.insert(0, str(HERE.parent / "examples" / "next_word"))
    import network
    import numpy as np
    import text
    import torch

    from softmaxes import heads

    corpus = text.read(path, vocabulary, 4)
    judged = slice(0, 20_000)

    def run(make_step):
        rng = np.random.default_rng(0)
        net = network.Network(len(corpus.words), 4, 64, d, rng)
        step, loss = make_step(rng)
        spent, order = 0.0, rng.permutation(len(corpus.training))
        place = 0
        while spent < seconds:
            rows = order[place : place + n]
            place = 0 if place + n >= len(order) else place + n
            start = process_time()
            contexts = corpus.training.contexts[rows]
            hidden = net.hidden(contexts)
            net.step(contexts, hidden, step(hidden, corpus.training.following[rows]))
            spent += process_time() - start
        held = net.hidden(corpus.held_out.contexts[judged])
        return float(np.exp(loss(held, corpus.held_out.following[judged])))

    def ours(rng):
        head = heads.AdaptiveSoftmax(d, len(corpus.words), corpus.counts, rng, batch_rows=n)
        return lambda h, t: head.step(h, t)[1], head.loss

    def rival(rate, cutoffs):
        def make(rng):
            torch.manual_seed(0)
            order = np.argsort(-corpus.counts, kind="stable")
            rank = np.empty(len(order), np.int64)
            rank[order] = np.arange(len(order))
            layer = torch.nn.AdaptiveLogSoftmaxWithLoss(d, len(corpus.words), cutoffs)
            optimiser = torch.optim.Adagrad(layer.parameters(), lr=rate)

            def step(hidden, following):
                h = torch.from_numpy(hidden).requires_grad_(True)
                optimiser.zero_grad()
                layer(h, torch.from_numpy(rank[following])).loss.backward()
                optimiser.step()
                return h.grad.numpy()

            def loss(hidden, following):
                with torch.no_grad():
                    return float(layer(torch.from_numpy(hidden), torch.from_numpy(rank[following])).loss)

            return step, loss

        return make

    found = {"softmaxes": run(ours)}
    for rate in (0.03, 0.1):
        for cutoffs in ([200, 2000], [2000]):
            found[f"torch, Adagrad {rate}, cut-offs {cutoffs}"] = run(rival(rate, cutoffs))
    return {"task": f"next word, {seconds:g} s of training", "perplexity": found}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.heads", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4.0, help="about how long to time a contender on a task")
    parser.add_argument("--goal", action="store_true", help=f"also the size of the goal, {GOAL} (minutes)")
    parser.add_argument("--text", type=Path, help="a text for the next-word race")
    parser.add_argument("--race-seconds", type=float, default=24.0)
    options = parser.parse_args()
    measure.pin(options.threads)
    # NumPy is loaded already, and its BLAS has counted more processors than it now has
    threadpoolctl.threadpool_limits(options.threads)
    results = [linear(*size, options.seconds) for size in SIZES]
    if options.goal:
        results.append(linear(*GOAL, options.seconds))
    results += [spherical(v, 256, 128, options.seconds) for v in (10_000, 200_000)]
    results += [adaptive(v, 128, 256, options.seconds) for v in (10_000, 100_000)]
    if options.text:
        results.append(race(options.text, options.race_seconds))
    for result in results:
        print(result["task"])
        for name, spread in result.get("times", {}).items():
            print(f"  {name:28s} {spread['median'] / 1e6:10.2f} ms  (best {spread['best'] / 1e6:.2f})")
        for name in ("extra bytes", "cut-offs", "differences", "perplexity"):
            if name in result:
                print(f"  {name}: {result[name]}")
    record = {"machine": measure.machine(("numpy", "torch")), "threads": options.threads, "results": results}
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "heads.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
