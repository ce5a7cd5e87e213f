"""Data that need not fit in memory: the same rows on every pass, the same model as in memory, nothing left behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import scipy.sparse

from softmaxes import SoftmaxClassifier
from softmaxes.errors import UserError
from softmaxes.sources import Arrays, Arrow, Blocks, Csv, Memmap, Parquet, passes, spill, spilled

ROWS, FEATURES = 3001, 6
NAMES = [f"x{j}" for j in range(FEATURES)]
WORDS = np.array(["ash", "birch", "cedar"])


@pytest.fixture(autouse=True)
def many_rows(monkeypatch):
    """Read the rows at every pass, as if they were too many to be held."""
    monkeypatch.setattr(passes, "SHARED_VALUES", 0)


def _data(dtype=np.float64):
    rng = np.random.default_rng(7)
    X = rng.standard_normal((ROWS, FEATURES)).astype(dtype) * 3 + 1
    logits = X @ rng.standard_normal((FEATURES, 3))
    return X, WORDS[(logits + rng.gumbel(size=logits.shape) * 3).argmax(axis=1)]


def _table(dtype=np.float64):
    X, y = _data(dtype)
    return pa.table({**{name: X[:, j] for j, name in enumerate(NAMES)}, "tree": y})


def _parquet(folder, dtype=np.float64, group=500):
    path = folder / "trees.parquet"
    pa.parquet.write_table(_table(dtype), path, row_group_size=group)
    return path


def _csv(folder):
    path = folder / "trees.csv"
    pa.csv.write_csv(_table(), path)
    return Csv(path, target="tree")


def _arrow(folder):
    table, path = _table(), folder / "trees.arrow"
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=333)
    return Arrow(path, target="tree")


def _folder(folder):
    table, part = _table(), folder / "parts"
    part.mkdir()
    for k, (start, stop) in enumerate([(0, 1000), (1000, 1001), (1001, ROWS)]):
        pa.parquet.write_table(table.slice(start, stop - start), part / f"{k}.parquet")
    return Parquet(part, target="tree")


def _iterator(folder):
    X, y = _data()
    cuts = [0, 5, 5, 1200, 1201, ROWS]
    return Blocks(lambda: ((X[a:b], y[a:b]) for a, b in pairwise(cuts)))


SOURCES = {
    "parquet": lambda folder: Parquet(_parquet(folder), target="tree"),
    "parquet in blocks of 64": lambda folder: Parquet(_parquet(folder), target="tree", block_rows=64),
    "parquet in one row group": lambda folder: Parquet(_parquet(folder, group=ROWS), target="tree", block_rows=2999),
    "csv": _csv,
    "arrow": _arrow,
    "folder": _folder,
    "iterator": _iterator,
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_a_source_brings_all_rows_in_order_again_and_again(make, tmp_path):
    X, y = _data()
    source = make(tmp_path)
    assert (source.n_rows, source.n_features, source.dtype) == (ROWS, FEATURES, np.float64)
    assert source.classes.tolist() == WORDS.tolist()
    for rows in (1000, 77, ROWS + 5):
        blocks = list(source.blocks(rows))
        assert all(len(block) == rows for block in blocks[:-1])
        np.testing.assert_array_equal(np.concatenate([block.features for block in blocks]), X)
        np.testing.assert_array_equal(WORDS[np.concatenate([block.targets for block in blocks])], y)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_a_fit_from_any_source_has_the_bits_of_the_fit_in_memory(make, held, tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "SHARED_VALUES", ROWS * 9 if held else 0)
    X, y = _data()
    expected = SoftmaxClassifier(C=0.3).fit(X, y)
    fitted = SoftmaxClassifier(C=0.3).fit(make(tmp_path))
    np.testing.assert_array_equal(fitted.coef_, expected.coef_)
    np.testing.assert_array_equal(fitted.intercept_, expected.intercept_)
    assert fitted.objective_ == expected.objective_
    rows = pd.DataFrame(X, columns=NAMES) if hasattr(fitted, "feature_names_in_") else X
    np.testing.assert_array_equal(fitted.predict(rows), expected.predict(X))


def test_float32_columns_are_read_as_float32(tmp_path):
    X, y = _data(np.float32)
    source = Parquet(_parquet(tmp_path, np.float32), target="tree")
    assert source.dtype == np.float32
    np.testing.assert_array_equal(SoftmaxClassifier().fit(source).coef_, SoftmaxClassifier().fit(X, y).coef_)


def test_weights_come_from_their_column(tmp_path):
    X, y = _data()
    weights = np.random.default_rng(1).random(ROWS)
    path = tmp_path / "weighted.parquet"
    pa.parquet.write_table(_table().append_column("weight", pa.array(weights)), path)
    source = Parquet(path, target="tree", weight="weight")
    expected = SoftmaxClassifier().fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(SoftmaxClassifier().fit(source).coef_, expected.coef_)


def test_without_room_on_the_disk_every_pass_reads_the_source(tmp_path, monkeypatch):
    X, y = _data()
    source = Parquet(_parquet(tmp_path), target="tree")
    monkeypatch.setattr(spill.shutil, "disk_usage", lambda folder: _Usage())
    told = []
    with spilled(source, told.append) as same:
        assert same is source
    assert "every pass reads" in told[0]
    fitted = SoftmaxClassifier(tol=1e-10).fit(source)
    expected = SoftmaxClassifier(tol=1e-10).fit(X, y)
    assert fitted.objective_ == pytest.approx(expected.objective_, rel=1e-9)


class _Usage:
    free = 1000


def test_a_full_disk_is_one_clear_message(tmp_path, monkeypatch):
    source = Parquet(_parquet(tmp_path), target="tree")
    monkeypatch.setattr(spill, "temporary", lambda folder: open("/dev/full", "wb", buffering=0))  # noqa: SIM115
    with pytest.raises(UserError, match=r"the disk is full.*TMPDIR"):
        SoftmaxClassifier().fit(source)


def test_a_spill_leaves_nothing_behind(tmp_path, monkeypatch):
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    source = Parquet(_parquet(tmp_path), target="tree")
    told = []
    with spilled(source, told.append) as copy:
        assert os.listdir(folder) == []  # the file has no name even while it is there
        assert copy.n_rows == ROWS
        descriptor = copy.file.descriptor
    assert "144.0 kB" in told[0]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    with pytest.raises(ZeroDivisionError), spilled(source) as copy:
        descriptor = copy.file.descriptor
        raise ZeroDivisionError
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_spilled_sparse_source_is_the_matrix(dtype):
    rng = np.random.default_rng(3)
    X = scipy.sparse.random(500, 40, 0.1, format="csr", dtype=dtype, random_state=rng)
    y = rng.integers(4, size=500)
    source = Blocks([(X[:123], y[:123]), (X[123:], y[123:])])
    with spilled(source) as copy:
        blocks = list(copy.blocks(77))
        assert (scipy.sparse.vstack([block.features for block in blocks]) != X).nnz == 0
        assert (copy.take(np.array([7, 300])).features != X[[7, 300]]).nnz == 0
        assert copy.dtype == dtype
    expected = SoftmaxClassifier().fit(X, y)
    np.testing.assert_array_equal(SoftmaxClassifier().fit(source).coef_, expected.coef_)


@pytest.mark.parametrize("limit", [0, 1 << 26], ids=["from the file", "in memory"])
@pytest.mark.parametrize("stride", [1, 2, 7, 500])
def test_every_nth_row_of_a_file_is_every_nth_row(stride, limit, tmp_path, monkeypatch):
    monkeypatch.setattr("softmaxes.sources.memmap.SAMPLE_BYTES", limit)
    X = np.arange(1001.0 * 30).reshape(1001, 30)
    y = np.arange(1001)
    np.save(tmp_path / "X.npy", X)
    sample = Memmap(tmp_path / "X.npy", y).every(stride)
    assert isinstance(sample, Arrays) == (limit > 0)
    blocks = list(sample.blocks(13))
    np.testing.assert_array_equal(np.concatenate([block.features for block in blocks]), X[::stride])
    np.testing.assert_array_equal(np.concatenate([block.targets for block in blocks]), y[::stride])
    again = np.concatenate([block.features for block in sample.every(3).blocks(50)])
    np.testing.assert_array_equal(again, X[::stride][::3])


def test_memory_maps_train_like_the_array_they_hold(tmp_path):
    X, y = _data(np.float32)
    np.save(tmp_path / "X.npy", X)
    expected = SoftmaxClassifier().fit(X, y)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for features in (tmp_path / "X.npy", mapped):
        np.testing.assert_array_equal(SoftmaxClassifier().fit(Memmap(features, y)).coef_, expected.coef_)
    tail = Memmap(mapped[100:], y[100:])
    np.testing.assert_array_equal(next(tail.blocks(5)).features, X[100:105])
    np.testing.assert_array_equal(tail.take(np.array([9, 2])).features, X[[109, 102]])


def _truncated(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def _damaged(path):
    """Overwrite the data of the third row group, leaving the footer whole."""
    group = pa.parquet.read_metadata(path).row_group(2)
    start = group.column(1).data_page_offset
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * 64)
    return path


FAULTS = {
    "no .npy file": (lambda f: Memmap(_written(f / "a.npy", b"abc"), None), r"a\.npy is no \.npy file"),
    "short .npy file": (lambda f: Memmap(_truncated(_saved(f)), None), r"X\.npy is truncated: .* promises 200,128"),
    "damaged row group": (lambda f: SoftmaxClassifier().fit(Parquet(_damaged(_parquet(f)), target="tree")),
                          r"trees\.parquet, row group 2 is truncated or damaged"),
    "truncated Parquet": (lambda f: Parquet(_truncated(_parquet(f)), target="tree"), r"trees\.parquet.* truncated"),
    "another form": (lambda f: Csv(_parquet(f), target="tree"), r"is a file of Parquet form, not CSV; use.*Parquet"),
    "unknown target": (lambda f: Parquet(_parquet(f), target="treee"), r"did you mean 'tree'"),
    "words": (lambda f: SoftmaxClassifier().fit(Parquet(_parquet(f), target="x0")), r"measurement|column 'tree' holds"),
    "words among the features": (lambda f: list(Parquet(_parquet(f)).blocks(9)), r"column 'tree' holds '\w+' in row 1"),
    "a missing number": (lambda f: SoftmaxClassifier().fit(Csv(_written(f / "a.csv", b"x,y\n1,a\n,b\n"), target="y")),
                         r"column 'x' is missing in row 2.*recipe='auto'"),
    "NaN in a block": (lambda f: Blocks([(np.array([[1.0], [np.nan]]), [0, 1])]), r"row 1, feature 0 is nan"),
    "blocks of two widths": (lambda f: Blocks([(np.ones((2, 1)), [0, 1]), (np.ones((1, 2)), [0])]), r"block 1 differs"),
    "no blocks": (lambda f: Blocks([]), "no blocks"),
    "no tuple": (lambda f: Blocks([np.ones((2, 2))]), r"block 0 is a ndarray; a tuple"),
}  # fmt: skip


def _written(path, content):
    path.write_bytes(content)
    return path


def _saved(folder):
    np.save(folder / "X.npy", np.ones((100, 250)))
    return folder / "X.npy"


@pytest.mark.parametrize(("fault", "message"), FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_is_said_and_where(fault, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        fault(tmp_path)


def test_iterators_that_cannot_start_again_are_refused():
    with pytest.raises(TypeError, match=r"run once only.*pass a function"):
        Blocks((np.ones((2, 1)), [0, 1]) for _ in range(3))
    calls = []

    def shrinking():
        calls.append(0)
        return [(np.ones((2, 1)), [0, 1])] * (3 - len(calls))

    with pytest.raises(ValueError, match="only 2 of 4 rows"):
        SoftmaxClassifier().fit(Blocks(shrinking))


KILLED = """
import os, sys, time
from softmaxes import SoftmaxClassifier
from softmaxes.sources import Parquet, passes

