"""Fits from a Parquet file larger than their memory, on one machine and on workers, beside the same fit in memory.

    python benchmarks/tasks/out_of_core.py [--rows 5000000] [--features 50] [--classes 5] [--file FILE] [--only NAME]

Each measurement is a process of its own, so that its peak of memory is its own; the file is in the system's cache.

    scan         decode the file into rows and do nothing with them
    out of core  fit from the file: the copy, a scan of the copy, and the fit from it
    in memory    the same fit, its rows in memory; both must come to the same bits
    sgd          the rival, from the same copy, until its loss on rows held out has long stopped falling
    shell        softmaxes fit FILE --target y --memory 700MB: everything, profile and scores included
    here         softmaxes fit FILE --target y --holdout 0
    workers      the same with --workers 2
    killed       the same, and one of the workers is killed (-9) in mid-fit (asked for with workers, they are compared)

Results are added to benchmarks/results/out_of_core.json as they come, so that a part of them can be measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import measure

RESULTS = Path(__file__).resolve().parents[1] / "results" / "out_of_core.json"
HELD = 20_000
PLATEAU = 1e-3
"""The rival has reached its plateau where its loss is within this share of the best that it ever has."""


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
        writer = writer or parquet.ParquetWriter(path, table.schema, use_dictionary=["y"])
        writer.write_table(table)
    assert writer is not None
    writer.close()


def scan(path: str) -> dict:
    from softmaxes.sources import Parquet

    source = Parquet(path, target="y")
    began = time.perf_counter()
    rows = sum(len(block) for block in source.blocks(65_536))
    return {"seconds": time.perf_counter() - began, "rows": rows}


def out_of_core(path: str) -> dict:
    from softmaxes import SoftmaxClassifier
    from softmaxes.sources import Parquet, spilled

    began = time.perf_counter()
    with spilled(Parquet(path, target="y")) as copy:
        copied = time.perf_counter()
        total = sum(float(block.features[0, 0]) for block in copy.blocks(4096))
        scanned = time.perf_counter()
        classifier = SoftmaxClassifier(tol=1e-6).fit(copy)
        fitted = time.perf_counter()
    return {
        "copy_seconds": copied - began,
        "scan_of_copy_seconds": scanned - copied,
        "fit_from_copy_seconds": fitted - scanned,
        "seconds": fitted - scanned + copied - began,
        "first_numbers": total,
        **found(classifier),
    }


def in_memory(path: str) -> dict:
    from softmaxes import SoftmaxClassifier
    from softmaxes.sources import Parquet

    source = Parquet(path, target="y")
    features = np.empty((source.n_rows, source.n_features), np.float32)
    start = 0
    for block in source.blocks(65_536):
        features[start : start + len(block)] = block.features
        start += len(block)
    labels = source.classes[source.codes]
    began = time.perf_counter()
    classifier = SoftmaxClassifier(tol=1e-6).fit(features, labels)
    return {"seconds": time.perf_counter() - began, **found(classifier)}


def found(classifier) -> dict:
    return {
        "passes": classifier.history_[-1].passes,
        "proven_within": classifier.optimality_.relative,
        "bits": classifier.coef_.tobytes().hex()[:64],
    }


def sgd(path: str) -> dict:
    from benchmarks.rivals import sklearn_sgd

    from softmaxes import SoftmaxClassifier
    from softmaxes.sources import Parquet, spilled

    with spilled(Parquet(path, target="y")) as copy:
        first = copy.block(0, HELD)
        classifier = SoftmaxClassifier(tol=1e-6).fit(copy)
        p = classifier.predict_proba(first.features)[np.arange(HELD), first.targets]

        def blocks():
            return ((block.features, block.targets) for block in copy.blocks(100_000))

        trail = list(sklearn_sgd.trail(blocks, np.arange(len(copy.classes)), (first.features, first.targets), 150.0))
    best = min(loss for _, loss in trail)
    reached = next(spent for spent, loss in trail if loss <= best * (1 + PLATEAU))
    return {"seconds_to_plateau": reached, "log_loss": best, "log_loss_ours": float(-np.log(p).mean())}


def shell(path: str, folder: str, *options: str, kill: bool = False) -> dict:
    """Run the command; its peak of memory is read from outside, of all its processes."""
    model, checkpoint = f"{folder}/model", Path(folder, "checkpoint")
    command = [sys.executable, "-m", "softmaxes", "fit", path, "--target", "y", "--model", model, *options]
    if kill:
        command += ["--checkpoint", str(checkpoint)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak, killed = 0, False
    while process.poll() is None:
        peak = max(peak, peak_of(process.pid))
        if kill and not killed and checkpoint.exists() and checkpoint.stat().st_size > 12_000:
            os.kill(workers_of(process.pid)[0], 9)
            killed = True
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    told = process.communicate()[0]
    assert process.returncode == 0, told
    assert killed == kill
    import softmaxes

    coef = softmaxes.load(model).classifier.coef_
    proven = re.search(r"within (\S+) of the best", told)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # of all its processes: each is waited for by its parent
    return {
        "seconds": seconds,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "peak_MB": round(peak / 1e6),
        "proven_within": float(proven[1]) if proven else None,
        "coef": coef.astype(float).ravel().tolist(),
    }


def peak_of(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    peak = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(peak[1]) * 1024 if peak else 0


def workers_of(process: int) -> list[int]:
    """Return the processes that multiprocessing has spawned for a process."""
    threads = Path(f"/proc/{process}/task").iterdir()
    children = {int(child) for thread in threads for child in (thread / "children").read_text().split()}
    names = {child: Path(f"/proc/{child}/cmdline").read_text() for child in children}
    return sorted(child for child, name in names.items() if "spawn_main" in name)


def measured(name: str, path: str) -> dict:
    """Return what one measurement finds; those of the shell are processes of their own already."""
    with tempfile.TemporaryDirectory() as folder:
        match name:
            case "shell":
                return shell(path, folder, "--memory", "700MB")
            case "here":
                return shell(path, folder, "--holdout", "0")
            case "workers":
                return shell(path, folder, "--holdout", "0", "--workers", "2")
            case "killed":
                return shell(path, folder, "--holdout", "0", "--workers", "2", kill=True)
    from softmaxes.cli.memory import peak_bytes

    result = {"scan": scan, "out of core": out_of_core, "in memory": in_memory, "sgd": sgd}[name](path)
    return {**result, "peak_MB": round(peak_bytes() / 1e6)}


NAMES = ("scan", "out of core", "in memory", "sgd", "shell", "here", "workers", "killed")


def judged(results: dict) -> dict:
    """Return the ratios that matter, of those measurements that are there."""
    ratios = {}
    if {"scan", "out of core", "in memory"} <= results.keys():
        fit, whole = results["out of core"], results["in memory"]
        assert fit["bits"] == whole["bits"], "the models differ"
        ratios["fit from the copy, in scans of the file"] = fit["fit_from_copy_seconds"] / results["scan"]["seconds"]
        ratios["fit from the copy, in scans of the copy"] = fit["fit_from_copy_seconds"] / fit["scan_of_copy_seconds"]
        ratios["speed after the copy, of that in memory"] = whole["seconds"] / fit["fit_from_copy_seconds"]
    if {"out of core", "sgd"} <= results.keys():
        ratios["sgd to its plateau, in fits from the copy"] = (
            results["sgd"]["seconds_to_plateau"] / results["out of core"]["fit_from_copy_seconds"]
        )
        ratios["sgd to its plateau, in whole fits"] = (
            results["sgd"]["seconds_to_plateau"] / results["out of core"]["seconds"]
        )
    if {"here", "workers"} <= results.keys():
        ratios["two workers, in times of one process"] = results["workers"]["seconds"] / results["here"]["seconds"]
    if all("coef" in results.get(name, {}) for name in ("killed", "workers")):
        a, b = (np.array(results[name]["coef"]) for name in ("killed", "workers"))
        ratios["largest change of a coefficient by killing a worker"] = float(np.abs(a - b).max())
    return ratios


def main() -> None:
    """Measure each in turn, in processes of their own, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=NAMES, choices=NAMES)
    parser.add_argument("--file", help="the Parquet file: written if it is not there, and kept")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(*options.measure)))
        return
    shape = {"rows": options.rows, "features": options.features, "classes": options.classes}
    known = json.loads(options.output.read_text()) if options.output.exists() else {}
    results, ratios = (known["results"], known["ratios"]) if known.get("shape") == shape else ({}, {})
    versions = measure.machine(("numpy", "pyarrow", "scikit-learn", "dask", "distributed"))
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or f"{folder}/rows.parquet"
        if not Path(path).exists():
            write(path, **shape)
        for name in options.only:
            command = [sys.executable, __file__, "--measure", name, path]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            results[name] = json.loads(done.stdout)
            shown = {key: value for key, value in results[name].items() if key not in ("coef", "bits")}
            print(f"{name:12s} {shown}", flush=True)
            ratios |= judged(results)
            told = {one: {key: found[key] for key in found if key != "coef"} for one, found in results.items()}
            text = {"machine": versions, "shape": shape, "ratios": ratios, "results": told}
            options.output.write_text(json.dumps(text, indent=1) + "\n")
    print(json.dumps(ratios, indent=1))


if __name__ == "__main__":
    main()
