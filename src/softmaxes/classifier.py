"""SoftmaxClassifier: multinomial logistic regression with scikit-learn's manners and a certificate of its optimum."""

from __future__ import annotations

from numbers import Real
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from softmaxes.exponential import log_softmax, softmax
from softmaxes.objective import Objective
from softmaxes.solvers import NAMED, Certifier, Record, Solution, Solver, Stopping, choose
from softmaxes.sources import Arrays, Encoded, Source, Sparse, classes_of
from softmaxes.sources.passes import Workers


class SoftmaxClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Linear softmax classifier, fitted to a proven distance from the optimum.

    Minimises C Σ_n s_n ℓ(W x_n + b, y_n) + ‖W‖²/2, ℓ the cross-entropy and s_n the sample weight times the class
    weight: the objective of scikit-learn's LogisticRegression at the same C, hence the same model. Features need no
    scaling: they are standardised inside without being copied, and the penalty stays on the coefficients as given.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty, > 0; inf for none.
    solver : str or solver value, default="auto"
        "auto" chooses from the shape of the data; `verbose=True` prints the choice and its reason.
    tol : float, default=1e-6
        Relative suboptimality at which to stop: f - f* proven to be at most tol · f*.
    max_iter : int, default=1000
        Most iterations of the solver. Reaching it is no warning: `optimality_` says how close the model is.
    fit_intercept : bool, default=True
    class_weight : dict or "balanced", default=None
    warm_start : bool, default=False
        Start from the coefficients of the previous fit if the classes and the features are as many.
    random_state : int, RandomState or None, default=None
        Seed of the solvers that draw rows. None is a fixed seed: two fits give the same bits.
    verbose : bool, default=False
    threads : int, default=None
        Threads for the passes over the data; None: as many as the BLAS may use. The result does not depend on it.

    Attributes
    ----------
    classes_ : (n_classes,) labels, sorted.
    coef_ : (n_classes, n_features), or (1, n_features) for two classes, as in LogisticRegression.
        With a penalty each column of three or more rows sums to 0 (the symmetric solution). The one row for two classes
        is the difference of the second class from the first.
    intercept_ : (n_classes,) or (1,). Of three or more the mean is 0.
    n_iter_ : iterations of the solver.
    objective_ : mean loss plus penalty at the end: the minimised function divided by C Σ s_n.
    optimality_ : Optimality, the certificate: `suboptimality_bound`, `relative`, `newton_decrement`,
        `gradient_norm`, `met`.
    history_ : tuple of Iteration: passes, seconds, objective and bound of every iteration.
    solver_ : the solver used. solver_reason_ : why.
    n_features_in_, feature_names_in_ : as in scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from softmaxes import SoftmaxClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SoftmaxClassifier().fit(X, y)
    >>> clf.score(X, y) > 0.95
    True
    >>> clf.optimality_.met
    True
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        solver: str | Solver = "auto",
        tol: float = 1e-6,
        max_iter: int = 1000,
        fit_intercept: bool = True,
        class_weight: Any = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
        threads: int | None = None,
    ) -> None:
        self.C = C
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.threads = threads

    # ---- fitting ----------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the model.

        X: (n_rows, n_features), dense or scipy.sparse (CSR is not copied), or a `softmaxes.sources.Source` that brings
        its own targets and weights. y: (n_rows,) labels. sample_weight: (n_rows,), non-negative.

        Raises ValueError for missing or infinite values, fewer than two classes, parameters out of range; TypeError for
        values of the wrong type. Whatever is raised, the estimator is left as it was.
        """
        before = dict(vars(self))
        try:
            self._fit(X, y, sample_weight)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        self._check_parameters()
        if isinstance(X, Source):
            source, classes = self._from_source(X, y, sample_weight)
        else:
            source, classes = self._from_arrays(X, y, sample_weight)
        n_classes = len(classes)
        tell = print if self.verbose else None
        with Workers(self.threads) as workers:
            objective = Objective(source, n_classes, l2=0.0, workers=workers, fit_intercept=self.fit_intercept)
            objective.l2 = 1.0 / (self.C * objective.moments.total)
            record = Record(objective, tell)
            solver, reason = self._solver(objective)
            record.say(f"{solver!r}: {reason}")
            start = objective.start()
            certifier = Certifier(objective, objective.evaluate(start))
            solution = solver.minimise(
                objective, self._warm(objective, classes, start), certifier, Stopping(self.tol, self.max_iter), record
            )
            record.say(solution.reason)
            coef, intercept = objective.coefficients(solution.evaluation.theta)
        if len(coef) > 1:  # the symmetric solution: exact at the optimum, and no probability depends on it
            coef, intercept = coef - coef.mean(axis=0), intercept - intercept.mean()
        self.classes_ = classes
        self.coef_ = coef.astype(source.dtype)
        self.intercept_ = intercept.astype(source.dtype)
        self.solver_, self.solver_reason_ = solver, reason
        self._keep(solution, record)

    def _keep(self, solution: Solution, record: Record) -> None:
        self.n_iter_ = max(1, solution.n_iter)
        self.objective_ = solution.evaluation.value
        self.optimality_ = solution.optimality
        self.history_ = tuple(record.iterations)

    def _check_parameters(self) -> None:
        if not isinstance(self.C, Real) or isinstance(self.C, bool) or not self.C > 0:
            raise ValueError(f"C={self.C!r}; a number above 0 is needed (inf for no penalty)")
        if not isinstance(self.tol, Real) or not self.tol > 0:
            raise ValueError(f"tol={self.tol!r}; a number above 0 is needed, a share of the objective such as 1e-6")
        if not isinstance(self.max_iter, (int, np.integer)) or self.max_iter < 1:
            raise ValueError(f"max_iter={self.max_iter!r}; a whole number of at least 1 is needed")
        if self.threads is not None and (not isinstance(self.threads, (int, np.integer)) or self.threads < 1):
            raise ValueError(f"threads={self.threads!r}; a whole number of at least 1, or None, is needed")
        if not isinstance(self.solver, Solver) and self.solver != "auto" and self.solver not in NAMED:
            raise ValueError(f"solver={self.solver!r} is not known; known are 'auto', {', '.join(map(repr, NAMED))}")

    def _solver(self, objective: Objective) -> tuple[Solver, str]:
        if isinstance(self.solver, Solver):
            return self.solver, "as asked"
        if self.solver == "auto":
            choice = choose(objective)
            return choice.solver, choice.reason
        return NAMED[self.solver], "as asked"

    def _warm(self, objective: Objective, classes: np.ndarray, start: np.ndarray) -> np.ndarray:
        coef = getattr(self, "coef_", None)
        if not self.warm_start or coef is None or not np.array_equal(classes, self.classes_):
            return start
        if coef.shape != (objective.n_outputs, objective.n_features):
            return start
        theta = objective.theta(coef.astype(np.float64), self.intercept_.astype(np.float64))
        return theta - theta.mean(axis=0) if len(theta) > 1 else theta

    def _from_arrays(self, X: Any, y: Any, sample_weight: Any) -> tuple[Source, np.ndarray]:
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        X, y = _validated(self, X, y)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        _check_classes(classes)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if self.class_weight is not None:
            of_class = compute_class_weight(self.class_weight, classes=classes, y=y, sample_weight=weights)
            weights = of_class[codes] if weights is None else weights * of_class[codes]
        kind = Arrays if isinstance(X, np.ndarray) else Sparse
        return kind(X, codes.astype(np.int64, copy=False), weights), classes

    def _from_source(self, source: Source, y: Any, sample_weight: Any) -> tuple[Source, np.ndarray]:
        if y is not None or sample_weight is not None:
            raise ValueError("a source brings its own targets and weights; leave y and sample_weight out")
        classes = classes_of(source)
        _check_classes(classes)
        self.n_features_in_ = source.n_features
        names = getattr(source, "feature_names", None)
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        of_class = None
        if self.class_weight == "balanced":
            raise ValueError("class_weight='balanced' needs y in memory; pass a dict of weights for a source")
        if self.class_weight is not None:
            of_class = compute_class_weight(self.class_weight, classes=classes, y=classes)
        return Encoded(source, classes, of_class), classes

    # ---- using ------------------------------------------------------------------------------------------------

    def decision_function(self, X: Any) -> Any:
        """Return the logits X coefᵀ + intercept, (n_rows, n_classes); for two classes (n_rows,), of the second."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        logits = X @ self.coef_.T.astype(X.dtype, copy=False) + self.intercept_.astype(X.dtype, copy=False)
        return logits[:, 0] if len(self.coef_) == 1 else logits

    def _logits(self, X: Any) -> np.ndarray:
        logits = self.decision_function(X)
        if logits.ndim == 1:
            logits = np.column_stack([np.zeros_like(logits), logits])
        return logits

    def predict(self, X: Any) -> Any:
        """Return the label of the largest logit of each row."""
        logits = self.decision_function(X)
        codes = (logits > 0).astype(np.intp) if logits.ndim == 1 else logits.argmax(axis=1)
        labels: np.ndarray = self.classes_[codes]
        return labels

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities, (n_rows, n_classes), columns in the order of `classes_`."""
        return softmax(self._logits(X), threads=self.threads)

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of the probabilities, to full relative accuracy near 0 as well."""
        return log_softmax(self._logits(X), threads=self.threads)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to a file that `softmaxes.load` reads and that executes nothing."""
        from softmaxes import persistence

        persistence.save(self, path)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def from_parameters(classes: np.ndarray, coef: np.ndarray, intercept: np.ndarray, **facts: Any) -> SoftmaxClassifier:
    """Return a fitted classifier of known coefficients, as when a model file is read.

    classes: (n_classes,). coef: (n_classes, n_features), or (1, n_features) for two classes. intercept: one entry a row
    of coef. facts: any parameter of SoftmaxClassifier, and any fitted attribute whose name ends in "_".

    >>> import numpy as np
    >>> clf = from_parameters(np.array(["no", "yes"]), np.array([[2.0]]), np.array([-1.0]), C=10.0, n_iter_=7)
    >>> clf.predict([[0.0], [1.0]]).tolist(), clf.n_iter_
    (['no', 'yes'], 7)
    """
    classes, coef, intercept = np.asarray(classes), np.asarray(coef), np.asarray(intercept)
    rows = 1 if len(classes) == 2 else len(classes)
    if coef.ndim != 2 or len(coef) != rows or intercept.shape != (rows,):
        raise ValueError(
            f"{len(classes)} classes need coef of shape ({rows}, n_features) and intercept of shape ({rows},), "
            f"not {coef.shape} and {intercept.shape}"
        )
    fitted = {name: value for name, value in facts.items() if name.endswith("_")}
    clf = SoftmaxClassifier(**{name: value for name, value in facts.items() if name not in fitted})
    clf.classes_, clf.coef_, clf.intercept_ = classes, coef, intercept
    clf.n_features_in_ = coef.shape[1]
    for name, value in fitted.items():
        setattr(clf, name, value)
    return clf


def _validated(clf: SoftmaxClassifier, X: Any, y: Any) -> tuple[Any, Any]:
    """Return X and y as scikit-learn validates them, CSR or dense, and say where a value is not finite."""
    try:
        return validate_data(clf, X, y, accept_sparse="csr", dtype=[np.float64, np.float32])  # type: ignore[no-any-return]
    except ValueError as error:
        where = _first_not_finite(X) if "Input X contains" in str(error) else None
        if where is None:
            raise
        row, column = where
        raise ValueError(f"{error}\nThe first of them is in row {row}, column {column}.") from None


def _first_not_finite(X: Any) -> tuple[int, int] | None:
    try:
        values = X.tocoo() if hasattr(X, "tocoo") else np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if isinstance(values, np.ndarray):
        places = np.argwhere(~np.isfinite(values))
        return (int(places[0][0]), int(places[0][1])) if len(places) and values.ndim == 2 else None
    bad = np.flatnonzero(~np.isfinite(values.data))
    return (int(values.row[bad[0]]), int(values.col[bad[0]])) if len(bad) else None


def _check_classes(classes: np.ndarray) -> None:
    if len(classes) < 2:
        raise ValueError(
            f"y contains one class only, {classes[0]!r}; a classifier needs samples of at least two classes"
            if len(classes)
            else "y is empty; samples of at least two classes are needed"
        )
