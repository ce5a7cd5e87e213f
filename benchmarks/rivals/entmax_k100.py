"""The entmax package (PyTorch), sorting the largest 100 entries first and more where that was too few."""

from functools import partial

from benchmarks.rivals import entmax

PACKAGE = entmax.PACKAGE
prepare = partial(entmax.prepare, k=100)
