"""SoftmaxClassifier: multinomial logistic regression with scikit-learn's manners and a certificate of its optimum."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import import_module
from numbers import Real
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from softmaxes.exponential import log_softmax, softmax
from softmaxes.inference import Wald, wald
from softmaxes.maps import Member, Softmax, member
from softmaxes.objective import Objective, SoftmaxLoss
from softmaxes.solvers import NAMED, Record, Solution, Solver, Stopping
from softmaxes.solvers.incremental import Stream
from softmaxes.solvers.training import SeparationWarning, Training, loss_of
from softmaxes.sources import Partitions, Source, spilled, validated
from softmaxes.sources.checkpoint import Checkpointed
from softmaxes.sources.encoding import class_weighted
from softmaxes.sources.passes import Workers

__all__ = ["SeparationWarning", "SoftmaxClassifier", "from_parameters"]


class SoftmaxClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Linear softmax classifier, fitted to a proven distance from the optimum.

    Minimises C Σ_n s_n ℓ(W x_n + b, y_n) + r Σ |W| + (1 - r) ‖W‖²/2, ℓ the cross-entropy, s_n the sample weight times
    the class weight and r the l1_ratio: the objective of scikit-learn's LogisticRegression at the same C and l1_ratio,
    hence the same model. Features need no scaling: they are standardised inside without being copied, and the penalty
    stays on the coefficients as given.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty, > 0; inf for none.
    map : str or member of `softmaxes.maps`, default="softmax"
        What turns logits into probabilities, with its own loss: "sparsemax", "entmax", "taylor", "spherical", ...
    l1_ratio : float, default=0.0
        Share of the L1 norm in the penalty, 0 to 1. Above 0, coefficients become exactly 0.
    solver : str or solver value, default="auto"
        "newton" (few parameters and rows), "lbfgs", "progressive" (rows in memory), "owlqn" (l1_ratio > 0),
        "gradient_descent" (for teaching; its path is in `path_`), or a value such as
        `softmaxes.solvers.GradientDescent(eta=0.1)`. "auto" chooses from the shape of the data; `solver_reason_` says
        why, and `verbose=True` prints it.
    tol : float, default=1e-6
        Relative suboptimality at which to stop: f - f* proven to be at most tol · f*.
    max_iter : int, default=1000
        Most iterations of the solver. Reaching it is no warning: `optimality_` says how close the model is.
    fit_intercept : bool, default=True
    class_weight : dict or "balanced", default=None
    warm_start : bool, default=False
        Start from the coefficients of the previous fit if the classes and the features are as many.
    random_state : int, RandomState or None, default=None
        Accepted because scikit-learn's tools set it; nothing is drawn at random (samples of rows are taken at even
        distances), so it changes nothing and a fit is repeatable without it.
    verbose : bool, default=False
    threads : int, default=None
        Threads for the passes over the data; None: as many as the BLAS may use. The result does not depend on it.

    Attributes
    ----------
    classes_ : (n_classes,) labels, sorted.
    coef_ : (n_classes, n_features), or (1, n_features) for two classes, as in LogisticRegression.
        With l1_ratio=0 each column of three or more rows sums to 0 (the symmetric solution). The one row for two
        classes is the difference of the second class from the first. A map that feels a common shift of its logits
        ("taylor", "spherical", ...) has two rows for two classes, and `decision_function` two columns.
    intercept_ : (n_classes,) or (1,). Of three or more the mean is 0.
    n_iter_ : iterations of the solver.
    objective_ : mean loss plus penalty at the end: the minimised function divided by C Σ s_n.
    optimality_ : Optimality, the certificate: `suboptimality_bound`, `relative`, `newton_decrement`,
        `gradient_norm`, `met`.
    history_ : tuple of Iteration: passes, seconds, objective and bound of every iteration.
    solver_ : the solver used. solver_reason_ : why.
    path_ : list of (coef, intercept) of every step, after solver="gradient_descent".
    separated_classes_ : labels of the classes that the features separate, after C=inf; see Notes.
    n_features_in_, feature_names_in_ : as in scikit-learn.

    Notes
    -----
    With C=inf a class that the features separate from all others has no best coefficients, only ever larger ones. Then
    the model of C=1e4 is returned, with a warning that names the classes.

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

    classes_: np.ndarray
    coef_: np.ndarray
    intercept_: np.ndarray

    def __init__(
        self,
        C: float = 1.0,
        *,
        map: str | Member = "softmax",
        l1_ratio: float = 0.0,
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
        self.map = map
        self.l1_ratio = l1_ratio
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

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, checkpoint: str | Path | None = None) -> Self:
        """Fit the model.

        X: (n_rows, n_features), dense or scipy.sparse (CSR is not copied), or a `softmaxes.sources.Source` that brings
        its own targets and weights. y: (n_rows,) labels. sample_weight: (n_rows,), non-negative. checkpoint: a file in
        which every pass over the data is noted, where a pass takes longer than a millisecond; if the process dies, the
        same call goes on where it ended, to the same model. Remove it when the model is saved.

        The rows of a source that reads files or an iterator are copied once to a temporary file, which is always
        removed, if the disk has room; memory holds a few blocks of them at a time.

        Raises ValueError for missing or infinite values, fewer than two classes, parameters out of range; TypeError for
        values of the wrong type. Whatever is raised, the estimator is left as it was.
        """
        before = dict(vars(self))
        try:
            self._fit(X, y, sample_weight, checkpoint)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Take one block of rows into account: a step of incremental Newton, truly multinomial.

        X: (n_rows, n_features). y: (n_rows,) labels. classes: all labels there will be, needed at the first call unless
        `fit` has seen them. After `fit` the stream begins afresh. Blocks that come again and again lead to the optimum
        of `fit` on all of them; a stream of new rows is followed about as well as its rows allow. class_weight must be
        a dict or None: a stream's balance is not known.
        """
        before = dict(vars(self))
        try:
            self._check_parameters()
            stream: Stream | None = getattr(self, "_stream", None)
            fitted = getattr(self, "classes_", None)
            if fitted is None and classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit: all labels there will be")
            known = np.unique(classes) if fitted is None else fitted
            if stream is None and classes is not None:
                known = np.unique(classes)
            elif classes is not None and not np.array_equal(np.unique(classes), known):
                raise ValueError(f"classes={classes!r} differs from those of the first call, {known!r}")
            validated.check_classes(known)
            if self.l1_ratio > 0 or self.class_weight == "balanced" or loss_of(self.map) != SoftmaxLoss():
                raise ValueError("partial_fit needs map='softmax', l1_ratio=0 and no class_weight='balanced'")
            source = validated.known(self, X, y, known, sample_weight, first=stream is None)
            with Workers(self.threads) as workers:
                stream = stream or Stream(len(known), self.fit_intercept)
                stream = stream.after(source, self._strength(), workers)
            self._stream, self.classes_, self.n_iter_ = stream, known, stream.n_blocks
            coef, intercept = stream.coefficients()
            self.coef_, self.intercept_ = coef.astype(source.dtype), intercept.astype(source.dtype)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any, checkpoint: str | Path | None) -> None:
        self._check_parameters()
        with ExitStack() as stack:
            if isinstance(X, Source):
                source, classes = validated.given(self, X, y, sample_weight)
                source = stack.enter_context(spilled(source, print if self.verbose else None))
                if self.class_weight is not None:
                    source = class_weighted(source, classes, self.class_weight)
            else:
                source, classes = validated.labelled(self, X, y, sample_weight)
            self._select(source, classes)
            workers = stack.enter_context(self._workers(source, classes, checkpoint))
            objective = Objective(
                source, len(classes), l2=0.0, loss=loss_of(self.map), workers=workers, fit_intercept=self.fit_intercept
            )
            infinite = np.flatnonzero(~np.isfinite(objective.moments.deviation))
            if len(infinite):  # arrays were checked before, sources are as they pass by
                raise ValueError(f"feature {infinite[0]} contains NaN or infinity; fill in what is missing first")
            present = np.flatnonzero(objective.moments.class_weight > 0)
            if len(present) < 2:
                raise ValueError(
                    f"only one class, {str(classes[present[0]])!r}, has rows of positive weight; samples of at least "
                    "two classes are needed"
                )
            record = Record(objective, print if self.verbose else None)
            found = self._solved(self._training(objective, record), classes)
            coef, intercept = objective.coefficients(found.evaluation.theta)
        if len(coef) > 1 and objective.loss.shift_invariant:
            # The symmetric solution: no probability depends on it. L1 norms do, unless it is of the intercepts.
            coef = coef if objective.l1 > 0 else coef - coef.mean(axis=0)
            intercept = intercept - intercept.mean()
        self.__dict__.pop("_stream", None)
        self.classes_ = classes
        self.coef_ = coef.astype(source.dtype)
        self.intercept_ = intercept.astype(source.dtype)
        self._keep(found, record)

    def _workers(self, source: Source, classes: np.ndarray, checkpoint: str | Path | None) -> Workers:
        workers = source.workers() if isinstance(source, Partitions) else Workers(self.threads)
        if checkpoint is None:
            return workers
        irrelevant = ("verbose", "threads", "random_state")
        settings = {name: repr(value) for name, value in self.get_params().items() if name not in irrelevant}
        shape = {"rows": source.n_rows, "features": source.n_features, "dtype": str(source.dtype)}
        if isinstance(source, Partitions):
            settings["partitions"] = str(source.rows)  # sums are cut there
        return Checkpointed(workers, checkpoint, {**settings, **shape, "classes": list(map(str, classes))})

    def _strength(self) -> float:
        return self.C

    def _training(self, objective: Objective, record: Record) -> Training:
        asked = NAMED.get(self.solver) if isinstance(self.solver, str) else self.solver
        return Training(objective, asked, self.l1_ratio, Stopping(self.tol, self.max_iter), record)

    def _solved(self, training: Training, classes: np.ndarray) -> Solution:
        begin = self._warm(training.objective, classes, training.start)
        C = self._strength()
        if np.isfinite(C):
            found = training.at(C, begin)
        else:
            found, self.separated_classes_ = training.without_penalty(begin, classes)
        self.solver_, self.solver_reason_ = training.choice.solver, training.choice.reason
        return found

    def _keep(self, solution: Solution, record: Record) -> None:
        self.n_iter_ = max(1, solution.n_iter)
        self.objective_ = solution.evaluation.value
        self.optimality_ = solution.optimality
        self.history_ = tuple(record.iterations)
        if record.path:
            self.path_ = record.path

    def _check_strength(self) -> None:
        if not isinstance(self.C, Real) or isinstance(self.C, bool) or not self.C > 0:
            raise ValueError(f"C={self.C!r}; a number above 0 is needed (inf for no penalty)")

    def _select(self, source: Source, classes: np.ndarray) -> None:
        """Choose what is to be chosen from the data before the fit: nothing here."""

    def _check_parameters(self) -> None:
        self._check_strength()
        if not isinstance(self.l1_ratio, Real) or not 0 <= self.l1_ratio <= 1:
            raise ValueError(f"l1_ratio={self.l1_ratio!r}; a share from 0 (all L2) to 1 (all L1) is needed")
        if not isinstance(self.tol, Real) or not self.tol > 0:
            raise ValueError(f"tol={self.tol!r}; a number above 0 is needed, a share of the objective such as 1e-6")
        if not isinstance(self.max_iter, (int, np.integer)) or self.max_iter < 1:
            raise ValueError(f"max_iter={self.max_iter!r}; a whole number of at least 1 is needed")
        if self.threads is not None and (not isinstance(self.threads, (int, np.integer)) or self.threads < 1):
            raise ValueError(f"threads={self.threads!r}; a whole number of at least 1, or None, is needed")
        if not isinstance(self.fit_intercept, (bool, np.bool_)):
            raise ValueError(f"fit_intercept={self.fit_intercept!r}; True or False is needed")
        if not isinstance(self.solver, Solver) and self.solver not in ("auto", *NAMED):
            raise ValueError(f"solver={self.solver!r} is not known; known are 'auto', {', '.join(map(repr, NAMED))}")

    def _warm(self, objective: Objective, classes: np.ndarray, start: np.ndarray) -> np.ndarray:
        coef = getattr(self, "coef_", None)
        if not self.warm_start or coef is None or not np.array_equal(classes, self.classes_):
            return start
        if coef.shape != (objective.n_outputs, objective.n_features):
            return start
        return objective.symmetric_part(objective.theta(coef.astype(np.float64), self.intercept_.astype(np.float64)))

    # ---- using ------------------------------------------------------------------------------------------------

    def decision_function(self, X: Any) -> Any:
        """Return the logits X coefᵀ + intercept, (n_rows, n_classes); for two classes (n_rows,), of the second.

        (Two columns also for two classes if coef_ has two rows: see `coef_`.)
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        logits = X @ self.coef_.T.astype(X.dtype, copy=False) + self.intercept_.astype(X.dtype, copy=False)
        return logits[:, 0] if len(self.coef_) == 1 else logits

    def _logits(self, X: Any) -> Any:
        logits = self.decision_function(X)
        if logits.ndim == 1:
            logits = np.column_stack([np.zeros_like(logits), logits])
        return logits

    def predict(self, X: Any) -> Any:
        """Return the most probable label of each row."""
        if not member(self.map).properties().order_preserving:
            codes = self.predict_proba(X).argmax(axis=1)
        else:
            logits = self.decision_function(X)
            codes = (logits > 0).astype(np.intp) if logits.ndim == 1 else logits.argmax(axis=1)
        labels: np.ndarray = self.classes_[codes]
        return labels

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities, (n_rows, n_classes), columns in the order of `classes_`."""
        value = member(self.map)
        if value == Softmax():
            return softmax(self._logits(X), threads=self.threads)
        return value(self._logits(X))

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of the probabilities, to full relative accuracy near 0 as well."""
        value = member(self.map)
        if value == Softmax():
            return log_softmax(self._logits(X), threads=self.threads)
        return value.log(self._logits(X))

    def wald(self, X: Any, y: Any = None, sample_weight: Any = None, *, level: float = 0.95) -> Wald:
        """Return standard errors and Wald intervals of the coefficients, from the Hessian over X.

        X: the training features. y: needed only if class_weight is set. sample_weight: as in `fit`.
        Only for map="softmax" with l1_ratio=0 and few enough parameters to invert their Hessian. See `Wald`.
        """
        check_is_fitted(self)
        if loss_of(self.map) != SoftmaxLoss() or self.l1_ratio > 0:
            raise ValueError("standard errors need map='softmax' and l1_ratio=0")
        if y is None:
            if self.class_weight is not None:
                raise ValueError("with class_weight the Hessian depends on y; pass y")
            y = np.resize(self.classes_, np.shape(X)[0])  # any labels: no weight depends on them
        with Workers(self.threads) as workers:
            source = validated.known(self, X, y, self.classes_, sample_weight)
            objective = Objective(source, len(self.classes_), l2=0.0, workers=workers, fit_intercept=self.fit_intercept)
            objective.l2 = 1.0 / (self._strength() * objective.moments.total)
            return wald(objective, self.coef_.astype(np.float64), self.intercept_.astype(np.float64), level)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to a file that `softmaxes.load` reads and that executes nothing."""
        # The model file knows classifiers, so it lives a floor above: found by name when asked for.
        import_module("softmaxes.persistence").save(self, path)

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
    rows = 1 if len(classes) == 2 and len(coef) != 2 else len(classes)
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
