"""`fit` and `evaluate` on workers: the model of this process, whoever does the work, whoever dies, and what is refused.

Run by `python -m pytest tests/cli/test_cluster.py`, where dask[distributed] is installed.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, ipc, parquet
from tests.cli.shell import refused

pytest.importorskip("distributed")

from distributed import Client, LocalCluster

import softmaxes
from softmaxes.__main__ import run
from softmaxes.sources import distributed
from softmaxes.tables import open_table, parts_of

pytestmark = pytest.mark.filterwarnings("ignore")  # dask's and tornado's own, while workers are killed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of a file of each form that is cut; names, gaps and numbers in them."""
    folder = tmp_path_factory.mktemp("parts") / "trees"
    folder.mkdir()
    rng = np.random.default_rng(0)
    n = 1200
    size = rng.normal(size=n)
    colour = rng.choice(["red", "blue", "green"], n)
    kind = np.where(size + (colour == "red") + 0.5 * rng.normal(size=n) > 0.5, "oak", "elm")
    kind[::11] = "ash"
    table = pa.table(
        {
            "size": [None if i % 7 == 0 else float(s) for i, s in enumerate(size)],
            "colour": colour,
            "age": rng.normal(size=n),
            "kind": kind,
        }
    )
    parquet.write_table(table.slice(0, 500), folder / "0.parquet", row_group_size=100)
    with ipc.new_file(folder / "1.arrow", table.schema) as writer:
        writer.write_table(table.slice(500, 300), max_chunksize=64)
    parquet.write_table(table.slice(800), folder / "2.parquet")
    return folder


@pytest.fixture(scope="module")
def texts(folder):
    """The same rows as CSV files."""
    texts = folder.parent / "texts"
    texts.mkdir()
    table = pa.Table.from_batches([block.batch for block in open_table(folder).blocks()])
    for k in range(4):
        csv.write_csv(table.slice(300 * k, 300), texts / f"{k}.csv")
    return texts


@pytest.fixture(scope="module")
def address():
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr("softmaxes.tables.parts.PART_VALUES", 600)
    monkeypatch.setattr("softmaxes.cli.cluster.parts_of", lambda table: parts_of(table, 600))


def test_parts_are_the_table(folder):
    table = open_table(folder)
    parts = parts_of(table, 600)
    assert [part.span for part in parts] == [(0, 2), (2, 4), (4, 5), (0, 3), (3, 5), None]
    rows = [row for part in parts for block in part.blocks() for row in block.batch.to_pylist()]
    assert rows == [row for block in table.blocks() for row in block.batch.to_pylist()]


@pytest.fixture(scope="module")
def tales(tmp_path_factory):
    """Rows with free text, of which sparse features are made."""
    path = tmp_path_factory.mktemp("tales") / "tales.parquet"
    rng = np.random.default_rng(0)
    words = np.array([f"word{k}" for k in range(900)])
    story = [" ".join(rng.choice(words, 8)) + (" sea" if k % 3 else " war") for k in range(900)]
    table = pa.table(
        {"story": story, "size": rng.normal(size=900), "kind": np.array(["b", "a", "a"])[np.arange(900) % 3]}
    )
    parquet.write_table(table, path, row_group_size=150)
    return path


@pytest.mark.parametrize("form", ["folder", "texts", "tales"])
@pytest.mark.parametrize("options", ["", "--calibrate temperature", "--holdout 0 --map sparsemax", "--l1-ratio 0.5"])
def test_the_model_is_that_of_one_process(form, options, request, address, here, capsys):
    folder = request.getfixturevalue(form)
    fit = ["fit", str(folder), "--target", "kind", *options.split()]
    assert run([*fit, "--model", "one"]) == 0
    assert run([*fit, "--model", "two", "--dask", address]) == 0
    one, two = softmaxes.load("one"), softmaxes.load("two")
    assert two.recipe.features == one.recipe.features
    assert two.facts["rows_held_out"] == one.facts["rows_held_out"]
    # Both objectives are within the tolerance of a fit, 1e-6 relative, of the optimum; a probability moves by the root
    # of that gap times the spread of a row, whatever bits the two ways of summing give.
    np.testing.assert_allclose(two.predict_proba(folder), one.predict_proba(folder), rtol=0, atol=1e-3)
    assert two.classifier.objective_ == pytest.approx(one.classifier.objective_, rel=1e-6)


def test_the_model_does_not_depend_on_the_number_of_workers(folder, address, here, capsys):
    fit = ["fit", str(folder), "--target", "kind", "--calibrate", "structured"]
    assert run([*fit, "--model", "two", "--dask", address]) == 0
    with (
        LocalCluster(n_workers=1, threads_per_worker=3, processes=False, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False),
    ):
        assert run([*fit, "--model", "one", "--dask", cluster.scheduler_address]) == 0
    one, two = softmaxes.load("one"), softmaxes.load("two")
    assert one.recipe == two.recipe
    np.testing.assert_array_equal(one.classifier.coef_, two.classifier.coef_)
    assert one.calibration.to_dict() == two.calibration.to_dict()
    assert one.facts["scores"] == two.facts["scores"]


