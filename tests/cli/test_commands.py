"""What every command prints and writes when all is well."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from pyarrow import csv, feather, parquet

from softmaxes import persistence
from softmaxes.__main__ import run


def test_fit_prints_a_short_table_and_saves_a_model(house, here, capsys):
    assert run(["fit", str(house / "trees.csv"), "--target", "kind", "--calibrate", "temperature", "--C", "0.5"]) == 0
    out, err = capsys.readouterr()
    for word in (
        "192 to train on, 48 held out",
        "4 used",
        "3: ash, elm, oak",
        "proven within",
        "accuracy",
        "log-loss",
        "Brier score",
        "calibration error",
        "95% interval",
        "temperature",
        "saved trees.softmaxes",
    ):
        assert word in out, word
    assert err == ""
    assert max(map(len, out.splitlines())) <= 120
    assert "\x1b" not in out
    assert os.listdir(here) == ["trees.softmaxes"]
    model = persistence.load("trees.softmaxes")
    assert model.classifier.C == 0.5
    assert model.facts["rows_held_out"] == 48


def test_the_same_seed_is_the_same_model_and_threads_do_not_matter(house, here, capsys):
    for name, options in {"a": [], "b": ["--threads", "1"], "c": ["--seed", "1"]}.items():
        run(["fit", str(house / "trees.csv"), "--target", "kind", "--model", name, *options])
    a, b, c = (persistence.load(name) for name in "abc")
    np.testing.assert_array_equal(a.classifier.coef_, b.classifier.coef_)
    assert not np.array_equal(a.classifier.coef_, c.classifier.coef_)


def test_a_second_table_can_be_the_test(house, here, capsys):
    assert run(["fit", str(house / "trees.csv"), "--target", "kind", "--test", str(house / "more.csv")]) == 0
    out = capsys.readouterr().out
    assert "240 to train on\n" in out
    assert "on the rows of more.csv   40 rows" in out


def test_no_rows_need_be_held_out(house, here, capsys):
    assert run(["fit", str(house / "trees.csv"), "--target", "kind", "--holdout", "0"]) == 0
    assert "there are no scores" in capsys.readouterr().out


def test_columns_can_be_ignored_or_declared_names(here, capsys):
    Path("t.csv").write_text(
        "id,zip,x,y\n" + "".join(f"{i * 7},{10 + i % 3},{i % 5},{'ab'[i % 2]}\n" for i in range(60))
    )
    assert run(["fit", "t.csv", "--target", "y", "--ignore", "id", "--categorical", "zip", "--model", "m"]) == 0
    assert persistence.load("m").recipe.features == ("zip = 10", "zip = 11", "zip = 12", "x")


def test_what_is_left_out_or_odd_is_said(here, capsys):
    rows = [f"{i},same,name{i},{'n.a.' if i == 30 else i % 4},{i % 3}" for i in range(60)]
    Path("t.csv").write_bytes("\n".join(["n,c,who,x,y", *rows, "60,same,namé,1,1\n"]).encode("latin-1"))
    assert run(["fit", "t.csv", "--target", "y", "--model", "m"]) == 0
    notes = capsys.readouterr().err
    assert "t.csv is not UTF-8; it is read as latin-1" in notes
    assert "all values are the same: c" in notes
    assert "only counts the rows: n" in notes
    assert "hardly a value occurs twice: who" in notes
    assert "column 'x' is treated as names: 1 of 49 values are no numbers, first 'n.a.' in row 31" in notes


FORMATS = {
    ".csv": csv.read_csv,
    ".tsv": lambda path: csv.read_csv(path, parse_options=csv.ParseOptions(delimiter="\t")),
    ".parquet": parquet.read_table,
    ".feather": feather.read_table,
    ".arrow": feather.read_table,
}


@pytest.mark.parametrize("suffix", FORMATS)
def test_predict_writes_every_format(house, here, capsys, suffix):
    data = house / ("new.parquet" if suffix == ".csv" else "new.csv")
    assert run(["predict", str(house / "trees.softmaxes"), str(data), "--probabilities", "-o", f"p{suffix}"]) == 0
    written = FORMATS[suffix](f"p{suffix}")
    model = persistence.load(house / "trees.softmaxes")
    assert written.column_names == ["prediction", "p(ash)", "p(elm)", "p(oak)"]
    assert written["prediction"].to_pylist() == model.predict(house / "new.csv").tolist()
    p = np.column_stack([column.to_numpy() for column in written.columns[1:]])
    np.testing.assert_array_equal(p, model.predict_proba(house / "new.csv"))
    assert capsys.readouterr().out == ""


def test_predict_prints_csv_for_pipes(house, capsys):
    assert run(["predict", str(house / "trees.softmaxes"), str(house / "new.csv")]) == 0
    out, err = capsys.readouterr()
    model = persistence.load(house / "trees.softmaxes")
    assert out.splitlines() == ["prediction", *model.predict(house / "new.csv").tolist()]
    assert err == ""


def test_evaluate_gives_numbers_to_programs(house, capsys):
    assert run(["evaluate", str(house / "trees.softmaxes"), str(house / "more.csv"), "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["rows"] == 40
    assert 0 < numbers["scores"]["log_loss"]["value"] < 1.1
    assert run(["evaluate", str(house / "trees.softmaxes"), str(house / "more.csv")]) == 0
    assert f"{numbers['scores']['log_loss']['value']:.4f}" in capsys.readouterr().out


def test_calibrate_keeps_predictions_and_lowers_the_loss(house, here, capsys):
    arguments = [str(house / "trees.softmaxes"), str(house / "more.csv"), "--output", "calibrated"]
    assert run(["calibrate", *arguments]) == 0
    out = capsys.readouterr().out
    before, after = next(line for line in out.splitlines() if "log-loss" in line).split()[1:]
    assert float(after) <= float(before)
    old, new = persistence.load(house / "trees.softmaxes"), persistence.load("calibrated")
    np.testing.assert_array_equal(old.predict(house / "new.csv"), new.predict(house / "new.csv"))
    assert run(["calibrate", "calibrated", str(house / "more.csv"), "--method", "vector"]) == 0
    assert type(persistence.load("calibrated").calibration).__name__ == "VectorScaling"


def test_info_tells_of_the_machine_and_of_a_model(house, capsys):
    assert run(["info"]) == 0
    out = capsys.readouterr().out
    for word in ("softmaxes", "instruction set", "SOFTMAXES_ISA", "threads", "kernel", "pyarrow"):
        assert word in out, word
    assert run(["info", str(house / "trees.softmaxes")]) == 0
    out = capsys.readouterr().out
    for word in ("3: ash, elm, oak", "target", "kind", "size", "numeric", "story", "text", "none"):
        assert word in out, word


def test_family_lists_every_member(capsys):
    from softmaxes.maps import FAMILY

    assert run(["family"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith(repr(member)) for member, line in zip(FAMILY, lines[1:], strict=True)] == [True] * len(
        FAMILY
    )
    assert run(["family", "2", "1", "-0.5"]) == 0
    assert "0.6897" in capsys.readouterr().out.splitlines()[1]  # e^2 / (e^2 + e + e^-0.5)


def test_certify_measures_the_promises(capsys):
    assert run(["certify"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("every promise kept")


def test_explore_writes_a_page_with_the_model_in_it(house, here, capsys):
    arguments = [str(house / "trees.softmaxes"), str(house / "more.csv"), "--no-browser", "-o", "page.html"]
    assert run(["explore", *arguments]) == 0
    assert '"classes":["ash","elm","oak"]' in Path("page.html").read_text()


@pytest.mark.parametrize(
    "command", ["fit", "predict", "evaluate", "calibrate", "info", "demo", "family", "certify", "explore"]
)
def test_help_has_a_sentence_and_every_parameter(command, capsys):
    assert run([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: softmaxes " + command)
    assert ":param" not in out and "Parameters\n---" not in out


def test_no_command_is_a_request_for_help(capsys):
    assert run([]) == 0
    assert "softmaxes demo" in capsys.readouterr().out
