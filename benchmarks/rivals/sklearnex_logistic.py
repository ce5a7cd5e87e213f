"""scikit-learn-intelex's LogisticRegression (`pip install scikit-learn-intelex`), where it has code of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from sklearnex.linear_model import LogisticRegression

from benchmarks.tuning import Setting

PACKAGE = "scikit-learn-intelex"

logging.getLogger("sklearnex").setLevel(logging.ERROR)


def settings(X: Any, n_classes: int) -> Iterator[Setting]:
    """Yield L-BFGS in both precisions, and Newton-CG for two classes; sparse features go to scikit-learn itself."""
    if not isinstance(X, np.ndarray):
        return
    for solver in ["lbfgs"] + ["newton-cg"] * (n_classes == 2):
        for dtype in (np.float32, np.float64):
            make = partial(LogisticRegression, solver=solver, tol=1e-14)
            yield Setting(f"scikit-learn-intelex {solver} {np.dtype(dtype).name}", make, dtype)
