"""Prior correction: the classes come more or less often than they did in training."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmaxes.calibration.base import Calibration, HeldOut, finite_array

__all__ = ["PriorCorrection"]


class PriorCorrection(Calibration):
    """Shift the logits from one set of class frequencies to another: z_k -> z_k + log(target_k / source_k).

    By Bayes' rule this is exact when the frequencies changed and what each class looks like did not. With balanced
    training on rare classes, source is the balance and target the real frequencies.

    Parameters
    ----------
    source, target : array-like of K numbers > 0, or None
        Class frequencies where the model was trained, and where it will be used; scaled to sum to 1. At least one must
        be given; the other is taken from the labels passed to `fit`: with `target` given, those are drawn as in
        training; with `source` given, as in use.

    Examples
    --------
    >>> fitted = PriorCorrection(source=[0.5, 0.5]).fit([[0.0, 0.0]] * 4, [0, 0, 0, 1])
    >>> fitted.predict_proba([[0.0, 0.0]])
    array([[0.75, 0.25]])
    """

    intercept_: NDArray[np.float64]
    source_: NDArray[np.float64]
    target_: NDArray[np.float64]

    def __init__(self, source: ArrayLike | None = None, target: ArrayLike | None = None) -> None:
        self.source = source
        self.target = target

    def fit(
        self,
        logits: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Fit on held-out logits (n, K) and labels (n,); only the labels' frequencies matter. See `Calibration.fit`."""
        if self.source is None and self.target is None:
            raise ValueError("PriorCorrection needs source= or target=: the class frequencies in training, or in use.")
        rows = HeldOut.of(logits, y, sample_weight, classes)
        k = rows.logits.shape[1]
        seen = np.bincount(rows.target, weights=rows.weight, minlength=k)
        self.source_ = _frequencies("source", seen if self.source is None else self.source, k)
        self.target_ = _frequencies("target", seen if self.target is None else self.target, k)
        self.intercept_ = np.log(self.target_) - np.log(self.source_)
        self.classes_, self.n_features_in_ = rows.classes, k
        return self

    def _transformed(self, z: NDArray[Any]) -> NDArray[Any]:
        shifted: NDArray[Any] = (z + self.intercept_).astype(z.dtype)
        return shifted

    def _parameters(self) -> dict[str, Any]:
        return {"intercept": self.intercept_}

    def _restore(self, parameters: dict[str, Any]) -> None:
        self.intercept_ = finite_array(parameters, "intercept", (self.n_features_in_,))


def _frequencies(name: str, given: ArrayLike, n_classes: int) -> NDArray[np.float64]:
    values = np.asarray(given, np.float64)
    if values.shape != (n_classes,) or not np.isfinite(values).all() or (values <= 0.0).any():
        raise ValueError(
            f"{name} must give each of the {n_classes} classes a frequency > 0, but is {values.tolist()}; a class that "
            "never comes cannot be corrected."
        )
    frequencies: NDArray[np.float64] = values / values.sum()
    return frequencies
