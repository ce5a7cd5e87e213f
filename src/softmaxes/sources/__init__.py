"""Blocks of rows: where the classifier's data comes from."""

from importlib import import_module
from typing import Any

from softmaxes.sources.arrays import Arrays
from softmaxes.sources.base import Block, IndexedSource, Source, StridedSource, recut
from softmaxes.sources.blocks import Blocks
from softmaxes.sources.dask import Dask
from softmaxes.sources.distributed import Partitions
from softmaxes.sources.encoding import Encoded, classes_of
from softmaxes.sources.memmap import Memmap
from softmaxes.sources.sparse import Sparse
from softmaxes.sources.spill import spilled

# Sources that need more than NumPy load on first use.
_ROOMS = {"Arrow": "tables", "Csv": "tables", "Parquet": "tables", "TableRows": "tables"}

__all__ = [  # noqa: PLE0604 - the last names come from the table above
    "Arrays",
    "Block",
    "Blocks",
    "Dask",
    "Encoded",
    "IndexedSource",
    "Memmap",
    "Partitions",
    "Source",
    "Sparse",
    "StridedSource",
    "classes_of",
    "recut",
    "spilled",
    *_ROOMS,
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return getattr(import_module(f"softmaxes.sources.{_ROOMS[name]}"), name)
    raise AttributeError(f"module 'softmaxes.sources' has no attribute {name!r}")