passes.SHARED_VALUES = 0
sync = os.fsync
os.fsync = lambda descriptor: (time.sleep(0.05), sync(descriptor))
SoftmaxClassifier(C=2.0, tol=1e-9, solver="lbfgs").fit(Parquet(sys.argv[1], target="tree"), checkpoint=sys.argv[2])
"""


def _killed(path, checkpoint, size):
    """Fit in another process, and kill that as soon as its checkpoint has some size."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(checkpoint)])
    try:
        while process.poll() is None and not (checkpoint.exists() and checkpoint.stat().st_size >= size):
            time.sleep(0.002)
        assert process.poll() is None, "the fit was over before it could be killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_killed_fit_goes_on_to_the_same_bits(tmp_path):
    path, checkpoint = _parquet(tmp_path), tmp_path / "fit.checkpoint"
    expected = SoftmaxClassifier(C=2.0, tol=1e-9, solver="lbfgs").fit(Parquet(path, target="tree"))
    _killed(path, checkpoint, 4000)
    made = checkpoint.stat().st_size
    fitted = SoftmaxClassifier(C=2.0, tol=1e-9, solver="lbfgs").fit(Parquet(path, target="tree"), checkpoint=checkpoint)
    assert checkpoint.stat().st_size > made  # it was not over before
    np.testing.assert_array_equal(fitted.coef_, expected.coef_)
    np.testing.assert_array_equal(fitted.intercept_, expected.intercept_)
    assert fitted.n_iter_ == expected.n_iter_


