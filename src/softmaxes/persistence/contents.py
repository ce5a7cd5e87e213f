"""What of a model goes into its file, as plain data and arrays, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.errors import UserError

__all__ = ["model_document", "model_from"]


def model_document(model: Any, tensors: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Return what a model is besides arrays, as data for JSON; the arrays are added to `tensors`."""
    from softmaxes import __version__
    from softmaxes.calibration import CalibratedClassifier
    from softmaxes.classifier import SoftmaxClassifier
    from softmaxes.heads import Head
    from softmaxes.heads.saving import head_document
    from softmaxes.tables.model import TableModel

    if isinstance(model, SoftmaxClassifier):
        return {"softmaxes": __version__, "kind": "classifier", "classifier": classifier_document(model, tensors)}
    if isinstance(model, CalibratedClassifier) and isinstance(model.classifier, SoftmaxClassifier):
        return {
            "softmaxes": __version__,
            "kind": "calibrated",
            "classifier": classifier_document(model.classifier, tensors),
            "calibration": model.calibration_.to_dict(),
        }
    if isinstance(model, TableModel):
        return {
            "softmaxes": __version__,
            "kind": "table",
            "classifier": classifier_document(model.classifier, tensors),
            "recipe": model.recipe.as_json(),
            "calibration": None if model.calibration is None else model.calibration.to_dict(),
            "facts": dict(model.facts),
        }
    if isinstance(model, Head):
        return {"softmaxes": __version__, "kind": "head", "head": head_document(model, tensors)}
    if isinstance(model, CalibratedClassifier):
        raise TypeError(f"a calibrated SoftmaxClassifier can be saved, not a {type(model.classifier).__name__}")
    raise TypeError(f"a SoftmaxClassifier, a TableModel or a head can be saved, not {type(model).__name__}")


def model_from(document: Mapping[str, Any], tensors: dict[str, NDArray[Any]]) -> Any:
    """Return the model that `model_document` described."""
    from softmaxes.heads.saving import head_from
    from softmaxes.tables.model import TableModel
    from softmaxes.tables.recipe import Recipe

    kind = document["kind"]
    if kind == "head":
        return head_from(document["head"], tensors)
    classifier = classifier_from(document["classifier"], tensors)
    if kind == "classifier":
        return classifier
    if kind == "calibrated":
        from softmaxes.calibration import CalibratedClassifier

        return CalibratedClassifier.of(classifier, calibration_from(document["calibration"], len(classifier.classes_)))
    if kind != "table":
        raise UserError(f"a model of kind {kind!r} is not known")
    recipe = Recipe.from_json(document["recipe"])
    if len(recipe.features) != classifier.n_features_in_:
        raise UserError(
            f"the recipe makes {len(recipe.features)} features, the classifier takes {classifier.n_features_in_}"
        )
    calibration = calibration_from(document["calibration"], len(classifier.classes_))
    facts = document["facts"]
    if not isinstance(facts, dict):
        raise UserError("the facts of the training are no JSON object")
    return TableModel(classifier, recipe, calibration, facts)


def classifier_document(classifier: Any, tensors: dict[str, NDArray[Any]]) -> dict[str, Any]:
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(classifier)
    tensors["coef"], tensors["intercept"] = classifier.coef_, classifier.intercept_
    names = getattr(classifier, "feature_names_in_", None)
    optimality = getattr(classifier, "optimality_", None)
    return {
        "labels": labels_document(classifier.classes_),
        "parameters": parameters_document(classifier),
        "feature_names": None if names is None else [str(name) for name in names],
        "n_iter": int_or_none(getattr(classifier, "n_iter_", None)),
        "objective": number_document(getattr(classifier, "objective_", None)),
        "optimality": None if optimality is None else {k: number_document(v) for k, v in asdict(optimality).items()},
        "solver_reason": getattr(classifier, "solver_reason_", None),
    }


def classifier_from(document: Mapping[str, Any], tensors: dict[str, NDArray[Any]]) -> Any:
    from softmaxes.classifier import from_parameters
    from softmaxes.solvers import Optimality

    coef, intercept = tensors["coef"], tensors["intercept"]
    if (
        coef.dtype.kind != "f"
        or intercept.dtype.kind != "f"
        or not (np.isfinite(coef).all() and np.isfinite(intercept).all())
    ):
        raise UserError("the coefficients are not finite floating-point numbers")
    fitted: dict[str, Any] = {}
    if document["feature_names"] is not None:
        names = np.array([string(name) for name in document["feature_names"]], dtype=object)
        if names.shape != (coef.shape[1],):
            raise UserError(f"{len(names)} feature names stand for {coef.shape[1]} features")
        fitted["feature_names_in_"] = names
    if document["n_iter"] is not None:
        fitted["n_iter_"] = int(document["n_iter"])
    if document["objective"] is not None:
        fitted["objective_"] = number_from(document["objective"])
    if document["optimality"] is not None:
        values = {name: number_from(value) for name, value in document["optimality"].items()}
        fitted["optimality_"] = Optimality(**values)
    if document["solver_reason"] is not None:
        fitted["solver_reason_"] = string(document["solver_reason"])
    parameters = parameters_from(document["parameters"])
    return from_parameters(labels_from(document["labels"]), coef, intercept, **parameters, **fitted)


