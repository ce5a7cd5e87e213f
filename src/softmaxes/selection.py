"""SoftmaxClassifierCV: the penalty chosen by cross-validation, along a path of warm starts."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import check_cv

from softmaxes.classifier import SoftmaxClassifier
from softmaxes.maps import Member
from softmaxes.objective import Objective
from softmaxes.solvers import Record, Solver, Stopping
from softmaxes.solvers.training import loss_of
from softmaxes.sources import Arrays, Source, Sparse
from softmaxes.sources.passes import Workers

FOLD_TOLERANCE = 3e-3
"""Proven relative suboptimality of the folds' models,"""

FOLD_ESTIMATE = 1e-3
"""or estimated, whichever is reached first: either tells one C from the next."""


class SoftmaxClassifierCV(SoftmaxClassifier):
    """SoftmaxClassifier whose C is the one with the least held-out log-loss.

    For each fold the models of all C are fitted from the strongest penalty to the weakest, each from the one before, on
    one standardisation; then the chosen C is fitted to all rows, to `tol`.

    Parameters
    ----------
    Cs : int or sequence of float, default=10
        The candidates; a number means that many from 1e-4 to 1e4, evenly on a logarithmic scale.
    cv : int, splitter or None, default=None
        As in scikit-learn; None: 5 stratified folds.
    map, l1_ratio, solver, tol, max_iter, fit_intercept, class_weight, random_state, verbose, threads
        As in SoftmaxClassifier.

    Attributes
    ----------
    C_ : the chosen C. Cs_ : (n_candidates,) increasing. losses_ : (n_folds, n_candidates) mean held-out loss.
    And those of SoftmaxClassifier, of the fit to all rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from softmaxes import SoftmaxClassifierCV
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SoftmaxClassifierCV(Cs=[0.1, 1.0, 10.0]).fit(X, y)
    >>> clf.C_, clf.losses_.shape
    (10.0, (5, 3))
    """

    def __init__(
        self,
        Cs: Any = 10,
        *,
        cv: Any = None,
        map: str | Member = "softmax",
        l1_ratio: float = 0.0,
        solver: str | Solver = "auto",
        tol: float = 1e-6,
        max_iter: int = 1000,
        fit_intercept: bool = True,
        class_weight: Any = None,
        random_state: Any = None,
        verbose: bool = False,
        threads: int | None = None,
    ) -> None:
        super().__init__(
            map=map,
            l1_ratio=l1_ratio,
            solver=solver,
            tol=tol,
            max_iter=max_iter,
            fit_intercept=fit_intercept,
            class_weight=class_weight,
            random_state=random_state,
            verbose=verbose,
            threads=threads,
        )
        del self.C, self.warm_start  # chosen here, and not a parameter
        self.Cs = Cs
        self.cv = cv

    @property
    def partial_fit(self) -> Any:
        """Not there: folds need all rows."""
        raise AttributeError("SoftmaxClassifierCV has no partial_fit: folds need all rows; use SoftmaxClassifier")

    def _strength(self) -> float:
        return float(self.C_)

    def _warm(self, objective: Objective, classes: np.ndarray, start: np.ndarray) -> np.ndarray:
        return start

    def _check_strength(self) -> None:
        candidates = np.logspace(-4, 4, self.Cs) if isinstance(self.Cs, (int, np.integer)) else np.asarray(self.Cs)
        if candidates.ndim != 1 or not len(candidates) or not np.all((candidates > 0) & np.isfinite(candidates)):
            raise ValueError(
                f"Cs={self.Cs!r}; a number of candidates or a sequence of finite numbers above 0 is needed"
            )
        self.Cs_ = np.unique(candidates.astype(np.float64))

    def _select(self, source: Source, classes: np.ndarray) -> None:
        """Set C_ and losses_ from the folds."""
        if not isinstance(source, (Arrays, Sparse)) or source.targets is None or source.targets.ndim != 1:
            raise ValueError("cross-validation needs labels and rows in memory; pass arrays")
        folds = list(check_cv(self.cv, source.targets, classifier=True).split(np.zeros(source.n_rows), source.targets))
        self.losses_ = np.array([self._path(source.take(train), source.take(held), classes) for train, held in folds])
        self.C_ = float(self.Cs_[self.losses_.mean(axis=0).argmin()])

    def _path(self, train: Source, held_out: Source, classes: np.ndarray) -> list[float]:
        """Return the mean held-out loss at each C."""
        losses = []
        with Workers(self.threads) as workers:
            objective, outside = (
                Objective(
                    source,
                    len(classes),
                    l2=0.0,
                    loss=loss_of(self.map),
                    workers=workers,
                    fit_intercept=self.fit_intercept,
                )
                for source in (train, held_out)
            )
            training = self._training(objective, Record(objective))
            training.stopping = Stopping(max(self.tol, FOLD_TOLERANCE), self.max_iter, FOLD_ESTIMATE)
            theta = training.start
            for C in self.Cs_:
                theta = training.at(C, theta).evaluation.theta
                there = outside.theta(*objective.coefficients(theta))
                losses.append(outside.evaluate(there, "double").loss)
        return losses
