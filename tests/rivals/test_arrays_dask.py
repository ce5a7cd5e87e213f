"""dask arrays go through every member lazily, chunked along the rows or along the classes.

dask is no dependency of the tests: `python -m pytest tests/rivals` runs this where it is installed.
"""

import numpy as np
import pytest

da = pytest.importorskip("dask.array")

import softmaxes as sm  # noqa: E402
from softmaxes.maps import FAMILY  # noqa: E402


@pytest.mark.parametrize("m", FAMILY, ids=repr)
def test_members(m, chunks=(3, 5)):
    low, _ = m.properties().domain
    z = np.random.default_rng(0).uniform(max(low + 0.1, -2.0), 2.0, (6, 8))
    lazy = da.from_array(z, chunks=chunks)
    for got, expected in ((m(lazy), m(z)), (m.vjp(lazy, lazy), m.vjp(z, z))):
        assert isinstance(got, da.Array)
        assert np.allclose(got.compute(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("m", (*FAMILY, sm.Entmax(3.0)), ids=repr)
def test_masks_without_a_warning(m):
    """A chunk is computed later, where nobody listens to warnings: there must be none."""
    low, _ = m.properties().domain
    z = np.random.default_rng(0).uniform(max(low + 0.1, -2.0), 2.0, (4, 6))
    z[0, 2], z[1, 4:] = -np.inf, -np.inf
    lazy = da.from_array(z, chunks=(2, 3))
    u = np.arange(6.0)
    for method in (m, m.log, m.entropy, lambda x: m.vjp(x, u)):
        assert np.allclose(method(lazy).compute(), method(z), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("chunks", [(2, 8), (6, 4)], ids=str)
def test_chunks_along_either_axis(chunks):
    test_members(sm.Softmax(), chunks)
    test_members(sm.Sparsemax(), chunks)


@pytest.mark.parametrize("chunks", [(2, 8), (6, 4)], ids=str)
def test_cross_entropy(chunks):
    rng = np.random.default_rng(1)
    z, y = rng.normal(size=(6, 8)), rng.integers(0, 8, 6)
    value, gradient = sm.cross_entropy_and_gradient(da.from_array(z, chunks=chunks), da.from_array(y, chunks=2))
    expected = sm.cross_entropy_and_gradient(z, y)
    assert np.allclose(value.compute(), expected[0], rtol=1e-14)
    assert np.allclose(gradient.compute(), expected[1], rtol=1e-12, atol=1e-16)
