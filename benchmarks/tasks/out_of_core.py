"""Time and memory of a fit from a Parquet file, beside the same fit in memory.

    python benchmarks/tasks/out_of_core.py [--rows 5000000] [--features 50] [--classes 5] [--output FILE]

Each measurement is a process of its own, so that its peak of memory is its own; the file is in the system's cache. A
scan decodes the file into rows and does nothing with them. Both fits must come to the same bits. The limit of a fit out
of core is the scan that the copy needs, plus the fit in memory.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def write(path: str, rows: int, features: int, classes: int) -> None:
    """Write float32 features and labels drawn from a softmax of them."""
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    weights = 0.3 * rng.standard_normal((features, classes))
    writer = None
    for start in range(0, rows, 250_000):
        X = rng.standard_normal((min(250_000, rows - start), features), dtype=np.float32)
        logits = X @ weights
        y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
        table = pa.table({**{f"x{j}": X[:, j] for j in range(features)}, "y": y})
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def measured(what: str, path: str) -> dict[str, float | str]:
    """Return the seconds, the peak of memory in MB, and what was found."""
    from softmaxes import SoftmaxClassifier
    from softmaxes.cli.memory import peak_bytes
    from softmaxes.sources import Parquet

    source = Parquet(path, target="y")
    features = np.empty((source.n_rows, source.n_features), np.float32) if what == "in memory" else None
    if features is not None:
        start = 0
        for block in source.blocks(65_536):
            features[start : start + len(block)] = block.features
            start += len(block)
    began = time.perf_counter()
    if what == "scan":
        rows = sum(len(block) for block in source.blocks(65_536))
        found = {"rows": rows}
    else:
        classifier = SoftmaxClassifier(tol=1e-6)
        classifier.fit(source) if features is None else classifier.fit(features, source.classes[source.codes])
        found = {"passes": classifier.history_[-1].passes, "bits": classifier.coef_.tobytes().hex()[:64]}
    return {"seconds": round(time.perf_counter() - began, 2), "peak_MB": round(peak_bytes() / 1e6), **found}


def main() -> None:
    """Measure each in turn, in processes of their own, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(*options.measure)))
        return
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/rows.parquet"
        write(path, options.rows, options.features, options.classes)
        for what in ("scan", "out of core", "in memory"):
            command = [sys.executable, __file__, "--measure", what, path]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[what] = json.loads(done.stdout)
            print(f"{what:12s} {found[what]['seconds']:8.2f} s {found[what]['peak_MB']:6.0f} MB")
    assert found["out of core"].pop("bits") == found["in memory"].pop("bits"), "the models differ"
    if options.output:
        shape = {"rows": options.rows, "features": options.features, "classes": options.classes}
        options.output.write_text(json.dumps({"machine": platform.machine(), **shape, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
