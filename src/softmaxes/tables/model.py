"""A classifier together with the recipe for its table: from a file of rows to labels and probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .labels import Labels
from .reading import Block, as_table
from .recipe import Recipe

__all__ = ["Calibration", "Classifier", "TableModel"]


class Classifier(Protocol):
    """What a table model asks of its classifier."""

    classes_: NDArray[Any]

    def predict_log_proba(self, X: Any, /) -> NDArray[Any]:
        """Return (rows, classes) logarithms of probabilities."""


class Calibration(Protocol):
    """What a table model asks of its calibration."""

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as plain data."""

    def transform(self, logits: NDArray[Any], /) -> NDArray[Any]:
        """Return the calibrated logits, (rows, classes)."""


@dataclass(frozen=True)
class TableModel:
    """A fitted classifier that takes tables: paths, pyarrow tables, data frames.

    Parameters
    ----------
    classifier
        The classifier of the features.
    recipe
        How the columns of a table become features.
    calibration
        Applied to the classifier's logits, or None.
    facts
        What should be remembered of the training: plain data for JSON.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from softmaxes.classifier import SoftmaxClassifier
    >>> from softmaxes.tables import Recipe, TableModel, as_table, profile
    >>> trees = as_table(pa.table({"height": [3.0, None, 25.0, 30.0], "bark": ["grey", "grey", "brown", "brown"]}))
    >>> recipe = Recipe.of(profile(trees))
    >>> model = TableModel(SoftmaxClassifier().fit(recipe.matrix(trees), ["birch", "birch", "oak", "oak"]), recipe)
    >>> model.predict(pa.table({"height": [28.0, 4.0], "bark": ["brown", None]})).tolist()
    ['oak', 'birch']
    """

    classifier: Classifier
    recipe: Recipe
    calibration: Calibration | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, in the order of the columns of probabilities."""
        return self.classifier.classes_

    @cached_property
    def labels(self) -> Labels:
        """The labels with their type."""
        return Labels.of_array(self.classes_)

    def raw_logits(self, X: Any) -> NDArray[Any]:
        """Return the classifier's logits of a matrix of features, not calibrated: here its log-probabilities."""
        return self.classifier.predict_log_proba(X)

    def calibrated(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return the probabilities that go with logits from `raw_logits`."""
        from softmaxes.exponential import softmax

        logits = raw if self.calibration is None else self.calibration.transform(raw)
        result: NDArray[Any] = softmax(logits)
        return result

    def probabilities(self, X: Any) -> NDArray[Any]:
        """Return the probabilities of a matrix of features, (rows, classes)."""
        return self.calibrated(self.raw_logits(X))

    def blocks(self, data: Any, *, ignore_extra: bool = False) -> Iterator[tuple[Block, NDArray[Any]]]:
        """Yield the blocks of a table, with the columns that the model uses, and the probabilities of their rows."""
        table = as_table(data)
        self.recipe.check_columns(table, ignore_extra=ignore_extra)
        for block in table.blocks(columns=self.recipe.names):
            yield block, self.probabilities(self.recipe.transform(block))

    def predict_proba(self, data: Any) -> NDArray[Any]:
        """Return the probabilities of the rows of a table, (rows, classes), in the order of `classes_`.

        Raises
        ------
        UserError
            If the table lacks a column, has one too many, or holds a value that its column can't be.
        """
        return np.concatenate([probabilities for _, probabilities in self.blocks(data)])

    def predict(self, data: Any) -> NDArray[Any]:
        """Return the most probable label of each row of a table."""
        labels: NDArray[Any] = self.classes_[self.predict_proba(data).argmax(axis=1)]
        return labels