def test_scores_are_those_of_one_process(folder, address, here, capsys):
    assert run(["fit", str(folder), "--target", "kind", "--model", "m"]) == 0
    capsys.readouterr()
    told = []
    for where in ([], ["--dask", address]):
        assert run(["evaluate", "m", str(folder), "--json", *where]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]


KILLED = """
import os, sys, time
from softmaxes.__main__ import run
from softmaxes.sources import passes

if __name__ == "__main__":
    passes.SHARED_VALUES = 0  # so few rows would be held, and seen in one pass
    sync = os.fsync
    os.fsync = lambda descriptor: (time.sleep(0.2), sync(descriptor))
    sys.exit(run(sys.argv[1:]))
"""


def test_a_killed_worker_costs_time_and_nothing_else(folder, here, capsys):
    """Worker processes of the command's own, one of which is killed when the fit has made its first passes."""
    Path("killed.py").write_text(KILLED)
    fit = ["fit", str(folder), "--target", "kind", "--workers", "2"]
    command = [sys.executable, "killed.py", *fit, "--model", "killed", "--checkpoint", "c"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (Path("c").exists() and Path("c").stat().st_size > 2000):
        time.sleep(0.005)
    assert process.poll() is None, process.communicate()
    os.kill(spawned(process.pid)[0], signal.SIGKILL)
    err = process.communicate(timeout=100)[1]
    assert process.returncode == 0, err
    assert "Traceback" not in err
    subprocess.run([sys.executable, "killed.py", *fit, "--model", "whole"], capture_output=True, check=True)
    whole, killed = softmaxes.load("whole"), softmaxes.load("killed")
    np.testing.assert_array_equal(killed.classifier.coef_, whole.classifier.coef_)
    assert killed.facts["scores"] == whole.facts["scores"]
    assert sorted(os.listdir(here)) == ["killed", "killed.py", "whole"]


def spawned(process):
    """Return the processes that multiprocessing has spawned for a process."""
    threads = Path(f"/proc/{process}/task").iterdir()
    children = {int(child) for thread in threads for child in (thread / "children").read_text().split()}
    return sorted(child for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text())


def silent_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_a_scheduler_that_is_not_there_is_one_message(folder, here, capsys, monkeypatch):
    monkeypatch.setattr("softmaxes.cli.cluster.PATIENCE", 1)
    port = silent_port()
    for address in (f"tcp://127.0.0.1:{port}", "nonsense://x", "tcp://127.0.0.1"):
        said = refused(["fit", str(folder), "--target", "kind", "--dask", address], capsys, here)
        assert f"there is no dask scheduler at {address!r}" in said


def test_a_cluster_without_workers_is_one_message(folder, here, capsys, monkeypatch):
    monkeypatch.setattr("softmaxes.cli.cluster.PATIENCE", 1)
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as cluster:
        said = refused(["fit", str(folder), "--target", "kind", "--dask", cluster.scheduler_address], capsys, here)
    assert "has no workers; start some: dask worker" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--workers 0", "--workers is 0; a whole number of at least 1 is needed"),
        ("--workers 2 --dask tcp://x:1", "pass one of them"),
        ("--workers 2 --memory 1GB", "--memory is for a fit by this process alone"),
        ("--target knd --dask ADDRESS", "no column 'knd' for --target; did you mean 'kind'?"),
        ("--ignore age --ignore size --ignore colour --dask ADDRESS", "no column is left to learn from"),
    ],
)
def test_bad_options_are_one_message(options, message, folder, address, here, capsys):
    target = [] if "--target" in options else ["--target", "kind"]
    said = refused(["fit", str(folder), *target, *shlex.split(options.replace("ADDRESS", address))], capsys, here)
    assert message in said


def damaged(path):
    content = bytearray(path.read_bytes())
    column = parquet.read_metadata(path).row_group(3).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)


def rewrite(path, column, row, value):
    frame = parquet.read_table(path).to_pandas()
    frame.loc[row, column] = value
    parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, row_group_size=100)


BAD_PARTS = {
    "damaged": (damaged, r"part.parquet, row group 3"),
    "infinite": (lambda path: rewrite(path, "size", 350, float("inf")), "column 'size' is infinite in row 351"),
    "no label": (lambda path: rewrite(path, "kind", 444, None), "lacks the label in 1 of 500 rows, first in row 445"),
    "one class": (lambda path: rewrite(path, "kind", slice(None), "oak"), "holds one class only, 'oak'"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-2000]), "part.parquet is truncated or damaged"),
}


@pytest.mark.parametrize("case", BAD_PARTS)
def test_a_bad_part_is_named(case, folder, address, here, capsys):
    spoil, message = BAD_PARTS[case]
    path = here / "part.parquet"
    path.write_bytes((folder / "0.parquet").read_bytes())
    spoil(path)
    said = refused(["fit", "part.parquet", "--target", "kind", "--holdout", "0", "--dask", address], capsys, here)
    assert message in said


def test_an_error_of_no_known_kind_names_the_part(address):
    with (
        Client(address, set_as_default=False) as client,
        pytest.raises(softmaxes.errors.UserError, match="b can't be computed: ZeroDivisionError"),
    ):
        distributed.each(client, divmod, [(1, 1), (1, 0)], ["a", "b"])
