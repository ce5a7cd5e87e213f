"""Time to draw classes from logits, beside torch and NumPy; one thread.

    python benchmarks/tasks/sampling.py [--rows 4096] [--seconds 1] [--output FILE]

One class a row of (rows, 32000) float32 logits: torch.distributions.Categorical(logits=...).sample(), torch.multinomial
of the softmax, and argmax of logits plus Gumbel noise in NumPy. One class of a vocabulary of 128,256 after top-p 0.9,
top-k 50, or both at temperature 0.7: NumPy with a full sort (what the code of many projects does). Logits are N(0, 1),
the hard case for top-p (thousands of classes are kept), and N(0, 16). The limit reads the logits once.

Before anything is timed, every contender's draws are held against the exact probabilities: chi-squared a degree of
freedom, which is near 1 for a right one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file: look for modules in the repository, not among the tasks
    sys.path[0] = str(Path(__file__).parents[2])

from benchmarks import measure

measure.pin(1)

import numpy as np  # noqa: E402 - libraries read the number of threads when they are imported
import torch  # noqa: E402 - after the pin, as above

import softmaxes  # noqa: E402 - after the pin, as above

torch.set_num_threads(1)

Sampler = Callable[[np.ndarray, np.random.Generator], np.ndarray]
VOCABULARY = 128_256
FILTERS: tuple[dict[str, Any], ...] = (
    {"top_p": 0.9},
    {"top_k": 50},
    {"temperature": 0.7, "top_k": 50, "top_p": 0.9},
)


def _categorical(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return torch.distributions.Categorical(logits=torch.from_numpy(z)).sample().numpy()


def _multinomial(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return torch.multinomial(torch.softmax(torch.from_numpy(z), -1), 1)[:, 0].numpy()


def _gumbel(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    with np.errstate(divide="ignore"):  # float32 noise is 0 now and then: that class wins, however unlikely it is
        return (z - np.log(rng.standard_exponential(z.shape, dtype=np.float32))).argmax(-1)


def _by_sorting(z: np.ndarray, rng: np.random.Generator, temperature=1.0, top_k=None, top_p=None) -> np.ndarray:
    """Return one class of one row, by sorting all of it."""
    scaled = z[0] / temperature
    order = np.argsort(-scaled)[:top_k]
    p = np.exp(scaled[order] - scaled[order[0]])
    p /= p.sum()
    if top_p is not None:
        count = np.searchsorted(np.cumsum(p), top_p) + 1
        order, p = order[:count], p[:count] / p[:count].sum()
    cumulative = np.cumsum(p)
    return order[[np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")]]


PLAIN: dict[str, Sampler] = {
    "softmaxes": softmaxes.sample,
    "torch Categorical": _categorical,
    "torch multinomial": _multinomial,
    "numpy Gumbel": _gumbel,
}


def chi_squared(sampler: Sampler) -> float:
    """Return chi-squared a degree of freedom of 40,000 draws from 100 classes."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    z = rng.standard_normal(100, dtype=np.float32)
    counts = np.bincount(sampler(np.tile(z, (40_000, 1)), rng), minlength=100)
    expected = softmaxes.softmax(z.astype(float)) * counts.sum()
    return float(((counts - expected) ** 2 / expected).sum() / 99)


def line_of(task: str, z: np.ndarray, calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, Any]:
    """Time calls beside the limit; times are nanoseconds an entry."""
    times = measure.compare({**calls, "limit": measure.limit(z, None)}, seconds)
    spread = {name: {k: v / z.size for k, v in asdict(found).items()} for name, found in times.items()}
    ratios = {name: spread[name]["median"] / spread["softmaxes"]["median"] for name in calls if name != "softmaxes"}
    cells = [f"{name} {found['median']:.3g} ({found['best']:.3g})" for name, found in spread.items()]
    faster = ", ".join(f"{ratio:.0f}x {name}" for name, ratio in ratios.items())
    print(f"{task}, ns an entry, median (best): {', '.join(cells)} -> {faster}", flush=True)
    return {"task": task, "nanoseconds an entry": spread, "ratios": ratios}


def main() -> None:
    """Run all tasks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long to time a contender on a task")
    parser.add_argument("--only", nargs="*", default=list(PLAIN), help="contenders on the first task")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    asked = parser.parse_args()
    errors = {name: chi_squared(PLAIN[name]) for name in asked.only}
    print("chi-squared a degree of freedom:", ", ".join(f"{name} {error:.2f}" for name, error in errors.items()))
    rng = np.random.default_rng(1)
    z = rng.standard_normal((asked.rows, 32_000), dtype=np.float32)
    calls = {name: lambda name=name: PLAIN[name](z, rng) for name in asked.only}
    lines = [line_of(f"one class a row of {asked.rows}x32000", z, calls, asked.seconds)]
    for scale in (1, 4):
        row = rng.standard_normal((1, VOCABULARY), dtype=np.float32) * np.float32(scale)
        for options in FILTERS:
            words = " ".join(f"{name}={value}" for name, value in options.items())
            pair = {
                "softmaxes": lambda row=row, options=options: softmaxes.sample(row, rng, **options),
                "numpy sort": lambda row=row, options=options: _by_sorting(row, rng, **options),
            }
            lines.append(line_of(f"{words} of {VOCABULARY}, logits N(0, {scale**2})", row, pair, asked.seconds))
    if asked.output:
        about = {"machine": measure.machine(("numpy", "torch")), "threads": 1, "chi-squared": errors}
        asked.output.write_text(json.dumps({**about, "lines": lines}, indent=1) + "\n")
        print(f"wrote {asked.output}")


if __name__ == "__main__":
    main()
