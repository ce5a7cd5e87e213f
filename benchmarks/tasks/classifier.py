"""Time to the optimum: SoftmaxClassifier beside scikit-learn's LogisticRegression, on the same objective.

    python benchmarks/tasks/classifier.py [--seconds 10] [--only WORD ...] [--output FILE]

Distances from the optimum are measured for all alike, in float64, against the least value that anybody found. The
peer's times are those of the best of its solvers and dtypes, stopped by an oracle at the level. Ours come in two
kinds: when the level was passed (the same oracle), and the whole fit at default settings, which stops by itself once
1e-6 is proven.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import sklearn

if __name__ == "__main__":  # run as a file: look for modules in the repository, not among the tasks
    sys.path[0] = str(Path(__file__).parents[2])

from benchmarks.rivals import sklearn_logistic
from benchmarks.tasks.classifier_problems import PROBLEMS

import softmaxes
from softmaxes.classifier import SoftmaxClassifier
from softmaxes.sources.passes import Workers

LEVELS = (1e-2, 1e-3, 1e-6)


def objective_of(X: Any, y: np.ndarray, coef: np.ndarray, intercept: np.ndarray) -> float:
    """Return mean loss + ||W||^2 / (2 n) in float64: the objective at C=1 divided by n."""
    classes, codes = np.unique(y, return_inverse=True)
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
    assert len(classes) == max(2, len(coef))
    return total / X.shape[0] + 0.5 * float(np.vdot(coef, coef)) / X.shape[0]


def ours(X: Any, y: np.ndarray) -> tuple[SoftmaxClassifier, float]:
    """Return a fitted classifier at default settings, and the least seconds of three fits (one if it takes long)."""
    least = np.inf
    for _ in range(3):
        start = time.perf_counter()
        model = SoftmaxClassifier().fit(X, y)
        took = time.perf_counter() - start
        least = min(least, took)
        if took > 3:
            break
    return model, least


def row(name: str, seconds: float) -> dict[str, Any]:
    """Return one line of the table."""
    X, y = PROBLEMS[name]()
    model, fit_seconds = ours(X, y)
    exact = SoftmaxClassifier(tol=1e-10, max_iter=300).fit(X, y)
    star = min(exact.objective_, model.objective_)

    def distance(peer: Any) -> float:
        return (objective_of(X, y, peer.coef_, peer.intercept_) - star) / star

    peers = sklearn_logistic.best(X, y, distance, LEVELS, seconds)
    line: dict[str, Any] = {
        "problem": name,
        "shape": [*map(int, X.shape), len(model.classes_)],
        "seconds": fit_seconds,
        "passes": model.history_[-1].passes,
        "proven": model.optimality_.relative,
        "true": (model.objective_ - star) / star,
        "solver": repr(model.solver_),
    }
    for level in LEVELS:
        passed = next((i for i in model.history_ if (i.objective - star) / star <= level), None)
        scale = fit_seconds / max(model.history_[-1].seconds, 1e-9) if passed else np.nan
        mine = min(passed.seconds * max(scale, 1.0), fit_seconds) if passed else None
        peer = peers.get(level)
        line[f"{level:g}"] = {
            "ours": mine,
            "passes": passed.passes if passed else None,
            "peer": peer[0] if peer else None,
            "peer_is": peer[1] if peer else None,
            "ratio": peer[0] / mine if peer and mine else None,
        }
    return line


def show(line: dict[str, Any]) -> str:
    """Return a line as text."""
    cells = []
    for level in LEVELS:
        at = line[f"{level:g}"]
        mine = f"{at['ours']:.3f} ({at['passes']:.0f}p)" if at["ours"] is not None else "-"
        peer = f"{at['peer']:.3f} {at['peer_is'].split(',')[0]}" if at["peer"] is not None else "-"
        ratio = f"{at['ratio']:.1f}x" if at["ratio"] is not None else "-"
        cells.append(f"{level:g}: {mine} / {peer} = {ratio}")
    return (
        f"{line['problem']:30s} fit {line['seconds']:.3f} s, {line['passes']:.0f} passes, proven {line['proven']:.0e}, "
        f"true {line['true']:.0e} | " + " | ".join(cells)
    )


def main() -> None:
    """Run the problems and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="to spend on each of the peer's solvers and dtypes")
    parser.add_argument("--only", nargs="*", default=[], help="words of the problems to run")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    asked = parser.parse_args()
    with Workers() as workers:
        threads = workers.threads
    lines = []
    for name in PROBLEMS:
        if asked.only and not any(word in name for word in asked.only):
            continue
        try:
            line = row(name, asked.seconds)
        except (OSError, ImportError) as error:
            print(f"{name:30s} left out: {error}")
            continue
        lines.append(line)
        print(show(line), flush=True)
    for level in LEVELS:
        ratios = [line[f"{level:g}"]["ratio"] for line in lines if line[f"{level:g}"]["ratio"]]
        if ratios:
            mean = float(np.exp(np.mean(np.log(ratios))))
            missing = len(lines) - len(ratios)
            print(f"geometric mean at {level:g}: {mean:.2f}x over {len(ratios)}; {missing} not reached by the peer")
    if asked.output:
        facts = {
            "softmaxes": softmaxes.__version__,
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "machine": platform.processor() or platform.machine(),
            "threads": threads,
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "rows": lines,
        }
        asked.output.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
