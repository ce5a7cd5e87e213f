"""Vector, matrix, structured and Dirichlet calibration: one convex problem with four choices of what may move."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from softmaxes import native
from softmaxes.calibration.base import Calibration, HeldOut, checked_logits, finite_array
from softmaxes.calibration.temperature import TemperatureScaling
from softmaxes.exponential import log_softmax

__all__ = ["DirichletCalibration", "MatrixScaling", "StructuredScaling", "VectorScaling"]


@dataclass(frozen=True, eq=False)
class _Problem:
    """Mean log-loss of A u + b plus the penalty of a normal prior around A = I, b = 0, as a function of the free
    numbers.

    f = (1/W) sum_i w_i CE(A u_i + b, y_i) + (1/2W) sum ((A - I) / scale)^2 + (1/2W) sum (b / scale_b)^2, the maximum a
    posteriori problem divided by the weight W. scales: (K, K + 1) prior deviations of [A, b]; a scale of 0 does not
    move.
    """

    inputs: NDArray[np.float64]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]
    scales: NDArray[np.float64]

    def unpacked(self, free: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return [A, b], (K, K + 1), from the free numbers, which are measured in their prior deviations."""
        k = len(self.scales)
        coefficients = np.eye(k, k + 1)
        coefficients[self.scales > 0.0] += free * self.scales[self.scales > 0.0]
        return coefficients

    def value_and_gradient(self, free: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        coefficients = self.unpacked(free)
        total = float(self.weight.sum())
        logits = self.inputs @ coefficients[:, :-1].T
        logits += coefficients[:, -1]
        losses = np.empty(len(logits))
        native.cross_entropy_rows(logits, self.target, losses, logits, self.weight)
        gradient = np.column_stack([logits.T @ self.inputs, logits.sum(axis=0)]) * self.scales
        value = (float(self.weight @ losses) + 0.5 * float(free @ free)) / total
        return value, (gradient[self.scales > 0.0] + free) / total


class _AffineCalibration(Calibration):
    """z -> A u(z) + b, where u is the row-centred, temperature-scaled logits or the log-probabilities."""

    _inputs: ClassVar[Literal["logits", "log_probabilities"]] = "logits"
    _fallback: ClassVar[str] = "use TemperatureScaling, which fits one"

    matrix_: NDArray[np.float64]
    intercept_: NDArray[np.float64]
    temperature_: float
    log_loss_: float
    gradient_norm_: float
    n_iter_: int

    diagonal: float
    intercept: float
    tol: float
    max_iter: int

    def _scales(self, n_classes: int) -> NDArray[np.float64]:
        off = getattr(self, "off_diagonal", 0.0)
        scales = np.full((n_classes, n_classes + 1), float(off))
        np.fill_diagonal(scales, self.diagonal)
        scales[:, -1] = self.intercept
        if not (np.isfinite(scales).all() and (scales >= 0.0).all() and scales.any()):
            raise ValueError(f"prior deviations must be finite, >= 0 and not all 0, but {self!r} has others.")
        return scales

    def _needed_rows(self, scales: NDArray[np.float64]) -> int:
        return int((scales > 0.0).sum())

    def fit(
        self,
        logits: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Fit on held-out logits (n, K) and labels (n,); see `Calibration.fit`."""
        rows = HeldOut.of(logits, y, sample_weight, classes, infinite=False)
        k = rows.logits.shape[1]
        scales = self._scales(k)
        rows.need_rows(self._needed_rows(scales), self._fallback)
        self.temperature_ = 1.0
        if self._inputs == "logits":
            temperature = TemperatureScaling().fit(rows.logits, rows.target, rows.weight, classes=np.arange(k))
            # At a bound the temperature is no estimate: a hundred or a hundredth of the data's own scale is no start.
            self.temperature_ = temperature.temperature_ if temperature.at_bound_ is None else 1.0
        problem = _Problem(self._standardised(rows.logits.astype(np.float64)), rows.target, rows.weight, scales)
        found = minimize(
            problem.value_and_gradient,
            np.zeros(int((scales > 0.0).sum())),
            jac=True,
            method="L-BFGS-B",
            options={
                "gtol": self.tol,
                "ftol": 0.0,
                "maxiter": self.max_iter,
                "maxfun": 4 * self.max_iter,
                "maxcor": 30,
            },
        )
        _, gradient = problem.value_and_gradient(found.x)
        coefficients = problem.unpacked(found.x)
        self.matrix_, self.intercept_ = np.ascontiguousarray(coefficients[:, :-1]), coefficients[:, -1].copy()
        self.gradient_norm_, self.n_iter_ = float(np.abs(gradient).max()), int(found.nit)
        free = float(found.x @ found.x)
        self.log_loss_ = float(found.fun) - 0.5 * free / float(rows.weight.sum())
        self.classes_, self.n_features_in_ = rows.classes, k
        if self.gradient_norm_ > max(self.tol, 1e-7):
            warnings.warn(
                f"{type(self).__name__} stopped after {self.n_iter_} iterations with gradient "
                f"{self.gradient_norm_:.2g}; raise max_iter (now {self.max_iter}).",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _standardised(self, z: NDArray[Any]) -> NDArray[Any]:
        """Return u(z). What softmax cannot see, a constant added to a row, is taken out first."""
        if self._inputs == "log_probabilities":
            logs: NDArray[Any] = log_softmax(z, axis=1)
            return logs
        centred: NDArray[Any] = (z - z.mean(axis=1, keepdims=True)) / self.temperature_
        return centred

    def _transformed(self, z: NDArray[Any]) -> NDArray[Any]:
        u = self._standardised(checked_logits(z, infinite=False).astype(np.float64))
        calibrated: NDArray[Any] = (u @ self.matrix_.T + self.intercept_).astype(z.dtype)
        return calibrated

    def _parameters(self) -> dict[str, Any]:
        return {"temperature": self.temperature_, "matrix": self.matrix_, "intercept": self.intercept_}

    def _restore(self, parameters: dict[str, Any]) -> None:
        k = self.n_features_in_
        self.temperature_ = float(finite_array(parameters, "temperature", ()))
        self.matrix_ = finite_array(parameters, "matrix", (k, k))
        self.intercept_ = finite_array(parameters, "intercept", (k,))
        if self.temperature_ <= 0.0:
            raise ValueError(f"malformed calibration: temperature {self.temperature_!r} is not positive.")


class VectorScaling(_AffineCalibration):
    """Scale and shift the logits of each class: z_k -> a_k u_k + b_k, with u the centred logits over their temperature.

    The temperature is fitted first and held; a and b minimise the held-out log-loss plus the penalty of a normal prior
    around a = 1, b = 0. It takes 2 K rows at least; the default prior is weak, and is overruled by a few dozen rows per
    class.

    Parameters
    ----------
    diagonal, intercept : float
        Prior standard deviations of the a_k around 1 and of the b_k around 0; 0 holds them there.
    tol, max_iter : float, int
        The largest entry of the gradient at which to stop, and the iterations after which to give up with a warning.

    Attributes
    ----------
    matrix_, intercept_, temperature_ : the map, z -> matrix_ (z - mean z) / temperature_ + intercept_
    log_loss_, gradient_norm_, n_iter_ : what was reached

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=(4000, 3))
    >>> y = (logits * [2.0, 1.0, 1.0] + rng.gumbel(size=logits.shape)).argmax(axis=1)
    >>> fitted = VectorScaling().fit(logits, y)
    >>> scale = np.diag(fitted.matrix_) / fitted.temperature_
    >>> bool(scale[0] > 1.5 * scale[1])
    True
    """

    def __init__(self, diagonal: float = 1.0, intercept: float = 1.0, tol: float = 1e-9, max_iter: int = 1000) -> None:
        self.diagonal = diagonal
        self.intercept = intercept
        self.tol = tol
        self.max_iter = max_iter


class MatrixScaling(_AffineCalibration):
    """Mix the logits by a full matrix: z -> A u + b, with u the centred logits over their temperature.

    As `VectorScaling`, with K^2 + K numbers to fit: it needs at least as many rows, and is apt to overfit below ten
    times that. Prefer `StructuredScaling` unless rows abound.

    Parameters
    ----------
    diagonal, off_diagonal, intercept : float
        Prior standard deviations around the identity matrix and zero intercept; 0 holds a part there.
    tol, max_iter : float, int
        The largest entry of the gradient at which to stop, and the iterations after which to give up with a warning.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=(4000, 3))
    >>> mixed = logits @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> y = (mixed + rng.gumbel(size=logits.shape)).argmax(axis=1)
    >>> MatrixScaling().fit(logits, y).log_loss_ < VectorScaling().fit(logits, y).log_loss_
    True
    """

    _fallback = "use StructuredScaling or TemperatureScaling"

    def __init__(
        self,
        diagonal: float = 1.0,
        off_diagonal: float = 1.0,
        intercept: float = 1.0,
        tol: float = 1e-9,
        max_iter: int = 1000,
    ) -> None:
        self.diagonal = diagonal
        self.off_diagonal = off_diagonal
        self.intercept = intercept
        self.tol = tol
        self.max_iter = max_iter


class StructuredScaling(MatrixScaling):
    """Matrix scaling whose parts are shrunk by their number: temperature freely, diagonal gently, off-diagonal firmly.

    The prior deviations form a hierarchy around temperature scaling, so that few rows give nearly one temperature, more
    rows a temperature per class, and many rows a full matrix. It therefore takes 2 K rows, not K^2 + K.

    Parameters
    ----------
    diagonal, off_diagonal, intercept : float
        Prior standard deviations around the identity matrix and zero intercept; 0 holds a part there.
    tol, max_iter : float, int
        The largest entry of the gradient at which to stop, and the iterations after which to give up with a warning.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=(60, 8))
    >>> y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    >>> StructuredScaling().fit(logits, y).matrix_.shape
    (8, 8)
    """

    _fallback = "use TemperatureScaling"

    def __init__(
        self,
        diagonal: float = 0.3,
        off_diagonal: float = 0.05,
        intercept: float = 0.5,
        tol: float = 1e-9,
        max_iter: int = 1000,
    ) -> None:
        super().__init__(diagonal, off_diagonal, intercept, tol, max_iter)

    def _needed_rows(self, scales: NDArray[np.float64]) -> int:
        return 2 * len(scales)


class DirichletCalibration(MatrixScaling):
    """Dirichlet calibration (Kull et al. 2019): log p -> A log p + b, linear in the log-probabilities.

    It is the map that is exact when the probability vectors of each class are Dirichlet distributed. Off-diagonal
    entries and intercepts are shrunk towards 0, as its authors advise; the diagonal is held near 1 by a weak prior.

    Parameters
    ----------
    diagonal, off_diagonal, intercept : float
        Prior standard deviations around the identity matrix and zero intercept; 0 holds a part there.
    tol, max_iter : float, int
        The largest entry of the gradient at which to stop, and the iterations after which to give up with a warning.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=(2000, 3))
    >>> y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    >>> fitted = DirichletCalibration().fit(logits, y)
    >>> bool(np.abs(fitted.matrix_ - np.eye(3)).max() < 0.3)
    True
    """

    _inputs = "log_probabilities"

    def __init__(
        self,
        diagonal: float = 1.0,
        off_diagonal: float = 0.3,
        intercept: float = 1.0,
        tol: float = 1e-9,
        max_iter: int = 1000,
    ) -> None:
        super().__init__(diagonal, off_diagonal, intercept, tol, max_iter)
