"""scikit-learn's LogisticRegression: the time each of its solvers needs to come within a level of the optimum."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

SOLVERS = ("lbfgs", "newton-cg", "newton-cholesky", "saga")
LADDER = 1.6


def runs(X: Any, y: np.ndarray, solver: str, seconds: float) -> Iterator[tuple[float, int, LogisticRegression]]:
    """Yield (seconds, iterations, model) of fits with more and more iterations, until one takes too long.

    Nobody who uses it can know the right number of iterations beforehand: this is the best it can do.
    """
    iterations = 4.0
    began = time.perf_counter()
    while True:
        model = LogisticRegression(solver=solver, tol=1e-14, max_iter=int(iterations), random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            model.fit(X, y)
            took = time.perf_counter() - start
        done = int(np.max(model.n_iter_))
        yield took, done, model
        spent = time.perf_counter() - began
        if done < int(iterations) or spent + LADDER * took > seconds or took * LADDER > seconds / 2:
            return
        iterations *= LADDER


def best(
    X: Any, y: np.ndarray, distance: Callable[[Any], float], levels: tuple[float, ...], seconds: float
) -> dict[float, tuple[float, str]]:
    """Return for each level the least seconds of any solver and dtype, and which it was.

    distance: of a fitted model, (f - f*) / f*. seconds: to spend on each solver and dtype.
    """
    found: dict[float, tuple[float, str]] = {}
    for dtype in (np.float32, np.float64):
        data = X.astype(dtype)
        for solver in SOLVERS:
            n_parameters = X.shape[1] * len(np.unique(y))
            if solver == "newton-cholesky" and n_parameters > 700:
                continue  # its Hessian takes minutes
            for took, done, model in runs(data, y, solver, seconds):
                reached = distance(model)
                for level in levels:
                    if reached <= level and took < found.get(level, (np.inf, ""))[0]:
                        found[level] = (took, f"{solver} {np.dtype(dtype).name}, {done} iterations")
    return found