@pytest.mark.parametrize("lost", [1, 40, 700, 3000])
def test_a_checkpoint_that_ends_in_half_an_entry_is_used_up_to_it(lost, tmp_path):
    X, y = _data()
    checkpoint = tmp_path / "fit.checkpoint"
    expected = SoftmaxClassifier(solver="lbfgs").fit(X, y, checkpoint=checkpoint)
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:-lost])
    fitted = SoftmaxClassifier(solver="lbfgs").fit(X, y, checkpoint=checkpoint)
    np.testing.assert_array_equal(fitted.coef_, expected.coef_)
    assert checkpoint.read_bytes()[: len(whole) - lost] == whole[:-lost]


def test_a_checkpoint_of_another_fit_is_refused(tmp_path):
    X, y = _data()
    checkpoint = tmp_path / "fit.checkpoint"
    SoftmaxClassifier(solver="lbfgs").fit(X, y, checkpoint=checkpoint)
    with pytest.raises(UserError, match=r"another fit: C was '1.0' and now is '2.0'"):
        SoftmaxClassifier(C=2.0, solver="lbfgs").fit(X, y, checkpoint=checkpoint)
    with pytest.raises(UserError, match="of a fit to other data"):
        SoftmaxClassifier(solver="lbfgs").fit(X + 1, y, checkpoint=checkpoint)
    with pytest.raises(UserError, match="rows was 3001 and now is 3000"):
        SoftmaxClassifier(solver="lbfgs").fit(X[1:], y[1:], checkpoint=checkpoint)
    checkpoint.write_text("something else")
    with pytest.raises(UserError, match="no checkpoint of softmaxes"):
        SoftmaxClassifier(solver="lbfgs").fit(X, y, checkpoint=checkpoint)


