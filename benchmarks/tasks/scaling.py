"""The cost model of docs/scaling.md against measurements: passes of several shapes, out of core and on workers.

    python benchmarks/tasks/scaling.py [--output FILE]

Passes on one thread are measured in seconds of the processor, so that a busy machine does not spoil them; others by the
clock. The model says that a pass over n rows of d features of b bytes and K classes takes, on one thread,

    n (d b / M + 4 d K / F + K E + R) seconds

and on w workers with P partitions an equal share of that, plus P (L + 8 (d + 1) K / N), a task and its sums. The four
constants of a row are fitted to passes on one thread over half of the shapes; L and N are those of tasks with next to
no rows. All else is predicted, and printed beside what was measured: the other shapes, more rows, two threads, one and
two workers.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import measure

RESULTS = Path(__file__).resolve().parents[1] / "results" / "scaling.json"
NUMBERS = 24_000_000
"""Features in a file: about 100 MB, far beyond the caches, and read from the system's."""

FITTED = ((20, 3), (50, 30), (100, 10), (200, 100), (400, 4), (400, 400))
OTHERS = ((30, 5), (50, 5), (100, 50), (300, 20), (300, 200), (800, 10))
ON_WORKERS = ((50, 5), (100, 50), (300, 200))
ROUNDS = 5


def rows_for(d: int, K: int, share: float = 1.0) -> int:
    """Return how many rows to take: a file's worth, or fewer where the products take long."""
    return int(min(NUMBERS / d, 2e10 / (4 * d * K)) * share) // 64 * 64


def data(n: int, d: int, K: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d), dtype=np.float32), rng.integers(K, size=n)


def partition(n: int, d: int, K: int, seed: int) -> tuple[np.ndarray, np.ndarray, None]:
    return (*data(n, d, K, seed), None)


def seconds_of(source, K: int, workers, clock=time.perf_counter) -> float:
    """Return the best of some evaluations at one θ."""
    from softmaxes.objective import Objective

    with workers:
        objective = Objective(source, K, l2=1e-6, workers=workers)
        theta = 0.1 * np.random.default_rng(1).standard_normal((objective.n_outputs, objective.n_features + 1))
        times = []
        for _ in range(ROUNDS):
            began = clock()
            objective.evaluate(theta)
            times.append(clock() - began)
    return min(times)


def from_file(d: int, K: int, threads: int, share: float = 1.0) -> float:
    """Return the seconds of a pass over a file."""
    from softmaxes.sources import Memmap
    from softmaxes.sources.passes import Workers

    X, y = data(rows_for(d, K, share), d, K)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "X.npy", X)
        del X
        clock = time.process_time if threads == 1 else time.perf_counter
        return seconds_of(Memmap(Path(folder) / "X.npy", y), K, Workers(threads), clock)


def on_workers(client, d: int, K: int, n: int, partitions: int) -> float:
    """Return the seconds of a pass over partitions of random rows that the workers hold."""
    from softmaxes.sources import Partitions

    parts = [client.submit(partition, n // partitions, d, K, seed, pure=False) for seed in range(partitions)]
    source = Partitions(client, parts, np.arange(K))
    return seconds_of(source, K, source.workers())


def terms(d: int, K: int) -> list[float]:
    """Return what the constants of a row are multiplied by."""
    return [4.0 * d, 4.0 * d * K, K, 1.0]


def main() -> None:
    """Measure, fit the constants, and print predictions beside measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    from distributed import Client, LocalCluster
    from scipy.optimize import nnls

    fitted = {shape: from_file(*shape, threads=1) for shape in FITTED}
    # Relative errors count, or the largest shape alone would.
    matrix = np.array([np.array(terms(*shape)) * rows_for(*shape) / fitted[shape] for shape in FITTED])
    constants = nnls(matrix, np.ones(len(FITTED)))[0]

    def predicted(d: int, K: int, n: int) -> float:
        return n * float(np.dot(constants, terms(d, K)))

    found = []

    def note(what: str, d: int, K: int, n: int, measured: float, expected: float) -> None:
        found.append({"what": what, "d": d, "K": K, "n": n, "measured": measured, "predicted": expected})
        print(f"{what:22s} n={n:8d} d={d:4d} K={K:4d}  {measured:7.4f} s, predicted {expected:7.4f} s", flush=True)

    for d, K in FITTED:
        note("fitted", d, K, rows_for(d, K), fitted[d, K], predicted(d, K, rows_for(d, K)))
    for d, K in OTHERS:
        note("one thread", d, K, rows_for(d, K), from_file(d, K, 1), predicted(d, K, rows_for(d, K)))
    for d, K in ON_WORKERS:
        more = rows_for(d, K, 3.0)
        note("one thread, more rows", d, K, more, from_file(d, K, 1, 3.0), predicted(d, K, more))
        note("two threads", d, K, more, from_file(d, K, 2, 3.0), predicted(d, K, more) / 2)
    task = {}
    for workers in (1, 2):
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
            ) as cluster,
            Client(cluster) as client,
        ):
            small, large = (
                (on_workers(client, d, K, 64 * 64, 64) - on_workers(client, d, K, 4 * 64, 4)) / 60
                for d, K in ((2, 2), (300, 200))
            )
            task[workers] = (small, (large - small) / (8 * 301 * 200))
            for d, K in ON_WORKERS:
                for partitions in (4, 32):
                    n = rows_for(d, K, 3.0) // partitions * partitions
                    latency, a_byte = task[workers]
                    expected = predicted(d, K, n) / workers + partitions * (latency + 8 * (d + 1) * K * a_byte)
                    what = f"{workers} workers, {partitions} parts"
                    note(what, d, K, n, on_workers(client, d, K, n, partitions), expected)
    text = {
        "machine": measure.machine(("numpy", "distributed")),
        "bytes a second, M": 1 / constants[0] if constants[0] else None,
        "operations a second, F": 1 / constants[1] if constants[1] else None,
        "seconds a class, E": constants[2],
        "seconds a row, R": constants[3],
        "seconds a task, L": {workers: latency for workers, (latency, _) in task.items()},
        "bytes of sums a second, N": {workers: 1 / a_byte for workers, (_, a_byte) in task.items()},
        "passes": found,
    }
    print(json.dumps({key: value for key, value in text.items() if key != "passes"}, indent=1))
    options.output.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
