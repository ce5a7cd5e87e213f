"""Huffman's tree is optimal, and the probabilities are the products along its paths."""

import heapq
import itertools

import numpy as np
import pytest

from softmaxes import heads
from softmaxes.heads.huffman import Tree

COUNTS = {
    "zipf": 1000 // np.arange(1, 30),
    "equal": np.ones(16),
    "unseen": np.array([5, 0, 0, 0, 9, 0, 1]),
    "nothing seen": np.zeros(8),
    "fibonacci": np.array([1, 1, 2, 3, 5, 8, 13, 21]),
    "two": np.array([3, 1]),
    "one": np.array([3]),
}


def least_cost(counts):
    """Return the least sum of count x depth, by merging on a heap."""
    heap = [float(c) for c in counts]
    heapq.heapify(heap)
    total = 0.0
    while len(heap) > 1:
        pair = heapq.heappop(heap) + heapq.heappop(heap)
        total += pair
        heapq.heappush(heap, pair)
    return total


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS.keys())
def test_the_tree_has_the_least_expected_depth(counts):
    tree = Tree.of(np.asarray(counts, float))
    assert np.diff(tree.starts) @ counts == least_cost(counts)


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS.keys())
def test_paths_are_a_prefix_code_that_leads_to_its_class(counts):
    tree, n = Tree.of(np.asarray(counts, float)), len(counts)
    codes = []
    for k in range(n):
        here = 2 * n - 2
        for node, sign in zip(*(x[tree.starts[k] : tree.starts[k + 1]] for x in (tree.nodes, tree.signs)), strict=True):
            assert here - n == node
            here = tree.children[node, 0 if sign > 0 else 1]
        assert here == k
        codes.append(tuple(tree.signs[tree.starts[k] : tree.starts[k + 1]]))
    assert not any(a != b and b[: len(a)] == a for a, b in itertools.permutations(codes, 2) if a)
    assert sorted(np.concatenate(tree.levels).tolist()) == list(range(n - 1)) if n > 1 else tree.levels == ()


def test_classes_of_equal_count_share_a_shallow_tree():
    assert np.diff(Tree.of(np.zeros(1024)).starts).max() == 10
    assert np.diff(Tree.of(np.ones(1000)).starts).max() == 10


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS.keys())
def test_probabilities_are_products_along_the_paths(counts):
    n, rng = len(counts), np.random.default_rng(0)
    head = heads.HierarchicalSoftmax(3, n, counts, 0, dtype="float64", learning_rate=0.5)
    head.fit(rng.standard_normal((50, 3)), rng.integers(0, n, 50), epochs=2, batch_rows=10)
    hidden = rng.standard_normal((4, 3))
    found = np.exp(head.log_prob(hidden))
    for h, row in zip(hidden, found, strict=True):
        z = head.weight.values @ h + head.bias.values
        for k in range(n):
            path = slice(head.tree.starts[k], head.tree.starts[k + 1])
            right = 1 / (1 + np.exp(-head.tree.signs[path] * z[head.tree.nodes[path]]))
            assert row[k] == pytest.approx(np.prod(right), rel=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=0, atol=1e-13)


def test_it_starts_at_the_frequencies_of_the_counts():
    counts = np.array([50, 20, 10, 5, 0])
    head = heads.HierarchicalSoftmax(3, 5, counts, 0, dtype="float64")
    np.testing.assert_allclose(
        np.exp(head.log_prob(np.zeros((1, 3)))[0]), (counts + 1) / (counts + 1).sum(), rtol=1e-12
    )
