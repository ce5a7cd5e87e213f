"""scikit-learn's LogisticRegression, with each of its solvers that know the multinomial objective."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.tuning import Setting

PACKAGE = "scikit-learn"

MOST_CHOLESKY = 700
"""newton-cholesky is left out above this many parameters: there one of its Hessians takes seconds to minutes."""


def settings(X: Any, n_classes: int) -> Iterator[Setting]:
    """Yield every solver in both precisions, those first that are usually fast: they limit what the others may take."""
    size = (X.shape[1] + 1) * (1 if n_classes == 2 else n_classes)
    solvers = ["newton-cholesky"] * (size <= MOST_CHOLESKY) + ["lbfgs", "saga", "newton-cg"]
    for solver in solvers:
        for dtype in (np.float32, np.float64):
            make = partial(LogisticRegression, solver=solver, tol=1e-14, random_state=0)
            yield Setting(f"scikit-learn {solver} {np.dtype(dtype).name}", make, dtype)