def test_a_checkpoint_that_finds_no_room_is_one_message_and_stays_whole(tmp_path):
    X, y = _data()
    checkpoint = tmp_path / "fit.checkpoint"
    expected = SoftmaxClassifier(solver="lbfgs").fit(X, y, checkpoint=checkpoint)
    size = checkpoint.stat().st_size
    checkpoint.unlink()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limit[1]))
    try:
        with pytest.raises(UserError, match="can't be written: File too large; what it holds is whole"):
            SoftmaxClassifier(solver="lbfgs").fit(X, y, checkpoint=checkpoint)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    fitted = SoftmaxClassifier(solver="lbfgs").fit(X, y, checkpoint=checkpoint)
    np.testing.assert_array_equal(fitted.coef_, expected.coef_)
    assert checkpoint.stat().st_size == size


def test_an_unreadable_row_group_leaves_the_checkpoint_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(spill.shutil, "disk_usage", lambda folder: _Usage())  # every pass reads the file
    path, checkpoint = _parquet(tmp_path), tmp_path / "fit.checkpoint"
    expected = SoftmaxClassifier(solver="lbfgs").fit(Parquet(path, target="tree"))
    content, begun = path.read_bytes(), []
    source = Parquet(path, target="tree")
    read = type(source).blocks

    def going_bad(self, rows):
        begun.append(rows)
        if len(begun) == 6:
            _damaged(path)
        return read(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(type(source), "blocks", going_bad)
        with pytest.raises(UserError, match="row group 2"):
            SoftmaxClassifier(solver="lbfgs").fit(source, checkpoint=checkpoint)
    path.write_bytes(content)
    fitted = SoftmaxClassifier(solver="lbfgs").fit(Parquet(path, target="tree"), checkpoint=checkpoint)
    np.testing.assert_array_equal(fitted.coef_, expected.coef_)
