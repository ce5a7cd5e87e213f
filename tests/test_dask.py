"""Fits on a dask cluster: the model of the fit in memory, whoever does the work, and whoever dies meanwhile.

Run by `python -m pytest tests/test_dask.py`, where dask[array,dataframe,distributed] is installed.
"""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

pytest.importorskip("distributed")
pytest.importorskip("dask.dataframe")

import dask
import dask.array
import dask.dataframe
import pandas as pd
from distributed import Client, LocalCluster

from softmaxes import SoftmaxClassifier, metrics
from softmaxes.bridges.dask import applied, scored
from softmaxes.errors import UserError
from softmaxes.sources import passes
from softmaxes.sources.dask import Dask

pytestmark = pytest.mark.filterwarnings("ignore")  # dask's and tornado's own, while workers are killed
ROWS = 4000


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def many_rows(monkeypatch):
    """Read the rows at every pass, as if they were too many to be held."""
    monkeypatch.setattr(passes, "SHARED_VALUES", 0)


def _data():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((ROWS, 5)) * 2 + 1
    logits = X @ rng.standard_normal((5, 3))
    return X, np.array(["a", "b", "c"])[(logits + rng.gumbel(size=logits.shape) * 2).argmax(axis=1)]


def _frame(partitions=5):
    X, y = _data()
    frame = pd.DataFrame(X, columns=list("uvwxz")).assign(y=y)
    return dask.dataframe.from_pandas(frame, npartitions=partitions, sort=False)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("kind", ["dataframe", "array"])
def test_the_model_is_that_of_the_fit_in_memory(kind, held, client, monkeypatch):
    monkeypatch.setattr(passes, "SHARED_VALUES", ROWS * 8 if held else 0)
    X, y = _data()
    if kind == "dataframe":
        source = Dask(_frame(), target="y")
    else:
        labels = dask.array.from_array(y, chunks=1300)
        source = Dask(dask.array.from_array(X, chunks=(900, 2)), target=labels)
    fitted = SoftmaxClassifier(tol=1e-11).fit(source)
    expected = SoftmaxClassifier(tol=1e-11).fit(X, y)
    assert fitted.classes_.tolist() == ["a", "b", "c"]
    assert fitted.objective_ == pytest.approx(expected.objective_, rel=1e-10)
    np.testing.assert_allclose(fitted.coef_, expected.coef_, rtol=0, atol=1e-5)  # √ of the objective's tolerance


def test_the_model_does_not_depend_on_the_number_of_workers(client):
    two = SoftmaxClassifier().fit(Dask(_frame(), target="y"))
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as other,
    ):
        one = SoftmaxClassifier().fit(Dask(_frame(), target="y", client=other))
    np.testing.assert_array_equal(one.coef_, two.coef_)
    np.testing.assert_array_equal(one.intercept_, two.intercept_)


def test_a_killed_worker_costs_time_and_nothing_else(client):
    source = Dask(_frame(), target="y")
    expected = SoftmaxClassifier(solver="lbfgs").fit(source)
    begun, pids = [], sorted(client.run(os.getpid).values())
    make = type(source).workers

    def workers():
        made = make(source)
        fold = made.fold

        def killing(*arguments):
            begun.append(0)
            if len(begun) == 4:
                threading.Timer(0.02, os.kill, (pids[0], signal.SIGKILL)).start()
            return fold(*arguments)

        made.fold = killing
        return made

    source.workers = workers
    fitted = SoftmaxClassifier(solver="lbfgs").fit(source)
    assert len(begun) > 4
    np.testing.assert_array_equal(fitted.coef_, expected.coef_)
    np.testing.assert_array_equal(fitted.intercept_, expected.intercept_)


def test_a_cluster_that_is_gone_is_one_message(monkeypatch):
    monkeypatch.setattr("softmaxes.sources.distributed.PATIENCE", 0.5)
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None)
        client = Client(cluster, set_as_default=False)
        source = Dask(_frame(), target="y", client=client)
        cluster.scale(0)
        with pytest.raises(UserError, match="has had no workers"):
            SoftmaxClassifier(solver="lbfgs").fit(source)
        client.close()
        cluster.close()
        with pytest.raises(UserError, match="the dask scheduler is gone"):
            SoftmaxClassifier(solver="lbfgs").fit(source)


def test_an_error_names_the_partition(client):
    def spoiled(frame, partition_info=None):
        if partition_info and partition_info["number"] == 3:
            frame = frame.assign(u=np.nan)
        return frame

    def failing(frame, partition_info=None):
        if partition_info and partition_info["number"] == 2:
            raise OSError("the disk is gone")
        return frame

    frame = _frame()
    with pytest.raises(UserError, match="partition 3: row 0, feature 0 is nan"):
        Dask(frame.map_partitions(spoiled, meta=frame._meta), target="y")
    with pytest.raises(UserError, match=r"partition 2 .*the disk is gone"):
        Dask(frame.map_partitions(failing, meta=frame._meta), target="y")
    with pytest.raises(UserError, match="no column 'yy'"):
        Dask(frame, target="yy")


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_predictions_for_collections_are_those_for_their_rows(method, client):
    X, y = _data()
    frame = _frame()
    fitted = SoftmaxClassifier().fit(Dask(frame, target="y"))
    expected = getattr(fitted, method)(pd.DataFrame(X, columns=list("uvwxz")))
    close = np.testing.assert_array_equal if method == "predict" else np.testing.assert_allclose
    close(applied(fitted, frame, method).compute(), expected)
    plain = SoftmaxClassifier().fit(X, y)
    lazy = applied(plain, dask.array.from_array(X, chunks=(700, 2)), method)
    assert lazy.shape == expected.shape
    close(lazy.compute(), getattr(plain, method)(X))
    with pytest.raises(ValueError, match=r"no column 'u'"):
        applied(fitted, frame[["v"]])


