"""Time to the optimum: SoftmaxClassifier beside LogisticRegression of scikit-learn and scikit-learn-intelex.

    python benchmarks/tasks/classifier.py [--only WORD ...] [--seconds 10] [--output FILE]

All minimise the same objective, C = 1. Distances from its least value are measured for all alike, in float64, against
the least that anybody found. At each level every rival is tuned (`benchmarks.tuning`): each solver, each precision, the
fewest iterations that reach the level. We are held to the same rule, with the settings that we choose ourselves; the
fit at default settings, which knows no f* and stops once 1e-6 is proven, is given beside it. The best rival and we then
take turns; the times are medians. Where no rival reaches a level, each was given at least the time that is shown, and
the ratio is a lower bound.

Rows of problems that were not asked for stay in the file as they are, so that the table can be made in pieces.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import subprocess
import sys
import time
from importlib import import_module
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

if __name__ == "__main__":  # run as a file: look for modules in the repository, not among the tasks
    sys.path[0] = str(Path(__file__).parents[2])

from benchmarks import measure, tuning
from benchmarks.tasks.classifier_problems import PROBLEMS

import softmaxes
from softmaxes.classifier import SoftmaxClassifier
from softmaxes.sources.passes import Workers

LEVELS = (1e-2, 1e-3, 1e-6)
RIVALS = ("sklearn_logistic", "sklearnex_logistic")
RESULTS = Path(__file__).parents[1] / "results" / "classifier.json"


def objective_of(X: Any, y: np.ndarray, coef: np.ndarray, intercept: np.ndarray) -> float:
    """Return mean loss + ||W||^2 / (2 n) in float64: the objective at C=1 divided by n."""
    _, codes = np.unique(y, return_inverse=True)
    coef = coef.astype(np.float64)
    total = 0.0
    for start in range(0, X.shape[0], 4096):
        rows = slice(start, start + 4096)
        logits = X[rows].astype(np.float64) @ coef.T + intercept
        if len(coef) == 1:
            logits = np.column_stack([np.zeros(len(logits)), logits])
        top = logits.max(axis=1)
        lse = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
        total += float(np.sum(lse - logits[np.arange(len(lse)), codes[rows]]))
    return total / X.shape[0] + 0.5 * float(np.vdot(coef, coef)) / X.shape[0]


def in_turn(calls: list[Any], seconds: float) -> list[float]:
    """Return the median seconds of each call, all called in turn for about so many seconds."""
    times: list[list[float]] = [[] for _ in calls]
    began = time.perf_counter()
    while not times[0] or (len(times[0]) < 25 and time.perf_counter() - began < seconds):
        for call, took in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            took.append(time.perf_counter() - start)
    return [median(took) for took in times]


def rivals() -> list[Any]:
    """Return the modules of the rivals that are installed."""
    found = []
    for name in RIVALS:
        try:
            found.append(import_module(f"benchmarks.rivals.{name}"))
        except ImportError as error:
            print(f"{name} left out: {error}", file=sys.stderr)
    return found


def row(name: str, seconds: float) -> dict[str, Any]:
    """Return one line of the table."""
    X, y = PROBLEMS[name]()
    began = time.perf_counter()
    model = SoftmaxClassifier().fit(X, y)
    took = time.perf_counter() - began
    exact = copy.deepcopy(model).set_params(warm_start=True, tol=1e-10, max_iter=100).fit(X, y)
    star = min(objective_of(X, y, clf.coef_, clf.intercept_) for clf in (exact, model))

    def distance(peer: Any) -> float:
        return (objective_of(X, y, peer.coef_, peer.intercept_) - star) / abs(star)

    settings = chain.from_iterable(rival.settings(X, len(model.classes_)) for rival in rivals())
    peers = tuning.best(settings, X, y, distance, LEVELS, seconds)
    line: dict[str, Any] = {
        "problem": name,
        "shape": [*map(int, X.shape), len(model.classes_)],
        "seconds": took if took > seconds else in_turn([lambda: SoftmaxClassifier().fit(X, y)], seconds / 3)[0],
        "passes": model.history_[-1].passes,
        "proven": model.optimality_.relative,
        "true": distance(model),
        "solver": repr(model.solver_),
        **memory(name),
    }
    for level in LEVELS:
        near = next((at for at in model.history_ if at.objective <= star + level * abs(star)), None)
        if near is None:
            line[f"{level:g}"] = dict.fromkeys(("ours", "passes", "peer", "peer_is", "ratio"))
            continue
        peer = peers[level]
        mine, theirs, passes = near.seconds, peer.seconds, near.passes
        if mine < seconds:  # else the record of the fit tells it
            iterations, passes = _passed(X, y, max(1, near.iteration), lambda clf, level=level: distance(clf) <= level)

            def fit(iterations: int = iterations) -> None:
                SoftmaxClassifier(max_iter=iterations).fit(X, y)

            mine, theirs = in_turn([fit, peer.call], seconds / 2)
            theirs = theirs if peer.reached else peer.seconds
        line[f"{level:g}"] = {
            "ours": mine,
            "passes": passes,
            "peer": theirs,
            "peer_is": peer.name,
            "ratio": theirs / mine,
            "at_least": not peer.reached,
        }
    return line


def _passed(X: Any, y: np.ndarray, iterations: int, there: Any) -> tuple[int, float]:
    """Return the fewest iterations, at least so many, after which a fit is there, and its passes over the data."""
    while True:
        trial = SoftmaxClassifier(max_iter=iterations).fit(X, y)
        if there(trial) or trial.optimality_.met:
            return iterations, trial.history_[-1].passes
        iterations += 1


def memory(name: str) -> dict[str, float]:
    """Return the bytes of X and the peak of a fit, measured in a process of their own."""
    program = [sys.executable, str(Path(__file__).with_name("classifier_memory.py")), name]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def show(line: dict[str, Any]) -> str:
    """Return a line as text."""
    cells = []
    for level in LEVELS:
        at = line[f"{level:g}"]
        if at["ours"] is None:
            cells.append(f"{level:g}: -")
            continue
        bound = "> " if at["at_least"] else ""
        cells.append(
            f"{level:g}: {at['ours']:.4f} ({at['passes']:.0f}p) : {bound}{at['peer']:.4f} = {bound}{at['ratio']:.2f}x "
            f"[{at['peer_is']}]"
        )
    return (
        f"{line['problem']:30s} fit {line['seconds']:.4f} s, {line['passes']:.0f} passes, proven {line['proven']:.0e}, "
        f"true {line['true']:.0e}, peak {line['peak / X']:.2f} X | " + " | ".join(cells)
    )


def means(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Return the geometric mean of the ratios at each level."""
    found = {}
    for level in LEVELS:
        ratios = [line[f"{level:g}"]["ratio"] for line in lines if line[f"{level:g}"]["ratio"]]
        if ratios:
            found[f"to {level:g}, {len(ratios)} problems"] = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return found


def main() -> None:
    """Run the problems and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="words of the problems to run")
    parser.add_argument("--seconds", type=float, default=10.0, help="the longest that one fit of a rival may take")
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON file to write or to complete")
    asked = parser.parse_args()
    lines = {}
    if asked.output.exists():
        lines = {line["problem"]: line for line in json.loads(asked.output.read_text())["rows"]}
    with Workers() as workers:
        threads = workers.threads
    for name in PROBLEMS:
        if asked.only and not any(word in name for word in asked.only):
            continue
        try:
            lines[name] = row(name, asked.seconds)
        except (OSError, ImportError) as error:
            print(f"{name:30s} left out: {error}")
            continue
        print(show(lines[name]), flush=True)
        rows = [lines[known] for known in PROBLEMS if known in lines]
        facts = {
            "machine": measure.machine(("numpy", *(rival.PACKAGE for rival in rivals()))),
            "softmaxes": softmaxes.__version__,
            "threads": threads,
            "means": means(rows),
            "rows": rows,
        }
        asked.output.write_text(json.dumps(facts, indent=1) + "\n")
    for level, mean in means(list(lines.values())).items():
        print(f"geometric mean {level}: {mean:.2f}x")


if __name__ == "__main__":
    main()
