"""python benchmarks/tasks/classifier_memory.py PROBLEM: the peak memory of a fit, as JSON on standard output.

One problem a process: what a process gave back to its allocator would hide what the next fit takes. The peak is that of
the resident set while X lies in memory and the fit runs, less what the process held before, imports and a first small
fit included; Linux alone tells it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])

from benchmarks import measure
from benchmarks.tasks.classifier_problems import PROBLEMS

from softmaxes.classifier import SoftmaxClassifier


def size(X: Any) -> int:
    """Return the bytes of dense or sparse features."""
    return int(X.nbytes if isinstance(X, np.ndarray) else X.data.nbytes + X.indices.nbytes + X.indptr.nbytes)


def main() -> None:
    X, y = PROBLEMS[sys.argv[1]]()
    SoftmaxClassifier(max_iter=2).fit(X[:2000], np.arange(min(2000, len(y))) % 3)  # what is imported late is no data
    before = measure.resident("VmRSS")
    measure.forget_peak()
    SoftmaxClassifier(max_iter=95).fit(X, y)  # by then steps and the Hessian of `late` are there
    extra = measure.resident("VmHWM") - before
    print(json.dumps({"X bytes": size(X), "extra bytes": extra, "peak / X": 1 + extra / size(X)}))


if __name__ == "__main__":
    main()
