"""What every calibration shares: checked logits and labels, scikit-learn's manners, and parameters as plain numbers."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from softmaxes.arrays import refuse_clever_arrays
from softmaxes.exponential import softmax
from softmaxes.metrics.base import checked_weight, class_indices

__all__ = ["Calibration", "HeldOut", "checked_logits"]


def checked_logits(logits: ArrayLike, *, infinite: bool = True) -> NDArray[Any]:
    """Return logits as a floating-point array (n, K), K >= 2, free of NaN and of +inf.

    infinite: whether -inf (a class that cannot happen) is allowed. Probabilities are recognised and refused.
    """
    refuse_clever_arrays(logits, "logits")
    z = np.asarray(logits)
    if z.dtype.kind not in "fiu" and z.dtype.name != "bfloat16":
        raise TypeError(f"logits must be real numbers, not {z.dtype}.")
    if z.dtype.kind != "f" or z.dtype.itemsize < 4:
        z = z.astype(np.float64 if z.dtype.kind in "iu" else np.float32)
    if z.ndim != 2:
        advice = " For two classes pass both columns: np.column_stack([np.zeros_like(d), d])." if z.ndim == 1 else ""
        raise ValueError(f"logits must have shape (rows, classes), not {z.shape}.{advice}")
    if z.shape[1] < 2:
        raise ValueError(f"logits have {z.shape[1]} class columns; calibration needs at least 2.")
    if not np.isfinite(z).all():
        _refuse_nonfinite(z, infinite)
    _refuse_probabilities(z)
    return z


def _refuse_nonfinite(z: NDArray[Any], infinite: bool) -> None:
    bad = np.isnan(z).any(axis=1)
    if bad.any():
        raise ValueError(f"logits contain NaN in {bad.sum()} of {len(z)} rows, first in row {np.flatnonzero(bad)[0]}.")
    bad = (z == np.inf).any(axis=1) if infinite else np.isinf(z).any(axis=1)
    if bad.any():
        need = (
            "+inf is not allowed"
            if infinite
            else "this calibration mixes classes, so neither -inf nor +inf is allowed; TemperatureScaling takes -inf"
        )
        raise ValueError(f"logits are infinite in row {np.flatnonzero(bad)[0]}: {need}.")


def _refuse_probabilities(z: NDArray[Any]) -> None:
    """Raise ValueError if every row is a distribution: such numbers are probabilities that were passed as logits."""
    if len(z) and z.min() >= 0.0 and z.max() <= 1.0 and np.abs(z.sum(axis=1, dtype=np.float64) - 1.0).max() <= 1e-3:
        raise ValueError(
            "these are probabilities (every row is >= 0 and sums to 1), but calibration needs logits: pass the model's "
            "decision_function, or numpy.log(probabilities)."
        )


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Checked held-out rows: logits (n, K), target (n,) column numbers, weight (n,) > 0."""

    logits: NDArray[Any]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]
    classes: NDArray[Any]

    @staticmethod
    def of(
        logits: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        *,
        infinite: bool = True,
        block: bool = False,
    ) -> HeldOut:
        """Check what a user brought. Rows of weight 0 are left out, as if they had not been given.

        block: these are some of the rows, of which one class alone may be seen.
        """
        z = checked_logits(logits, infinite=infinite)
        labels = np.asarray(y)
        if labels.ndim == 1 and len(labels) != len(z):
            raise ValueError(f"{len(z)} rows of logits but {len(labels)} labels: one label per row is needed.")
        names = _classes(labels, z.shape[1], classes)
        numbered = classes is None and names.dtype.kind == "i" and np.array_equal(names, np.arange(len(names)))
        target = class_indices(labels, z.shape[1], None if numbered else names)
        weight = checked_weight(sample_weight, len(z))
        seen = weight > 0.0
        if not seen.all():
            z, target, weight = z[seen], target[seen], weight[seen]
        if not block and (not len(target) or (target == target[0]).all()):
            what = "no rows of positive weight" if not len(target) else f"one class only, {names[target[0]].item()!r}"
            raise ValueError(f"calibration needs held-out rows of at least two classes, but got {what}.")
        return HeldOut(z, target, weight, names)

    def need_rows(self, n_parameters: int, advice: str) -> None:
        """Raise ValueError if there are fewer rows than parameters to fit."""
        if len(self.target) < n_parameters:
            raise ValueError(
                f"{len(self.target)} held-out rows cannot determine {n_parameters} parameters; bring more rows, or "
                f"{advice}."
            )


