"""What `softmaxes calibrate` and `fit --calibrate` leave in the model, and what the report says of it."""

import re
from pathlib import Path

import numpy as np
import pytest
from tests.cli.shell import refused

from softmaxes import persistence
from softmaxes.__main__ import run


def lines(path):
    return Path(path).read_text().splitlines()


def kind_of(row):
    return row.rpartition(",")[2].strip('"')


def test_the_report_says_which_rows_calibrated(house, here, capsys):
    fit = ["fit", str(house / "trees.csv"), "--target", "kind", "--model", "m", "--calibrate", "temperature"]
    assert run([*fit, "--report", "r.html"]) == 0
    page = Path("r.html").read_text()
    assert "fitted on 192 predictions for these rows, each by a model that was not trained on it" in page
    assert "before calibration" in page and '"before"' in page  # in the cards, and as a series of the diagram
    assert persistence.load("m").facts["rows_calibrated"] == 192
    assert run(["calibrate", "m", str(house / "more.csv")]) == 0
    assert run(["evaluate", "m", str(house / "more.csv"), "--report", "r.html"]) == 0
    assert "fitted on 40 rows of more.csv" in Path("r.html").read_text()


def test_a_calibration_that_is_replaced_is_named(house, here, capsys):
    assert run(["calibrate", str(house / "trees.softmaxes"), str(house / "more.csv"), "--output", "m"]) == 0
    assert "replaced" not in capsys.readouterr().err
    assert run(["calibrate", "m", str(house / "more.csv"), "--method", "structured"]) == 0
    assert "the calibration that the model had, one temperature (" in capsys.readouterr().err


def test_a_temperature_at_its_bound_is_pointed_out(here, capsys):
    rows = [f"{x},{'ab'[x > 0]}" for x in range(-30, 31)]
    Path("t.csv").write_text("\n".join(["x,y", *rows]) + "\n")
    Path("right.csv").write_text("x,y\n-20,a\n-19,a\n20,b\n")
    Path("wrong.csv").write_text("x,y\n-20,b\n-19,b\n20,a\n")
    assert run(["fit", "t.csv", "--target", "y", "--model", "m"]) == 0
    capsys.readouterr()
    for table, bound in {"right.csv": "lower", "wrong.csv": "upper"}.items():
        assert run(["calibrate", "m", table, "--output", "c"]) == 0
        assert f"note: the temperature stopped at its {bound} bound: " in capsys.readouterr().err


def test_prior_shifts_by_the_ratio_of_the_frequencies(house, here, capsys):
    model = persistence.load(house / "trees.softmaxes")
    head, *rows = lines(house / "more.csv")
    kinds = [kind_of(row) for row in rows]
    kept = [row for row, kind in zip(rows, kinds, strict=True) if kind != "oak"]
    kept += [row for row, kind in zip(rows, kinds, strict=True) if kind == "oak"][:2]
    Path("shifted.csv").write_text("\n".join([head, *kept]) + "\n")
    calibrate = ["calibrate", str(house / "trees.softmaxes"), "shifted.csv", "--method", "prior", "--output", "m"]
    assert run(calibrate) == 0
    assert "a correction of the class frequencies" in capsys.readouterr().out
    now = np.array([kinds.count("ash"), kinds.count("elm"), 2])
    before, after = (m.predict_proba(house / "new.csv") for m in (model, persistence.load("m")))
    expected = before * now / np.array(model.facts["class_counts"])
    np.testing.assert_allclose(after, expected / expected.sum(axis=1, keepdims=True), rtol=1e-12)


@pytest.mark.parametrize(
    ("kinds", "options", "message"),
    [
        (["oak"], "", "needs rows of at least two classes, and all .* are of 'oak'"),
        (["oak", "elm"], "--method prior", "--method prior needs rows of every class, and there are none of 'ash'"),
        (["oak", "elm", "ash"], "--method matrix", "cannot determine 12 parameters; bring more rows, or use Struct"),
    ],
)
def test_rows_that_cannot_calibrate(house, here, capsys, kinds, options, message):
    head, *rows = lines(house / "more.csv")
    chosen = [row for kind in kinds for row in [row for row in rows if kind_of(row) == kind][:3]]
    Path("few.csv").write_text("\n".join([head, *chosen]) + "\n")
    said = refused(["calibrate", str(house / "trees.softmaxes"), "few.csv", *options.split()], capsys, here)
    assert re.search(message, said), said
