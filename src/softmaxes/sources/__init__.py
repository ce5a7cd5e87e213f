"""Blocks of rows: where the classifier's data comes from."""

from softmaxes.sources.arrays import Arrays
from softmaxes.sources.base import Block, IndexedSource, Source, recut
from softmaxes.sources.encoding import Encoded, classes_of
from softmaxes.sources.sparse import Sparse

__all__ = ["Arrays", "Block", "Encoded", "IndexedSource", "Source", "Sparse", "classes_of", "recut"]
