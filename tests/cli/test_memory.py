"""`fit` within a memory budget, and from a checkpoint: the same model as ever."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import softmaxes
from softmaxes.__main__ import run
from softmaxes.cli import memory
from softmaxes.cli.memory import bytes_of
from softmaxes.errors import UserError
from softmaxes.sources import passes, spill
from softmaxes.sources.tables import TableRows
from softmaxes.tables import open_table


def fit(*options):
    return run(["fit", *options])


@pytest.fixture
def no_room(monkeypatch):
    """Nothing but the budget fits in memory, whatever this process has taken already."""
    monkeypatch.setattr(memory, "peak_bytes", lambda: 0)


@pytest.mark.parametrize("words", [False, True], ids=["dense", "sparse"])
def test_a_model_does_not_depend_on_the_memory(words, house, here, capsys, no_room):
    table = str(house / "trees.csv")
    ignored = () if words else ("--ignore", "story")
    assert fit(table, "--target", "kind", "--model", "a", *ignored) == 0
    assert fit(table, "--target", "kind", "--model", "b", "--memory", "10kB", *ignored) == 0
    told = capsys.readouterr()
    assert "to a temporary file" in told.err and "MB of memory at most" in told.out
    whole, blocks = softmaxes.load("a").classifier, softmaxes.load("b").classifier
    np.testing.assert_array_equal(whole.coef_, blocks.coef_)
    np.testing.assert_array_equal(whole.intercept_, blocks.intercept_)
    assert whole.classes_.tolist() == blocks.classes_.tolist()
    assert sorted(os.listdir(here)) == ["a", "b"]


def test_a_budget_that_suffices_needs_no_disk(house, here, capsys, no_room):
    assert fit(str(house / "trees.csv"), "--target", "kind", "--memory", "1GB") == 0
    assert "temporary file" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--memory", "lots"], "--memory is 'lots'; a size is needed, such as 700MB"),
        (["--memory", "1MB"], "MB already"),
        (["--resume"], "--resume needs --checkpoint"),
        (["--checkpoint", "there"], "is there already; pass --resume"),
        (["--checkpoint", "no/folder"], "there is no folder"),
        (["--checkpoint", "there", "--resume"], "there is no checkpoint of softmaxes"),
    ],
)
def test_what_cannot_be_is_said(options, message, house, here, capsys):
    (here / "there").write_text("something else")
    assert fit(str(house / "trees.csv"), "--target", "kind", *options) == 2
    assert message.replace("there is no checkpoint", "is no checkpoint") in capsys.readouterr().err
    assert (here / "there").read_text() == "something else"


@pytest.mark.parametrize("method", ["temperature", "structured"])
def test_a_calibration_does_not_depend_on_the_memory(method, house, here, capsys, no_room):
    table = str(house / "trees.csv")
    assert fit(table, "--target", "kind", "--model", "a", "--calibrate", method) == 0
    assert fit(table, "--target", "kind", "--model", "b", "--memory", "1kB", "--calibrate", method) == 0
    whole, blocks = softmaxes.load("a"), softmaxes.load("b")
    assert whole.calibration.to_dict() == blocks.calibration.to_dict()
    assert whole.predict_proba(house / "new.csv").tolist() == blocks.predict_proba(house / "new.csv").tolist()


def test_sizes_are_read_as_people_write_them():
    assert [bytes_of(text) for text in ("700MB", "2 GB", "1.5GiB", "800", "4k")] == [
        700_000_000, 2_000_000_000, 1_610_612_736, 800, 4000,
    ]  # fmt: skip
    for text in ("", "MB", "-3MB", "0GB", "3XB", "1e9"):
        with pytest.raises(UserError, match="a size is needed"):
            bytes_of(text)


KILLED = """
import os, sys, time
from softmaxes.__main__ import run