def _classes(labels: NDArray[Any], n_columns: int, classes: ArrayLike | None) -> NDArray[Any]:
    """Return the label of each column: as given; else column numbers if the labels are such; else the sorted labels."""
    if classes is not None:
        return np.asarray(classes)
    integers = labels.dtype.kind in "iub" or (labels.dtype.kind == "f" and (labels == np.floor(labels)).all())
    if integers and labels.size and labels.min() >= 0 and labels.max() < n_columns:
        return np.arange(n_columns)
    distinct = np.unique(labels)
    if len(distinct) != n_columns:
        raise ValueError(
            f"logits have {n_columns} columns, but y holds {len(distinct)} distinct labels that are not column numbers "
            f"0..{n_columns - 1}; pass classes=, the label of each column (classifier.classes_)."
        )
    return distinct


class Calibration(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transform of logits, fitted on held-out rows: fit, transform, predict_proba, predict, to_dict, from_dict."""

    classes_: NDArray[Any]
    n_features_in_: int

    @abstractmethod
    def fit(
        self,
        logits: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Fit on held-out logits (n, K) and labels (n,), which the model must not have been trained on.

        y holds column numbers, or labels: then the columns are the sorted labels, or those given as `classes`.
        """

    @abstractmethod
    def _transformed(self, z: NDArray[Any]) -> NDArray[Any]:
        """Return the calibrated logits of checked ones."""

    @abstractmethod
    def _parameters(self) -> dict[str, Any]:
        """Return the fitted numbers, JSON-able: the attributes they are kept in, without the underscore."""

    def transform(self, logits: ArrayLike) -> NDArray[Any]:
        """Return calibrated logits, (n, K) as the logits given."""
        check_is_fitted(self, "n_features_in_")
        z = checked_logits(logits)
        if z.shape[1] != self.n_features_in_:
            raise ValueError(f"{type(self).__name__} was fitted on {self.n_features_in_} classes, not {z.shape[1]}.")
        calibrated: NDArray[Any] = self._transformed(z)
        return calibrated

    def predict_proba(self, logits: ArrayLike) -> NDArray[Any]:
        """Return the calibrated probabilities, the softmax of `transform`."""
        probabilities: NDArray[Any] = softmax(self.transform(logits), axis=1)
        return probabilities

    def predict(self, logits: ArrayLike) -> NDArray[Any]:
        """Return the most probable label of each row."""
        labels: NDArray[Any] = self.classes_[self.transform(logits).argmax(axis=1)]
        return labels

    def to_dict(self) -> dict[str, Any]:
        """Return everything that `from_dict` needs, as JSON-able values."""
        check_is_fitted(self, "n_features_in_")
        return {
            "method": type(self).__name__,
            "settings": {key: _plain(value) for key, value in self.get_params().items()},
            "classes": self.classes_.tolist(),
            "parameters": {key: _plain(value) for key, value in self._parameters().items()},
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the fitted calibration that `to_dict` described; ValueError if it is malformed."""
        if values.get("method") != cls.__name__:
            raise ValueError(f"this describes the calibration {values.get('method')!r}, not {cls.__name__}.")
        try:
            made = cls(**values["settings"])
            made.classes_ = np.asarray(values["classes"])
            made.n_features_in_ = len(made.classes_)
            parameters = dict(values["parameters"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"malformed description of {cls.__name__}: {error}.") from error
        made._restore(parameters)
        if made._parameters().keys() != parameters.keys():
            raise ValueError(f"malformed description of {cls.__name__}: parameters {sorted(parameters)}.")
        return made

    @abstractmethod
    def _restore(self, parameters: dict[str, Any]) -> None:
        """Set the fitted attributes from what `_parameters` returned; ValueError if shapes or values are wrong."""


def finite_array(parameters: dict[str, Any], name: str, *shapes: tuple[int, ...]) -> NDArray[np.float64]:
    """Return a parameter as a finite float64 array of one of these shapes, or raise ValueError."""
    try:
        array = np.asarray(parameters[name], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"malformed calibration parameter {name!r}: {error}.") from error
    if array.shape not in shapes or not np.isfinite(array).all():
        raise ValueError(f"calibration parameter {name!r} must be finite with shape {shapes[0]}, not {array.shape}.")
    return array


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, tuple):
        return list(value)
    return value
