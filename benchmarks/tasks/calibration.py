"""Time to the exact temperature: TemperatureScaling beside scikit-learn's fit of the same number.

    python benchmarks/tasks/calibration.py [--rows 1000000] [--classes 10] [--rounds 7] [--output FILE]

Both fit the same held-out logits, in float64 and float32, in turn. The error is that of log T against the root of the
loss's derivative, found by bisection in float64. The limit is one pass of exp over the logits, in blocks that stay in
the cache, times the passes made. scikit-learn's optimiser is private (sklearn.calibration._TemperatureScaling): the
public CalibratedClassifierCV spends more.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.calibration import _TemperatureScaling

if __name__ == "__main__":  # run as a file: look for modules in the repository, not among the tasks
    sys.path[0] = str(Path(__file__).parents[2])

from benchmarks.measure import compare

import softmaxes
from softmaxes.calibration import TemperatureScaling, TemperatureStatistics


def logits_and_labels(n: int, k: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that are 1.7 times too sharp, and labels drawn from the true ones."""
    rng = np.random.default_rng(0)
    z = 2.0 * rng.normal(size=(n, k))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    return (1.7 * z).astype(dtype), y


def exact(z: np.ndarray, y: np.ndarray) -> float:
    """Return the temperature at which the derivative of the loss changes sign, by bisection."""
    low, high = 0.1, 2.0
    for _ in range(45):
        beta = 0.5 * (low + high)
        low, high = (low, beta) if TemperatureStatistics.of(z, y, beta).slope > 0 else (beta, high)
    return 2.0 / (low + high)


def one_exp(rows: np.ndarray) -> float:
    """Exponentiate every number once."""
    scratch = np.empty(1 << 15)
    total = 0.0
    for start in range(0, len(rows), len(scratch)):
        part = rows[start : start + len(scratch)]
        total += float(np.exp(part, out=scratch[: len(part)])[0])
    return total


def row(n: int, k: int, dtype: type, rounds: int) -> dict[str, Any]:
    """Return one line of the table."""
    z, y = logits_and_labels(n, k, dtype)
    reference = exact(z.astype(np.float64), y)
    ours, theirs = TemperatureScaling().fit(z, y), _TemperatureScaling().fit(z, y)
    flat = z.astype(np.float64).reshape(-1)
    spread = compare(
        {
            "softmaxes": lambda: TemperatureScaling().fit(z, y),
            "scikit-learn": lambda: _TemperatureScaling().fit(z, y),
            "one exp": lambda: one_exp(flat),
        },
        seconds=600,
        rounds=rounds,
    )
    return {
        "dtype": np.dtype(dtype).name,
        "rows": n,
        "classes": k,
        "temperature": ours.temperature_,
        "passes": ours.n_iter_,
        "error": abs(np.log(ours.temperature_ / reference)),
        "error_scikit_learn": abs(float(np.log(1.0 / theirs.beta_ / reference))),
        "seconds": {
            name: {"median": s.median / 1e9, "lower": s.lower / 1e9, "upper": s.upper / 1e9}
            for name, s in spread.items()
        },
        "ratio": spread["scikit-learn"].median / spread["softmaxes"].median,
        "of_limit": ours.n_iter_ * spread["one exp"].median / spread["softmaxes"].median,
    }


def show(line: dict[str, Any]) -> str:
    """Return a line as text."""
    ours, theirs = line["seconds"]["softmaxes"], line["seconds"]["scikit-learn"]
    mine = f"{ours['median']:.2f} s ({ours['lower']:.2f} to {ours['upper']:.2f})"
    peer = f"{theirs['median']:.2f} s ({theirs['lower']:.2f} to {theirs['upper']:.2f})"
    return (
        f"{line['dtype']} {line['rows']:,} x {line['classes']}: {mine}, {line['passes']} passes, error "
        f"{line['error']:.0e} | scikit-learn {peer}, error {line['error_scikit_learn']:.0e} | "
        f"{line['ratio']:.1f}x, exp alone {line['of_limit']:.0%}"
    )


def main() -> None:
    """Run both dtypes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    asked = parser.parse_args()
    lines = []
    for dtype in (np.float64, np.float32):
        lines.append(row(asked.rows, asked.classes, dtype, asked.rounds))
        print(show(lines[-1]), flush=True)
    if asked.output:
        about = {"machine": platform.processor() or platform.machine(), "softmaxes": softmaxes.__version__}
        about |= {"numpy": np.__version__, "scikit-learn": sklearn.__version__, "python": platform.python_version()}
        asked.output.write_text(json.dumps({**about, "lines": lines}, indent=1) + "\n")


if __name__ == "__main__":
    main()
