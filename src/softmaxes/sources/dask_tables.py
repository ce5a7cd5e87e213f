"""The rows of a table as features on the workers of a dask cluster, each part of it read where it is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from softmaxes.errors import UserError
from softmaxes.sources.distributed import Part, Partitions, finished
from softmaxes.tables import Labels, Recipe, Table, read_targets


def partitions(
    client: Any,
    parts: Sequence[Table],
    recipe: Recipe,
    labels: Labels,
    keep: Sequence[NDArray[np.bool_]],
    *,
    dtype: DTypeLike = np.float64,
    done: Callable[[int], None] | None = None,
) -> Partitions:
    """Return the features and classes of the rows to keep, which workers read and hold; a worker must see the files.

    parts: of one table, from `softmaxes.tables.parts_of`. recipe: it names the target. keep: a mask for each part.
    done: told the number of each part that has been read. Raises UserError that names the file and row group or row
    where one can't be read.
    """
    names = [part.name for part in parts]
    futures = [
        client.submit(_encoded, part, recipe, labels, np.packbits(mask), len(mask), dtype, pure=False)
        for part, mask in zip(parts, keep, strict=True)
    ]
    finished(client, futures, names, done)
    return Partitions(client, futures, labels.array, names)


def _encoded(
    table: Table, recipe: Recipe, labels: Labels, packed: NDArray[np.uint8], rows: int, dtype: DTypeLike
) -> Part:
    keep = np.unpackbits(packed, count=rows).astype(np.bool_)
    _, codes = read_targets(table, recipe.target or "", labels)
    if len(codes) != rows:
        raise UserError(f"{table.name} had {rows} rows and now has {len(codes)}: it changed while it was read")
    return recipe.matrix(table, dtype=dtype, keep=keep), codes[keep].astype(np.int64), None
