"""The main job from the shell, on real tables, against a scikit-learn pipeline on the same rows."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from softmaxes import load
from softmaxes.__main__ import run
from softmaxes.tables import held_out, open_table, read_targets

pandas = pytest.importorskip("pandas")


def digits():
    return datasets.load_digits(as_frame=True).frame, "target", []


def iris():
    return datasets.load_iris(as_frame=True).frame, "target", []


def wine():
    return datasets.load_wine(as_frame=True).frame, "target", []


def breast_cancer():
    return datasets.load_breast_cancer(as_frame=True).frame, "target", []


def wine_with_gaps():
    """Measurements with gaps, some of them turned into names, and the class as text."""
    frame, _, _ = wine()
    rng = np.random.default_rng(0)
    gaps = rng.random(frame.shape) < 0.15
    frame["proline"] = pandas.cut(frame["proline"], 5, labels=["lowest", "low", "middle", "high", "highest"]).astype(
        object
    )
    frame["hue"] = pandas.cut(frame["hue"], 3, labels=["pale", "dark, very", 'so "red"']).astype(object)
    frame = frame.mask(gaps & (frame.columns != "target"))
    frame["target"] = np.array(["barolo", "grignolino", "barbera"])[frame["target"].astype(int)]
    return frame, "target", []


def diagnoses():
    """Free text beside numbers: what a doctor might write of each of the digits' images."""
    frame = datasets.load_breast_cancer(as_frame=True).frame[["mean texture", "mean smoothness", "mean area", "target"]]
    size = pandas.cut(frame["mean area"], [0, 400, 600, 900, 1e9], labels=["tiny", "small", "broad", "very broad"])
    note = [f"{s} mass seen in slide {i % 97}, second look on day {i % 31}" for i, s in enumerate(size)]
    return frame.drop(columns="mean area").assign(note=note), "target", ["note"]


TABLES = (digits, iris, wine, breast_cancer, wine_with_gaps, diagnoses)


def pipeline(frame, text):
    numbers = [name for name in frame if pandas.api.types.is_numeric_dtype(frame[name])]
    names = [name for name in frame if name not in numbers and name not in text]
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")), names),
        *((TfidfVectorizer(min_df=2), name) for name in text),
    )
    return make_pipeline(columns, LogisticRegression(max_iter=5000))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_held_out_scores_equal_a_pipeline(tmp_path, monkeypatch, capsys, table):
    monkeypatch.chdir(tmp_path)
    frame, target, text = table()
    frame.to_csv("t.csv", index=False)
    assert run(["fit", "t.csv", "--target", target, "--holdout", "0.3", "--seed", "4", "--model", "m"]) == 0
    scores = load("m").facts["scores"]

    held = held_out(read_targets(open_table("t.csv"), target)[1], 0.3, 4)
    X, y = frame.drop(columns=target), frame[target].to_numpy()
    rival = pipeline(X, text).fit(X[~held], y[~held])
    p = rival.predict_proba(X[held])
    # At least as good, within a point of accuracy (or one row, where a row is more) and 5 % of log-loss.
    assert scores["accuracy"] >= accuracy_score(y[held], rival.predict(X[held])) - max(0.01, 1.001 / held.sum())
    assert scores["log_loss"] <= 1.05 * log_loss(y[held], p, labels=rival.classes_)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_fit_calibrate_report_predict_evaluate(tmp_path, monkeypatch, capsys, suffix):
    monkeypatch.chdir(tmp_path)
    frame, target, _ = wine_with_gaps()
    write = {".csv": lambda f, path: f.to_csv(path, index=False), ".parquet": lambda f, path: f.to_parquet(path)}[
        suffix
    ]
    write(frame[::2], f"train{suffix}")
    write(frame[1::2], f"later{suffix}")
    write(frame[1::2].drop(columns=target), f"new{suffix}")
    train = ["fit", f"train{suffix}", "--target", target, "--calibrate", "temperature", "--report", "report.html"]
    assert run(train) == 0
    assert Path("report.html").read_text().lower().startswith("<!doctype html>")
    assert run(["predict", "train.softmaxes", f"new{suffix}", "--probabilities", "-o", "p.csv"]) == 0
    capsys.readouterr()
    assert run(["evaluate", "train.softmaxes", f"later{suffix}", "--json", "--report", "later.html"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    # What evaluate says is what anyone finds in the file that predict wrote.
    written = pandas.read_csv("p.csv")
    y = frame[target][1::2].to_numpy()
    p = written[[f"p({name})" for name in sorted(set(y))]].to_numpy()
    assert scores["accuracy"]["value"] == pytest.approx(accuracy_score(y, written["prediction"]), rel=1e-12)
    assert scores["log_loss"]["value"] == pytest.approx(log_loss(y, p), rel=1e-12)
    assert scores["log_loss"]["value"] < 0.5
    assert {path.name for path in tmp_path.iterdir()} == {
        f"train{suffix}", f"later{suffix}", f"new{suffix}", "train.softmaxes", "report.html", "later.html", "p.csv",
    }  # fmt: skip


def test_the_demo_can_be_repeated_from_what_it_prints(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert run(["demo"]) == 0
    out = capfd.readouterr().out
    commands = [line[2:].split() for line in out.splitlines() if line.startswith("$ ")]
    assert [command[1] for command in commands] == ["fit", "predict", "predict"]
    model = load("softmaxes-demo/digits.softmaxes")
    assert type(model.calibration).__name__ == "TemperatureScaling"
    assert Path("softmaxes-demo/report.html").read_text().lower().startswith("<!doctype html>")

    table = open_table("softmaxes-demo/digits.csv")
    held = held_out(read_targets(table, "digit")[1], 0.2, 0)
    frame = pandas.read_csv("softmaxes-demo/digits.csv")
    X, y = frame.drop(columns="digit"), frame["digit"].to_numpy()
    rival = pipeline(X, []).fit(X[~held], y[~held])
    assert model.facts["scores"]["accuracy"] >= accuracy_score(y[held], rival.predict(X[held])) - 0.01
    assert model.facts["scores"]["log_loss"] <= 1.05 * log_loss(y[held], rival.predict_proba(X[held]))

    made = Path("softmaxes-demo/predictions.csv").read_bytes()
    Path("softmaxes-demo/digits.softmaxes").unlink()
    Path("softmaxes-demo/predictions.csv").unlink()
    for command in commands[:2]:
        assert run(command[1:]) == 0
    assert Path("softmaxes-demo/predictions.csv").read_bytes() == made
    shutil.rmtree("softmaxes-demo")
