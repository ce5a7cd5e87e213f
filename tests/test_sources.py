"""Sources: the same rows in the same order on every pass, cut as asked, summed to the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse

from softmaxes.objective import Objective
from softmaxes.sources import Arrays, Block, Encoded, Source, Sparse, classes_of, recut
from softmaxes.sources.passes import Plan, Workers


def _data(n: int = 1000, d: int = 7, k: int = 4, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    features = rng.standard_normal((n, d)).astype(dtype) * (rng.random((n, d)) < 0.5)
    return features.astype(dtype), rng.integers(k, size=n), rng.random(n)


@dataclass(frozen=True, eq=False)
class Pieces(Source):
    """A stream whose storage comes in pieces of odd lengths, as a file's would."""

    whole: Source
    lengths: tuple[int, ...] = (1, 130, 7, 400, 3)

    def __post_init__(self) -> None:
        for name in ("n_rows", "n_features", "dtype", "is_sparse"):
            object.__setattr__(self, name, getattr(self.whole, name))

    def _pieces(self) -> Iterator[Block]:
        start = 0
        while start < self.n_rows:
            for length in self.lengths:
                stop = min(start + length, self.n_rows)
                if start < stop:
                    yield self.whole.block(start, stop)
                start = stop

    def blocks(self, rows: int) -> Iterator[Block]:
        return recut(self._pieces(), rows)


def _dense(block: Block) -> np.ndarray:
    return block.features if isinstance(block.features, np.ndarray) else block.features.toarray()


def _sources(features: np.ndarray, codes: np.ndarray, weights: np.ndarray | None) -> dict[str, Source]:
    arrays = Arrays(features, codes, weights)
    sparse = Sparse(scipy.sparse.csr_array(features), codes, weights)
    return {
        "arrays": arrays,
        "fortran": Arrays(np.asfortranarray(features), codes, weights),
        "sparse": sparse,
        "pieces": Pieces(arrays),
        "sparse pieces": Pieces(sparse),
    }


@pytest.mark.parametrize("kind", ["arrays", "fortran", "sparse", "pieces", "sparse pieces"])
@pytest.mark.parametrize("rows", [1, 64, 333, 1000, 5000])
@pytest.mark.parametrize("weighted", [False, True])
def test_blocks_are_all_rows_in_order_on_every_pass(kind: str, rows: int, weighted: bool) -> None:
    features, codes, weights = _data()
    source = _sources(features, codes, weights if weighted else None)[kind]
    for _ in range(2):
        blocks = [
            Block(_dense(block).copy(), block.targets.copy(), None if block.weights is None else block.weights.copy())
            for block in source.blocks(rows)
        ]
        assert [len(block) for block in blocks[:-1]] == [rows] * (len(blocks) - 1)
        np.testing.assert_array_equal(np.concatenate([block.features for block in blocks]), features)
        np.testing.assert_array_equal(np.concatenate([block.targets for block in blocks]), codes)
        if weighted:
            np.testing.assert_array_equal(np.concatenate([block.weights for block in blocks]), weights)
        else:
            assert all(block.weights is None for block in blocks)


@pytest.mark.parametrize("kind", ["arrays", "sparse"])
def test_take_copies_the_rows_asked_for(kind: str) -> None:
    features, codes, weights = _data()
    taken = _sources(features, codes, weights)[kind].take(np.array([5, 3, 5]))
    (block,) = taken.blocks(10)
    np.testing.assert_array_equal(_dense(block), features[[5, 3, 5]])
    np.testing.assert_array_equal(block.targets, codes[[5, 3, 5]])
    np.testing.assert_array_equal(block.weights, weights[[5, 3, 5]])


def test_dense_blocks_are_views() -> None:
    features, codes, _ = _data()
    assert all(np.shares_memory(block.features, features) for block in Arrays(features, codes).blocks(100))


@pytest.mark.parametrize(
    ("n_rows", "n_features", "n_classes"), [(1, 1, 2), (10, 3, 5), (100_000, 784, 10), (70_001, 50, 999)]
)
def test_parts_cover_all_rows_once(n_rows: int, n_features: int, n_classes: int) -> None:
    source = Arrays(np.broadcast_to(np.float32(0), (n_rows, n_features)))
    bounds = list(Plan.of(source, n_classes).parts())
    assert bounds[0][0] == 0
    assert bounds[-1][1] == n_rows
    assert all(stop == start for (_, stop), (start, _) in pairwise(bounds))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("precision", ["single", "double"])
def test_same_bits_for_any_threads_and_any_storage(dtype: type, precision: str) -> None:
    features, codes, weights = _data(20_000, 60, 5, dtype)
    found = []
    for threads in (1, 2, 5):
        for kind in ("arrays", "pieces"):
            with Workers(threads) as workers:
                source = _sources(features, codes, weights)[kind]
                objective = Objective(source, 5, l2=1e-3, workers=workers)
                assert len(list(objective.plan.parts())) > 1
                theta = np.random.default_rng(0).standard_normal((5, 61))
                evaluation = objective.evaluate(theta, precision)
                found.append((evaluation.value, evaluation.gradient.tobytes()))
    assert len(set(found)) == 1


def test_blas_limits_come_back() -> None:
    from threadpoolctl import threadpool_info

    before = [library["num_threads"] for library in threadpool_info()]
    with Workers(1), Workers(2):
        assert {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"} == {1}
    assert [library["num_threads"] for library in threadpool_info()] == before


def test_labels_become_codes_and_weights() -> None:
    features, codes, _ = _data(20, 2, 3)
    names = np.array(["b", "c", "a"])[codes]
    source = Arrays(features, names)
    classes = classes_of(source, 7)
    assert classes.tolist() == ["a", "b", "c"]
    (block,) = Encoded(source, classes, np.array([1.0, 2.0, 3.0])).blocks(20)
    np.testing.assert_array_equal(classes[block.targets], names)
    np.testing.assert_array_equal(block.weights, block.targets + 1.0)
    with pytest.raises(ValueError, match="label 'c' is not one of the 2 known classes"):
        list(Encoded(source, np.array(["a", "b"])).blocks(20))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Arrays(np.zeros(3)), ValueError, "1 dimensions; two are needed"),
        (lambda: Arrays(np.zeros((3, 1), int)), TypeError, "dtype int64; float32 or float64"),
        (lambda: Arrays(np.zeros((3, 1)), np.zeros(2)), ValueError, "targets has 2 entries, but there are 3 rows"),
        (lambda: Sparse(scipy.sparse.csc_array((3, 1))), TypeError, "CSR"),
        (lambda: classes_of(Arrays(np.zeros((3, 1)))), ValueError, "no targets"),
    ],
)
def test_what_is_refused(make, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
