"""scikit-learn's way to learn from blocks: SGDClassifier.partial_fit, one class against the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from sklearn.linear_model import SGDClassifier

NAME = "sklearn SGDClassifier.partial_fit"


def trail(
    blocks: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]],
    classes: np.ndarray,
    held: tuple[np.ndarray, np.ndarray],
    seconds: float,
) -> Iterator[tuple[float, float]]:
    """Yield the seconds spent in partial_fit so far, and the log-loss of held rows, block after block, pass after pass.

    It uses one processor, so the seconds are those of the processor. Reading the blocks and the losses are not counted.
    seconds: after which to end.
    """
    model = SGDClassifier(loss="log_loss")
    X, y = held
    spent = 0.0
    while True:
        for features, labels in blocks():
            began = time.process_time()
            model.partial_fit(features, labels, classes=classes)
            spent += time.process_time() - began
            p = model.predict_proba(X)[np.arange(len(y)), y]
            yield spent, float(-np.log(np.maximum(p, 1e-15)).mean())
            if spent > seconds:
                return
