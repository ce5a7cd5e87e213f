"""Tables that have everything, for all tests of tables."""

import numpy as np
import pyarrow as pa
from pyarrow import csv, feather, ipc, parquet

from softmaxes.tables import (
    Recipe,
    as_table,
    profile,
)

TALES = ["the old man and the sea", "war and peace, by the sea", "a tale of two cities; the sea", "pride of man"]


def mixed(n=200, seed=0):
    """A table with every kind of column, missing values in most of them, and categories that occur once."""
    rng = np.random.default_rng(seed)
    gone = rng.random(n) < 0.1

    def some(values):
        return [None if missing else value for value, missing in zip(values, gone, strict=True)]

    return pa.table(
        {
            "size": some((1e3 + rng.normal(size=n)).tolist()),
            "count": pa.array(rng.integers(0, 9, n)),
            "colour": some(rng.choice(["red", "blue", "grün"], n).tolist()),
            "rare": [f"only {i}" if i < 3 else "often" for i in range(n)],
            "member": pa.array(some((rng.random(n) < 0.5).tolist()), pa.bool_()),
            "seen": pa.array(some(rng.integers(0, 10**15, n).tolist()), pa.timestamp("us")),
            "story": [f"{TALES[i % 4]} number {rng.integers(30)} of {rng.integers(1000)} books" for i in range(n)],
            "kind": rng.choice(["yes", "no", "maybe"], n),
        }
    )


def write(table, path, **options):
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=37)
    elif path.suffix == ".feather":
        feather.write_feather(table, path, chunksize=41)
    elif path.suffix == ".arrow":
        with ipc.new_stream(path, table.schema) as sink:
            sink.write_table(table, max_chunksize=23)
    else:
        csv.write_csv(table, path, csv.WriteOptions(**options))
    return path


def recipe_of(table, target="kind"):
    return Recipe.of(profile(as_table(table)), target=target)
