"""How a time is taken: contenders in turn, many rounds, medians with their spread, and the machine's own limit."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

Call = Callable[[], Any]


@dataclass(frozen=True)
class Spread:
    """Nanoseconds a call: the median of the rounds, the quartiles, and the best."""

    median: float
    lower: float
    upper: float
    best: float

    @classmethod
    def of(cls, samples: list[float]) -> Spread:
        lower, median, upper = np.percentile(samples, [25, 50, 75])
        return cls(float(median), float(lower), float(upper), float(min(samples)))


def _once(call: Call, repeats: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(repeats):
        call()
    return (time.perf_counter_ns() - start) / repeats


def compare(contenders: Mapping[str, Call], seconds: float = 2.0, rounds: int = 25) -> dict[str, Spread]:
    """Time every contender in every round, in rotating order, so that a slow moment of the machine hits them all.

    seconds: about how long a contender is timed in all. A call shorter than 200 us is repeated within a round.
    """
    repeats, samples = {}, {name: [] for name in contenders}
    for name, call in contenders.items():
        call()  # compiles, allocates, faults pages in
        single = max(min(_once(call, 1) for _ in range(3)), 50.0)
        repeats[name] = max(1, int(200_000 / single))
        rounds = max(5, min(rounds, int(seconds * 1e9 / (single * repeats[name]))))
    names = list(contenders)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            samples[name].append(_once(contenders[name], repeats[name]))
    return {name: Spread.of(found) for name, found in samples.items()}


def limit(read: np.ndarray, written: np.ndarray | None) -> Call:
    """Return the least that any implementation does: read the input once, and write the output once if it is large."""
    if written is None or written.nbytes < read.nbytes // 2:
        words = read.reshape(-1).view(np.uint64) if read.nbytes % 8 == 0 else read.reshape(-1).view(np.uint8)
        return lambda: np.bitwise_or.reduce(words)
    source, target = read.reshape(-1).view(np.uint8), written.reshape(-1).view(np.uint8)
    size = min(source.size, target.size)
    return lambda: np.copyto(target[:size], source[:size])


def bandwidth(megabytes: int = 256) -> dict[str, float]:
    """Return GB/s of this process: reading, and copying (bytes read and written), in memory and in the second cache."""
    found = {}
    for where, size in (("memory", megabytes << 20), ("512 KiB", 1 << 19)):
        source, target = np.ones(size // 8, np.uint64), np.zeros(size // 8, np.uint64)
        times = compare({"read": limit(source, None), "copy": limit(source, target)}, seconds=1.0)
        found[f"read, {where}"] = size / times["read"].median
        found[f"copy, {where}"] = 2 * size / times["copy"].median
    return {name: round(value, 1) for name, value in found.items()}


def pin(threads: int) -> None:
    """Let this process use that many processors, whatever its libraries would like. Call before they are imported."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[:threads])
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "SOFTMAXES_THREADS"):
        os.environ[variable] = str(threads)


def resident(what: str) -> int:
    """Return bytes of this process as Linux tells them: VmRSS now, or VmHWM, the most since `forget_peak`.

    Not those of getrusage: its peak begins with that of the process which started this one.
    """
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) << 10


def forget_peak() -> None:
    """Let the peak of this process's memory start anew."""
    Path("/proc/self/clear_refs").write_text("5")


def machine(packages: tuple[str, ...]) -> dict[str, Any]:
    """Return what the times depend on: the processor, the system, and the versions of what was measured."""
    from softmaxes import native

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": models[0] if models else platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "instruction set": native.describe()["isa"],
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": versions,
    }
