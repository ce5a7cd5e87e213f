"""python -m benchmarks [task ...]: time every contender in one run, and write results/<task>.json.

A task is a file of benchmarks/tasks that lists tasks() ("core"), optionally with words that its names must hold:
"core:softmax float32". The other files there run by themselves, and say how in their first lines.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from benchmarks import measure

HERE = Path(__file__).resolve().parent


def parsed() -> argparse.Namespace:
    names = sorted(p.stem for p in (HERE / "tasks").glob("*.py") if "\ndef tasks(" in p.read_text())
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("task", nargs="*", default=names, help=f"of {', '.join(names)}; all by default")
    parser.add_argument("--threads", type=int, default=1, help="processors to use (default: 1)")
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long to time a contender on a task")
    parser.add_argument("--only", nargs="*", help="contenders (default: all that are installed)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder of the results")
    return parser.parse_args()


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def row(task, contenders, seconds):
    """Measure one task: None if nobody but us can do it in this form."""
    import numpy as np

    logits, target = task.logits(), task.target()
    calls = {name: contender.prepare(task, logits, target) for name, contender in contenders.items()}
    calls = {name: call for name, call in calls.items() if call is not None}
    if "softmaxes" not in calls:
        return None
    errors = {name: task.error(logits, call()) for name, call in calls.items()}
    wrong = [name for name, error in errors.items() if error is not None and not error < 1e6]
    if wrong:
        print(f"  {task.name}: {', '.join(wrong)} answer something else, and are not timed", file=sys.stderr)
    calls = {name: call for name, call in calls.items() if name not in wrong}
    reduces = task.operation == "logsumexp"
    calls["limit"] = measure.limit(logits, None if reduces else np.zeros_like(logits))
    times = measure.compare(calls, seconds)
    floor = times.pop("limit")
    peers = {name: spread.median for name, spread in times.items() if name != "softmaxes"}
    fastest = min(peers, key=peers.get) if peers else None
    return {
        "task": task.name,
        "group": task.group,
        "entries": task.entries,
        "limit": floor.median,
        "times": {name: asdict(spread) for name, spread in times.items()},
        "errors": {name: errors[name] for name in times},
        "fastest peer": fastest,
        "ratio": peers[fastest] / times["softmaxes"].median if fastest else None,
    }


def shown(result) -> str:
    per = result["entries"] if result["entries"] >= 100 else 1
    unit = "ns/entry" if per > 1 else "ns"
    cells = [f"limit {result['limit'] / per:.3g}"]
    for name, spread in result["times"].items():
        error = result["errors"][name]
        cells.append(f"{name} {spread['median'] / per:.3g}" + ("" if error is None else f" ({error:.2g} ULP)"))
    ratio = "" if result["ratio"] is None else f"  -> {result['ratio']:.2f}x {result['fastest peer']}"
    return f"{result['task']:48s} {unit}: " + ", ".join(cells) + ratio


def run(name: str, words: str, contenders, options) -> None:
    chosen = [
        t for t in import_module(f"benchmarks.tasks.{name}").tasks() if all(w in t.name.split() for w in words.split())
    ]
    results = []
    for task in chosen:
        if result := row(task, contenders, options.seconds):
            print(shown(result), flush=True)
            results.append(result)
    groups = defaultdict(list)
    for result in results:
        if result["ratio"]:
            groups[result["group"]].append(result["ratio"])
    means = {group: round(geometric_mean(ratios), 3) for group, ratios in groups.items()}
    print("\ngeometric means against the fastest peer of each row")
    for group, mean in means.items():
        print(f"  {group:48s} {mean:.2f}x")
    record = {
        "machine": measure.machine(("numpy", *(contender.PACKAGE for contender in contenders.values()))),
        "threads": options.threads,
        "unit": "nanoseconds a call; errors in ULP of the exact result, over the first rows",
        "bandwidth in GB/s": measure.bandwidth(),
        "means": means,
        "results": results,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    suffix = ("-" + "-".join(words.split()) if words else "") + (
        f"-{options.threads}-threads" if options.threads > 1 else ""
    )
    path = options.output / f"{name}{suffix}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"\nwrote {path}")


def main() -> None:
    options = parsed()
    measure.pin(options.threads)
    from benchmarks import rivals

    contenders = {n: m for n in rivals.NAMES if (not options.only or n in options.only) and (m := rivals.load(n))}
    for task in options.task:
        name, _, words = task.partition(":")
        run(name, words, contenders, options)


if __name__ == "__main__":
    main()