def test_a_fit_on_a_cluster_goes_on_from_its_checkpoint(client, tmp_path):
    checkpoint = tmp_path / "fit.checkpoint"
    expected = SoftmaxClassifier(solver="lbfgs").fit(Dask(_frame(), target="y"), checkpoint=checkpoint)
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    fitted = SoftmaxClassifier(solver="lbfgs").fit(Dask(_frame(), target="y"), checkpoint=checkpoint)
    np.testing.assert_array_equal(fitted.coef_, expected.coef_)
    assert checkpoint.read_bytes() == whole
    with pytest.raises(UserError, match="of another fit: partitions was"):
        SoftmaxClassifier(solver="lbfgs").fit(Dask(_frame(4), target="y"), checkpoint=checkpoint)


def test_sums_that_the_workers_merge_are_merged_in_the_same_order_by_any_number_of_them(client, monkeypatch):
    expected = SoftmaxClassifier(tol=1e-11).fit(Dask(_frame(20), target="y"))
    monkeypatch.setattr("softmaxes.sources.distributed.GATHERED_BYTES", 0)
    two = SoftmaxClassifier(tol=1e-11).fit(Dask(_frame(20), target="y"))
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as other,
    ):
        one = SoftmaxClassifier(tol=1e-11).fit(Dask(_frame(20), target="y", client=other))
    np.testing.assert_array_equal(one.coef_, two.coef_)
    assert two.objective_ == pytest.approx(expected.objective_, rel=1e-12)


def test_weights_of_classes_are_those_of_the_fit_in_memory(client):
    X, y = _data()
    weights = {"a": 2.0, "b": 1.0, "c": 0.5}
    fitted = SoftmaxClassifier(tol=1e-11, class_weight=weights).fit(Dask(_frame(), target="y"))
    expected = SoftmaxClassifier(tol=1e-11, class_weight=weights).fit(X, y)
    assert fitted.objective_ == pytest.approx(expected.objective_, rel=1e-10)


def test_scores_of_collections_are_those_of_their_rows(client):
    X, y = _data()
    frame = _frame()
    fitted = SoftmaxClassifier().fit(Dask(frame, target="y"))
    wanted = (metrics.LogLoss(), metrics.CalibrationError(bins=7), metrics.ConfusionMatrix())
    p = fitted.predict_proba(pd.DataFrame(X, columns=list("uvwxz")))
    expected = [metric.of(p, y, classes=fitted.classes_) for metric in wanted]
    assert list(scored(fitted, frame, target="y", metrics=wanted)) == expected
    plain = SoftmaxClassifier().fit(X, y)
    arrays = dask.array.from_array(X, chunks=(700, 2)), dask.array.from_array(y, chunks=900)
    expected = [metric.of(plain.predict_proba(X), y, classes=plain.classes_) for metric in wanted]
    assert [m.count for m in scored(plain, arrays[0], target=arrays[1], metrics=wanted)] == [ROWS] * 3
    found = scored(plain, arrays[0], target=arrays[1], metrics=wanted)
    assert found[0].value == pytest.approx(expected[0].value, rel=1e-13)  # a product of other shape rounds otherwise
    with pytest.raises(ValueError, match=r"no column 'u'"):
        scored(fitted, frame[["v", "y"]], target="y", metrics=wanted)
    with pytest.raises(ValueError, match=r"no column 'z0'"):
        scored(fitted, frame, target="z0", metrics=wanted)


def test_where_rows_are_plenty_a_fit_on_a_cluster_starts_from_a_sample(client):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((200_000, 21))
    logits = X @ rng.standard_normal((21, 3))
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    source = Dask(dask.array.from_array(X, chunks=(50_000, 21)), target=dask.array.from_array(y, chunks=50_000))
    sample = source.every(7)
    np.testing.assert_array_equal(
        np.concatenate([block.features for block in sample.blocks(1000)]),
        np.concatenate([X[first : first + 50_000 : 7] for first in range(0, 200_000, 50_000)]),
    )
    fitted = SoftmaxClassifier().fit(source)
    assert fitted.solver_.name == "progressive"
    assert fitted.optimality_.met
    assert fitted.history_[-1].passes < 12
    assert fitted.objective_ == pytest.approx(SoftmaxClassifier().fit(X, y).objective_, rel=2e-6)
