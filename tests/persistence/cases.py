"""Models to save."""

import numpy as np
import pyarrow as pa

from softmaxes.calibration import CALIBRATIONS
from softmaxes.classifier import SoftmaxClassifier
from softmaxes.tables import Recipe, TableModel, as_table, profile


def fitted(classes=("no", "yes", "maybe"), n=90, **parameters):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4))
    y = np.array(classes)[(X @ rng.normal(size=(4, len(classes)))).argmax(axis=1)]
    return SoftmaxClassifier(**parameters).fit(X, y), X


def table_model(calibration=None):
    rng = np.random.default_rng(1)
    n = 60
    table = as_table(
        pa.table(
            {
                "x": [None if i % 9 == 0 else float(v) for i, v in enumerate(rng.normal(size=n))],
                "c": rng.choice(["a", "b", 'say "hi"', "ü\n☃"], n),
                "when": pa.array(rng.integers(0, 10**15, n), pa.timestamp("us")),
                "text": [f"word{v} and more of word{v % 7}" for v in rng.integers(0, 30, n)],
            }
        )
    )
    recipe = Recipe.of(profile(table), target="y")
    y = np.array([10, 2, 30])[np.arange(n) % 3]
    classifier = SoftmaxClassifier().fit(recipe.matrix(table), y)
    if calibration is not None:
        logits = classifier.predict_log_proba(recipe.matrix(table))
        calibration = CALIBRATIONS[calibration]().fit(logits, np.arange(n) % 3, classes=np.arange(3))
    return TableModel(
        classifier, recipe, calibration, {"rows": n, "note": "ü", "inner": {"list": [1, 2.5, None]}}
    ), table
