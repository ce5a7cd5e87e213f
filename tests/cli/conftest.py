"""A table, a model trained on it, rows to predict, and an empty folder to work in."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from softmaxes.__main__ import run


@pytest.fixture(scope="session")
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
