"""python -m benchmarks.summary: the README's table of speed, made from results/core.json.

Each cell is the geometric mean, over shapes, of the fastest peer's time divided by ours: above 1 we lead them all.
"""

from __future__ import annotations

import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results" / "core.json"
COLUMNS = {"rows warm": "rows, `out=`", "rows fresh": "rows, new array", "axis warm": "other axis, `out=`",
           "axis fresh": "other axis, new array", "tiny fresh": "ten numbers"}  # fmt: skip


def summary(record: dict) -> str:
    """Return the table in Markdown, with the machine and the rivals beneath."""
    found: dict[str, dict[str, float]] = {}
    for group, mean in record["means"].items():
        operation, dtype, kind = group.split(" ", 2)
        found.setdefault(f"`{operation}` {dtype}", {})[kind] = mean
    lines = [["geometric mean against the fastest peer", *COLUMNS.values()], [":--", *["--:"] * len(COLUMNS)]]
    for name, cells in found.items():
        lines.append([name, *(f"{cells[kind]:.1f}×" if kind in cells else "" for kind in COLUMNS)])
    machine = record["machine"]
    peers = [f"{name} {version}" for name, version in machine["versions"].items() if name not in ("softmaxes", "numpy")]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    threads = "one thread" if record["threads"] == 1 else f"{record['threads']} threads"
    behind = [f"{r['task']} ({r['ratio']:.2f}×)" for r in record["results"] if r["ratio"] and r["ratio"] < 1]
    return (
        f"{table}\n\n{machine['processor']}, {machine['instruction set']}, {threads}; peers: {', '.join(peers)}. "
        f"Single rows behind the fastest peer: {', '.join(behind) or 'none'}."
    )


if __name__ == "__main__":
    print(summary(json.loads(RESULTS.read_text())))