sync = os.fsync
os.fsync = lambda descriptor: (time.sleep(0.1), sync(descriptor))
run(sys.argv[1:])
"""


def test_a_killed_training_is_resumed_to_the_same_model(house, here, capsys):
    table, checkpoint = str(house / "trees.csv"), here / "trees.checkpoint"
    assert fit(table, "--target", "kind", "--model", "whole") == 0
    options = ["fit", table, "--target", "kind", "--model", "resumed", "--checkpoint", str(checkpoint)]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *options])
    try:
        while process.poll() is None and not (checkpoint.exists() and checkpoint.stat().st_size > 1500):
            time.sleep(0.002)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (here / "resumed").exists()
    assert run([*options, "--resume"]) == 0
    whole, resumed = softmaxes.load("whole").classifier, softmaxes.load("resumed").classifier
    np.testing.assert_array_equal(whole.coef_, resumed.coef_)
    assert sorted(os.listdir(here)) == ["resumed", "whole"]


def test_a_file_that_goes_bad_in_mid_fit_is_named_and_the_training_goes_on_when_it_is_whole(
    house, here, capsys, no_room, monkeypatch
):
    """Without room for a copy every pass reads the file; in the fifth, one of its row groups can't be read."""
    monkeypatch.setattr(spill.shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
    monkeypatch.setattr(passes, "SHARED_VALUES", 0)  # so few rows would be held, and seen in one pass
    table = open_table(house / "trees.csv").blocks(columns=("size", "colour", "kind"))
    parquet.write_table(pa.Table.from_batches([block.batch for block in table]), "t.parquet", row_group_size=60)
    # The softmax of so few rows would be solved in one look at them.
    options = ["t.parquet", "--target", "kind", "--memory", "1kB", "--map", "sparsemax"]
    assert fit(*options, "--model", "whole") == 0
    begun, blocks, content = [], TableRows.blocks, Path("t.parquet").read_bytes()

    def going_bad(self, rows):
        begun.append(rows)
        if len(begun) == 5:
            column = parquet.read_metadata("t.parquet").row_group(2).column(0)
            start = column.dictionary_page_offset or column.data_page_offset
            spoiled = bytearray(content)
            spoiled[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
            Path("t.parquet").write_bytes(spoiled)
        return blocks(self, rows)

    monkeypatch.setattr(TableRows, "blocks", going_bad)
    capsys.readouterr()
    assert fit(*options, "--model", "resumed", "--checkpoint", "c") == 2
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("softmaxes: t.parquet, row group 2 is truncated or damaged")
    assert all(line.startswith("note: ") for line in told[:-1])
    assert Path("c").stat().st_size > 1000
    Path("t.parquet").write_bytes(content)
    assert fit(*options, "--model", "resumed", "--checkpoint", "c", "--resume") == 0
    whole, resumed = softmaxes.load("whole").classifier, softmaxes.load("resumed").classifier
    np.testing.assert_array_equal(whole.coef_, resumed.coef_)
    assert sorted(os.listdir(here)) == ["resumed", "t.parquet", "whole"]


def test_the_rows_are_never_in_memory_whole(here):
    """Measured from outside: the peak of a process that fits 120 MB of rows is that of one that fits 12 MB."""
    rng = np.random.default_rng(0)
    code = (
        "import sys; from softmaxes import SoftmaxClassifier; from softmaxes.sources import Parquet;"
        "from softmaxes.cli.memory import peak_bytes;"
        "SoftmaxClassifier(max_iter=3).fit(Parquet(sys.argv[1], target='y', block_rows=4096));"
        "print(peak_bytes() // 10**6)"
    )
    peaks = []
    for rows in (30_000, 300_000):
        X = rng.standard_normal((rows, 100), dtype=np.float32)
        y = (X[:, 0] + rng.standard_normal(rows) > 0).astype(int)
        table = pa.table({**{f"x{j}": X[:, j] for j in range(100)}, "y": y})
        parquet.write_table(table, here / "big.parquet", row_group_size=10_000)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", code, "big.parquet"], capture_output=True, text=True, env=environment, check=True
        )
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 60, f"{peaks} MB"  # of the 120 MB of rows; targets and a sample may grow
