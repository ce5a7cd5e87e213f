"""Whatever a user can get wrong is one message, status 2, and nothing written."""

import errno
import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from tests.cli.shell import listing, refused

from softmaxes import persistence
from softmaxes.__main__ import run

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
    "a map without a gradient": (None, None, "flowers.csv --target y --map hardmax", "has no gradient to train by"),
    "a map of infinite loss": (None, None, "flowers.csv --target y --map min_shift", "its loss is infinite"),
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
