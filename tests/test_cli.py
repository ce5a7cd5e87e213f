"""The command line: what it prints; and whatever a user can get wrong is one message, status 2, nothing written."""

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, feather, parquet

from softmaxes import persistence
from softmaxes.__main__ import EXTRAS, run


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder with a table of every kind of column, a model trained on it, and rows to predict."""
    folder = tmp_path_factory.mktemp("house")
    rng = np.random.default_rng(0)
    n = 240
    size = rng.normal(size=n)
    colour = rng.choice(["red", "blue", "green"], n)
    kind = np.where(size + (colour == "red") + 0.5 * rng.normal(size=n) > 0.5, "oak", "elm")
    kind[::11] = "ash"
    table = pa.table(
        {
            "size": [None if i % 7 == 0 else float(s) for i, s in enumerate(size)],
            "colour": colour,
            "old": rng.random(n) < 0.5,
            "story": [f"tree number {i % 17} with {i % 60} leaves" for i in range(n)],
            "kind": kind,
        }
    )
    csv.write_csv(table, folder / "trees.csv")
    csv.write_csv(table.slice(0, 40), folder / "more.csv")
    csv.write_csv(table.slice(0, 40).drop_columns(["kind"]), folder / "new.csv")
    parquet.write_table(table.slice(0, 40).drop_columns(["kind"]), folder / "new.parquet")
    assert run(["fit", str(folder / "trees.csv"), "--target", "kind", "--model", str(folder / "trees.softmaxes")]) == 0
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listing(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# ---- what works ---------------------------------------------------------------------------------------------------


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


# ---- what can't work: one message, status 2, nothing written ------------------------------------------------------

FLOWERS = "x,c,y\n" + "".join(f"{i % 7},{'ab'[i % 2]},{'uv'[i % 3 == 0]}\n" for i in range(40))

# name: (file to write, its bytes or a change of FLOWERS, arguments after fit, message)
BAD_TRAINING = {
    "missing file": (None, None, "flowrs.csv --target y", "flowrs.csv does not exist; did you mean flowers.csv?"),
    "empty file": ("e.csv", b"", "e.csv --target y", "e.csv is empty"),
    "header without rows": ("e.csv", b"x,y\n", "e.csv --target y", "e.csv has a header with 2 columns but no rows"),
    "folder without tables": (None, None, ". --target y --ignore x", None),
    "target absent": (
        None,
        None,
        "flowers.csv --target Y",
        "no column 'Y' for --target; did you mean 'y'? It has: x, c, y",
    ),
    "no target": (None, None, "flowers.csv", "--target"),
    "one class": ("e.csv", b"x,y\n1,a\n2,a\n", "e.csv --target y", "holds one class only, 'a'"),
    "missing labels": (
        "e.csv",
        b"x,y\n1,a\n2,\n3,b\n",
        "e.csv --target y",
        "lacks the label in 1 of 3 rows, first in row 2",
    ),
    "ragged": ("e.csv", b"x,y\n1,a\n2,b\n3\n", "e.csv --target y", "e.csv, row 3: 1 fields where the header has 2"),
    "binary junk": ("e.csv", bytes(range(256)) * 30, "e.csv --target y", "e.csv holds binary data"),
    "all-missing column": (
        "e.csv",
        FLOWERS.replace(",a,", ",,").replace(",b,", ",NA,").encode(),
        "e.csv --target y",
        "column 'c' has no values: all 32 are missing; remove it or pass --ignore 'c'",
    ),
    "infinity": (
        "e.csv",
        FLOWERS.replace("\n3,", "\ninf,", 1).encode(),
        "e.csv --target y --holdout 0",
        "column 'x' is infinite in row 4",
    ),
    "truncated parquet": ("e.parquet", b"PAR1" + b"\0" * 100, "e.parquet --target y", "e.parquet"),
    "ignored column absent": (None, None, "flowers.csv --target y --ignore z", "no column 'z' for --ignore"),
    "categorical absent": (None, None, "flowers.csv --target y --categorical z", "no column 'z' for --categorical"),
    "no columns left": (None, None, "flowers.csv --target y --ignore x --ignore c", "no column is left to learn from"),
    "C is zero": (None, None, "flowers.csv --target y --C 0", "--C is 0; a number above 0"),
    "C is a word": (None, None, "flowers.csv --target y --C much", "much"),
    "no threads": (None, None, "flowers.csv --target y --threads 0", "--threads is 0; a whole number of at least 1"),
    "negative seed": (None, None, "flowers.csv --target y --seed -1", "--seed is -1; a whole number of at least 0"),
    "two delimiters": (None, None, "flowers.csv --target y --delimiter ';;'", "the delimiter is ';;'; one character"),
    "another encoding": (None, None, "flowers.csv --target y --encoding utf-16", "flowers.csv"),
    "yet another encoding": (None, None, "flowers.csv --target y --encoding utf-32", "flowers.csv"),
    "a strange encoding": (None, None, "flowers.csv --target y --encoding idna", "flowers.csv"),
    "unknown map": (
        None,
        None,
        "flowers.csv --target y --map softmux",
        "no map is called 'softmux'; known are softmax",
    ),
    "l1 above one": (None, None, "flowers.csv --target y --l1-ratio 2", "--l1-ratio is 2; a number from 0 to 1"),
    "holdout too large": (None, None, "flowers.csv --target y --holdout 1.5", "1.5"),
    "holdout too small": (None, None, "flowers.csv --target y --holdout 0.001", "leaves none to hold out"),
    "report without scores": (None, None, "flowers.csv --target y --holdout 0 --report r.html", "--report needs rows"),
    "unknown option": (None, None, "flowers.csv --target y --learning-rate 3", "--learning-rate"),
    "unknown encoding": (None, None, "flowers.csv --target y --encoding klingon", "no character set called 'klingon'"),
    "model in no folder": (None, None, "flowers.csv --target y --model no/m", "there is no folder"),
    "model is a folder": (None, None, "flowers.csv --target y --model .", "is a folder"),
    "report in no folder": (None, None, "flowers.csv --target y --report no/r.html", "there is no folder"),
    "test without target": ("e.csv", b"x,c\n1,a\n", "flowers.csv --target y --test e.csv", "e.csv has no column 'y'"),
    "too few rows to calibrate": (
        "e.csv",
        b"x,y\n1,a\n2,b\n",
        "e.csv --target y --holdout 0 --calibrate temperature",
        None,
    ),
}


def refused(arguments, capsys, folder):
    """Run a command that must fail, and return its message: status 2, one line, no traceback, the folder as it was."""
    before = listing(folder)
    status = run(arguments)
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert status == 2
    assert "Traceback" not in err
    assert len(lines) == 1, err
    assert lines[0].startswith("softmaxes: ")
    assert out == ""
    assert listing(folder) == before
    return lines[0]


@pytest.mark.parametrize("case", BAD_TRAINING)
def test_bad_training_input(here, capsys, case):
    name, content, arguments, message = BAD_TRAINING[case]
    Path("flowers.csv").write_text(FLOWERS)
    if case == "folder without tables":
        Path("flowers.csv").unlink()
    if name is not None:
        Path(name).write_bytes(content)
    said = refused(["fit", *shlex.split(arguments)], capsys, here)
    assert message is None or message in said


def changed(path, edit):
    path = Path(path)
    return edit(path.read_text().splitlines())


BAD_PREDICTION = {
    "text where numbers were": (
        lambda rows: [rows[0], "tall" + rows[1][rows[1].index(",") :], *rows[2:]],
        "column 'size' holds numbers in the model, but 'tall' in row 1 is not a number",
    ),
    "infinity": (
        lambda rows: [*rows, rows[2].replace(rows[2].split(",")[0], "inf", 1)],
        "column 'size' is infinite in row 41",
    ),
    "missing column": (
        lambda rows: [row.partition(",")[2] for row in rows],
        "lacks the column 'size' that the model was trained on",
    ),
    "renamed column": (lambda rows: [rows[0].replace("colour", "Colour"), *rows[1:]], "did you mean 'Colour'?"),
    "extra column": (
        lambda rows: [row + (",1" if i else ",weight") for i, row in enumerate(rows)],
        "has the column 'weight' that the model was not trained on; remove it, or pass --ignore-extra",
    ),
    "ragged": (lambda rows: [*rows[:5], rows[5] + ",more", *rows[6:]], "row 5: 5 fields where the header has 4"),
    "no rows": (lambda rows: rows[:1], "but no rows"),
}


@pytest.mark.parametrize("case", BAD_PREDICTION)
@pytest.mark.parametrize("command", ["predict", "predict --output p.parquet", "evaluate", "calibrate"])
def test_bad_prediction_input(house, here, capsys, case, command):
    edit, message = BAD_PREDICTION[case]
    source = house / ("new.csv" if command.startswith("predict") else "more.csv")
    rows = source.read_text().splitlines()
    if not command.startswith("predict"):
        # The class stands last: the edits are made to the columns before it.
        classes = [row.rpartition(",")[2] for row in rows]
        rows = [row.rpartition(",")[0] for row in rows]
        edited = edit(rows)
        Path("new.csv").write_text("".join(f"{r},{c}\n" for r, c in zip(edited, classes + classes[1:], strict=False)))
        message = message.replace("5 fields where the header has 4", "6 fields where the header has 5")
    else:
        Path("new.csv").write_text("\n".join(edit(rows)) + "\n")
    name, *options = command.split()
    Path("m").write_bytes((house / "trees.softmaxes").read_bytes())
    assert message in refused([name, "m", "new.csv", *options], capsys, here)


def test_extra_columns_can_be_accepted(house, here, capsys):
    rows = (house / "new.csv").read_text().splitlines()
    Path("new.csv").write_text("\n".join(row + (",1" if i else ",weight") for i, row in enumerate(rows)) + "\n")
    assert run(["predict", str(house / "trees.softmaxes"), "new.csv", "--ignore-extra"]) == 0


BAD_MODELS = {
    "missing": (lambda data: None, "m can't be read: No such file"),
    "empty": (lambda data: b"", "m is not a softmaxes model: it is empty"),
    "truncated": (lambda data: data[:-9], "m is damaged"),
    "cut in the header": (lambda data: data[:99], "m is cut short"),
    "flipped": (lambda data: data[:-5] + bytes([data[-5] ^ 4]) + data[-4:], "m is damaged"),
    "a table": (lambda data: b"x,y\n1,2\n", "m is not a softmaxes model"),
}


@pytest.mark.parametrize("case", BAD_MODELS)
@pytest.mark.parametrize(
    "command", ["predict m new.csv", "evaluate m more.csv", "calibrate m more.csv", "info m", "explore m more.csv"]
)
def test_bad_models(house, here, capsys, case, command):
    for name in ("new.csv", "more.csv"):
        Path(name).write_bytes((house / name).read_bytes())
    damage, message = BAD_MODELS[case]
    data = damage((house / "trees.softmaxes").read_bytes())
    if data is not None:
        Path("m").write_bytes(data)
    assert message in refused(command.split(), capsys, here)


def test_a_model_of_a_newer_schema(house, here, capsys, monkeypatch):
    from softmaxes.persistence import container

    monkeypatch.setattr(container, "SCHEMA", 7)
    model = persistence.load(house / "trees.softmaxes")
    persistence.save(model, "m")
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert "m was written by a newer softmaxes" in refused(["info", "m"], capsys, here)


def test_a_model_without_a_recipe_is_for_python(here, capsys):
    from softmaxes.classifier import from_parameters

    from_parameters(np.array(["a", "b"]), np.ones((1, 2)), np.zeros(1)).save("m")
    Path("t.csv").write_text("x\n1\n")
    assert "use it from Python: softmaxes.load('m')" in refused(["predict", "m", "t.csv"], capsys, here)
    assert run(["info", "m"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("predict M new.csv --output no/p.csv", "there is no folder"),
        ("predict M new.csv --output p.xlsx", "ends in none of .csv"),
        ("predict M new.csv --output .", "ends in none of"),
        ("predict M", "DATA"),
        ("evaluate M new.csv", "no column 'kind' for the class"),
        ("evaluate M more.csv --target colour", "is not a class of the model"),
        ("evaluate M more.csv --report no/r.html", "there is no folder"),
        ("calibrate M more.csv --output no/m", "there is no folder"),
        ("calibrate M more.csv --method magic", "magic"),
        ("explore M", "a model needs rows"),
        ("explore --no-browser", "--no-browser leaves nothing to do"),
        ("demo more.csv/demo", "can't be made"),
        ("certify magic", "no implementation is called 'magic'"),
        ("train more.csv", "train"),
    ],
)
def test_bad_requests(house, here, capsys, arguments, message):
    for name in ("new.csv", "more.csv"):
        Path(name).write_bytes((house / name).read_bytes())
    Path("m").write_bytes((house / "trees.softmaxes").read_bytes())
    assert message in refused(arguments.replace("M", "m").split(), capsys, here)


def test_an_unreadable_file(here, capsys, monkeypatch):
    Path("t.csv").write_text(FLOWERS)
    real = Path.open

    def closed(self, *arguments, **options):
        if self.name == "t.csv":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(self, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", closed)
        before = os.listdir(here)
        status = run(["fit", "t.csv", "--target", "y"])
    assert (status, os.listdir(here)) == (2, before)
    assert "t.csv can't be read: Permission denied" in capsys.readouterr().err


def test_a_pipe_is_no_table(here, capsys):
    os.mkfifo("t.csv")
    assert "t.csv is a pipe or a device; a table is read more than once" in refused(
        ["fit", "t.csv", "--target", "y"], capsys, here
    )


def test_a_report_without_its_packages_is_refused_before_the_work(house, here, capsys, monkeypatch):
    monkeypatch.setattr("softmaxes.cli.judging.find_spec", lambda package: None if package == "altair" else True)
    arguments = ["fit", str(house / "trees.csv"), "--target", "kind", "--report", "r.html"]
    assert "a report needs altair, not installed here: pip install 'softmaxes[report]'" in refused(
        arguments, capsys, here
    )


def test_a_full_disk_keeps_the_old_model(house, here, capsys, monkeypatch):
    Path("m").write_bytes(b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    status = run(["fit", str(house / "trees.csv"), "--target", "kind", "--model", "m"])
    assert status == 2
    assert "m can't be written: No space left on device" in capsys.readouterr().err
    assert listing(here) == {"m": b"old"}


# ---- interruptions and missing packages ---------------------------------------------------------------------------


def command(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "softmaxes", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def writing_end(path, process):
    """Wait until a process has opened a pipe to read from it, and waits there; then open the other end."""
    while process.poll() is None:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            time.sleep(0.02)
    raise AssertionError(process.communicate()[1])


def test_control_c_is_quiet_and_clean(house, here):
    os.mkfifo("m")
    process = command("predict", "m", str(house / "new.csv"), "--output", "p.csv")
    pipe = writing_end("m", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    os.close(pipe)
    assert process.returncode == 130
    assert err.strip() == "softmaxes: interrupted"
    assert os.listdir(here) == ["m"]


def test_a_reader_that_leaves_is_no_error(house):
    process = command("predict", str(house / "trees.softmaxes"), str(house / "new.csv"))
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize("package", ["pyarrow", "safetensors", "sklearn"])
def test_a_missing_package_is_named_with_its_extra(house, here, capsys, monkeypatch, package):
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    if package == "sklearn":
        monkeypatch.delitem(sys.modules, "softmaxes.classifier")
    assert run(["fit", str(house / "trees.csv"), "--target", "kind"]) == 2
    said = capsys.readouterr().err
    assert package in said and "pip install 'softmaxes[" in said
    assert os.listdir(here) == []


@pytest.mark.parametrize("package", ["cyclopts", "rich"])
def test_without_the_packages_of_the_command_line(package):
    code = f"import sys; sys.modules[{package!r}] = None; from softmaxes.__main__ import run; sys.exit(run(['info']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().endswith(
        f"{package}, which is not installed: pip install 'softmaxes[{EXTRAS[package]}]'"
    )


def test_an_instruction_set_that_cannot_run_is_one_message():
    process = command("info", env={**os.environ, "SOFTMAXES_ISA": "pdp11"})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("softmaxes: SOFTMAXES_ISA='pdp11' cannot run here")
    assert len(err.splitlines()) == 1


def test_the_table_of_extras_agrees_with_the_package():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS.values()) <= set(project["optional-dependencies"])
