"""What a fitted model can tell of its own training, in the words of a report."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.report.evidence import MAX_COEFFICIENTS, Certificate, Coefficient, Column, Step, Training

__all__ = ["training_of"]


INTERVALS = "approximate 95 % intervals, from the curvature of the objective"


def training_of(
    model: Any, *, profile: Any = None, seconds: float | None = None, standard_errors: NDArray[Any] | None = None
) -> Training:
    """Return what is known of the training of a `TableModel` or of a `SoftmaxClassifier`.

    profile: the `tables.Profile` of the training table, for the missing values of each column. seconds: how long the
    fit took. standard_errors: (K, n_features), for the intervals of the coefficients (`standard_errors`).
    """
    classifier = getattr(model, "classifier", model)
    recipe = getattr(model, "recipe", None)
    facts: Mapping[str, Any] = getattr(model, "facts", {})
    names = _feature_names(classifier, recipe)
    history = getattr(classifier, "history_", ())
    return Training(
        data=facts.get("data"),
        target=getattr(recipe, "target", None),
        rows=facts.get("rows_trained"),
        rows_calibrated=facts.get("rows_calibrated") or None,
        calibrated_on=facts.get("calibrated_on"),
        class_counts=tuple(facts.get("class_counts", ())),
        n_features=len(names),
        penalty=_penalty(classifier),
        solver=getattr(classifier, "solver_reason_", None),
        n_iter=getattr(classifier, "n_iter_", None),
        seconds=seconds,
        trained_at=facts.get("trained_at"),
        calibration=_calibration(getattr(model, "calibration_", getattr(model, "calibration", None))),
        certificate=_certificate(classifier),
        history=tuple(Step(s.passes, s.seconds, s.objective, _finite(s.bound)) for s in history),
        coefficients=_coefficients(classifier, names, standard_errors),
        interval_note=None if standard_errors is None else INTERVALS,
        columns=() if recipe is None else _columns(recipe, profile),
    )


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and isfinite(value) else None


def _feature_names(classifier: Any, recipe: Any) -> list[str]:
    if recipe is not None:
        return list(recipe.features)
    named = getattr(classifier, "feature_names_in_", None)
    return [f"x{j}" for j in range(classifier.coef_.shape[1])] if named is None else [str(name) for name in named]


def _penalty(classifier: Any) -> str | None:
    strength = getattr(classifier, "C", None)
    if strength is None:
        return None
    return "none (C = inf)" if strength == float("inf") else f"squared weights, C = {strength:g}"


def _calibration(calibration: Any) -> str | None:
    """Say what a calibration does."""
    if calibration is None:
        return None
    name = type(calibration).__name__
    temperature = getattr(calibration, "temperature_", None)
    if name != "TemperatureScaling":
        words = {
            "VectorScaling": "a scale and a shift for each class",
            "MatrixScaling": "a full matrix and a shift for each class",
            "StructuredScaling": "a shrunken matrix and a shift for each class",
            "DirichletCalibration": "a Dirichlet map of the log-probabilities",
            "PriorCorrection": "a correction of the class frequencies",
        }
        return words.get(name, name)
    bound = f", stopped at its {calibration.at_bound_} bound" if calibration.at_bound_ else ""
    return f"one temperature ({temperature:.4g}{bound})"


def _certificate(classifier: Any) -> Certificate | None:
    optimality = getattr(classifier, "optimality_", None)
    objective = getattr(classifier, "objective_", None)
    if optimality is None or objective is None:
        return None
    return Certificate(
        float(objective),
        _finite(optimality.suboptimality_bound),
        _finite(optimality.relative),
        _finite(optimality.gradient_norm),
        bool(optimality.met),
    )


def _coefficients(classifier: Any, names: list[str], errors: NDArray[Any] | None) -> tuple[Coefficient, ...]:
    """Return the largest coefficients of each class; if two classes share one row, they get it with both signs."""
    coef = np.asarray(classifier.coef_, np.float64)
    labels = [str(label) for label in classifier.classes_]
    if len(coef) == 1 and len(labels) == 2:
        coef = np.vstack([-coef, coef])
        errors = None if errors is None else np.vstack([errors, errors])
    made = []
    for k, label in enumerate(labels):
        for j in np.argsort(-np.abs(coef[k]), kind="stable")[:MAX_COEFFICIENTS].tolist():
            value = float(coef[k, j])
            reach = None if errors is None else 1.959963984540054 * float(errors[k, j])
            low, high = (None, None) if reach is None else (value - reach, value + reach)
            made.append(Coefficient(label, names[j], value, low, high))
    return tuple(made)


def _columns(recipe: Any, profile: Any) -> tuple[Column, ...]:
    """Return the data sheet: the columns used and what became of each, then those left out and why."""
    sheet = [
        Column(c.name, _kind(c), _treatment(c), _missing(profile, c.name), len(c.features)) for c in recipe.columns
    ]
    sheet += [Column(name, "not used", reason, _missing(profile, name), 0) for name, reason in recipe.unused]
    return tuple(sheet)


def _missing(profile: Any, name: str) -> float | None:
    column = None if profile is None else profile.columns.get(name)
    return None if column is None or not column.rows else column.missing / column.rows


def _kind(column: Any) -> str:
    return {"Numeric": "number", "Categorical": "category", "Dates": "date", "Text": "text"}[type(column).__name__]


def _treatment(column: Any) -> str:
    kind = _kind(column)
    if kind == "number":
        gaps = "; gaps filled with the mean and marked" if column.indicator else ""
        return f"mean {column.mean:.4g} and spread {column.scale:.4g} brought to 0 and 1{gaps}"
    if kind == "category":
        extra = [word for word, has in (("all others", column.other), ("missing", column.missing)) if has]
        return f"one feature for each of {len(column.categories):,} values" + (
            f", and for {' and '.join(extra)}" if extra else ""
        )
    if kind == "date":
        return f"split into {', '.join(column.parts)}, each brought to mean 0 and spread 1"
    return f"words counted: {len(column.words):,} of them, weighted by rarity"