DTYPE = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)|str|object")


def labels_document(classes: NDArray[Any]) -> dict[str, Any]:
    """Return labels with their type: JSON alone can't tell 1, 1.0 and True apart for every reader."""
    dtype = "str" if classes.dtype.kind in "UT" else str(classes.dtype)
    values = classes.tolist()
    if not DTYPE.fullmatch(dtype) or not all(type(value) in (bool, int, float, str) for value in values):
        raise TypeError(f"labels of type {classes.dtype} can't be saved; whole numbers, floats, booleans and text can")
    return {"dtype": dtype, "values": values}


def labels_from(document: Mapping[str, Any]) -> NDArray[Any]:
    dtype, values = string(document["dtype"]), document["values"]
    if not DTYPE.fullmatch(dtype) or not isinstance(values, list) or len(values) < 2:
        raise UserError(f"the labels are malformed: {len(values)} of type {dtype!r}")
    kinds = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float), "U": (str,), "O": (bool, int, float, str)}
    allowed = kinds[np.dtype(dtype).kind]
    if not all(type(value) in allowed for value in values) or len({(type(v), v) for v in values}) < len(values):
        raise UserError(f"the labels are malformed: not different values of type {dtype!r}")
    return np.array(values, dtype=dtype)


def parameters_document(classifier: Any) -> dict[str, Any]:
    """Return the constructor's parameters as data.

    A classifier that chose its C among many is kept as the classifier of that C. A random generator is not kept.
    """
    from softmaxes.classifier import SoftmaxClassifier

    usual = SoftmaxClassifier().get_params(deep=False)
    values = {name: getattr(classifier, name, value) for name, value in usual.items()}
    values["C"] = getattr(classifier, "C_", values["C"])
    return {name: parameter_document(name, value) for name, value in values.items()}


def parameter_document(name: str, value: Any) -> Any:
    from softmaxes.maps import FAMILY, Generalized, Member
    from softmaxes.solvers import Solver

    if isinstance(value, Solver):
        return {"solver": value.name, **asdict(value)}  # type: ignore[call-overload]
    if isinstance(value, Generalized) and value in FAMILY:
        return value.title
    if isinstance(value, Member) and not isinstance(value, Generalized):
        entries = {key: number_document(entry) for key, entry in asdict(value).items()}  # type: ignore[call-overload]
        return {"map": type(value).__name__, **entries}
    if isinstance(value, dict):
        return {"weights": [[plain(label), float(weight)] for label, weight in value.items()]}
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float | np.number):
        return number_document(plain(value))
    if name == "random_state":
        return None
    raise TypeError(f"the parameter {name}={value!r} can't be saved")


def parameters_from(document: Mapping[str, Any]) -> dict[str, Any]:
    if any(name.endswith("_") for name in document):
        raise UserError(f"{sorted(document)} are not parameters of a classifier")
    return {string(name): parameter_from(value) for name, value in document.items()}


def parameter_from(value: Any) -> Any:
    if not isinstance(value, dict):
        return number_from(value)
    if "weights" in value:
        return {label: float(weight) for label, weight in value["weights"]}
    entries = {name: tuple(entry) if isinstance(entry, list) else number_from(entry) for name, entry in value.items()}
    if "map" in entries:
        from softmaxes.maps import FAMILY, Generalized

        known = {type(member).__name__: type(member) for member in FAMILY if not isinstance(member, Generalized)}
        return known[string(entries.pop("map"))](**entries)
    from softmaxes.solvers import NAMED

    name = string(entries.pop("solver"))
    return type(NAMED[name])(**entries)


def calibration_from(document: Any, n_classes: int) -> Any:
    from softmaxes import calibration

    if document is None:
        return None
    restored = calibration.from_dict(document)
    if restored.n_features_in_ != n_classes:
        raise UserError(f"the calibration is for {restored.n_features_in_} classes, the classifier has {n_classes}")
    return restored


def number_document(value: Any) -> Any:
    """Return a number for JSON, which has no infinity: "inf", "-inf" and "nan" stand for themselves."""
    value = plain(value)
    return repr(value) if isinstance(value, float) and not np.isfinite(value) else value


def number_from(value: Any) -> Any:
    if isinstance(value, str) and value in ("inf", "-inf", "nan"):
        return float(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UserError(f"a number was expected, not {value!r}")


def plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def int_or_none(value: Any) -> int | None:
    return None if value is None else int(value)


def string(value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"text was expected, not {value!r}")
    return value
