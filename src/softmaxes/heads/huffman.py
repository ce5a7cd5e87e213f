"""Huffman's tree over classes: short paths for frequent classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softmaxes.heads.base import Vector


@dataclass(frozen=True, eq=False)
class Tree:
    """A binary tree with the classes 0 .. V-1 as leaves and V-1 inner nodes, numbered from 0 with the root last.

    children: (V-1, 2); a child below V is a class, a child c >= V the inner node c - V.
    levels: the inner nodes of each depth, from the root down.
    starts: (V+1,), nodes, signs: the path of class k from the root is nodes[starts[k]:starts[k+1]], and signs are +1
    where it goes to the first child, -1 where it goes to the second.
    """

    children: Vector
    levels: tuple[Vector, ...]
    starts: Vector
    nodes: Vector
    signs: Vector

    @classmethod
    def of(cls, counts: Vector) -> Tree:
        """Build the tree of least expected depth; of two equal counts the leaf goes deeper, the tree stays shallow."""
        n = len(counts)
        children = _merge(counts)
        parent, side = np.full(2 * n - 1, -1), np.zeros(2 * n - 1, np.int64)
        inner = np.arange(n - 1)
        for which in (0, 1):
            parent[children[:, which]] = inner
            side[children[:, which]] = 1 - 2 * which
        steps = _climb(n, parent, side)
        owner = np.concatenate([s[0] for s in steps]) if steps else np.zeros(0, np.int64)
        # the last step of the climb comes first on the way down
        order = np.argsort(owner[::-1], kind="stable")
        nodes = np.concatenate([s[1] for s in steps])[::-1][order] if steps else owner
        signs = np.concatenate([s[2] for s in steps])[::-1][order] if steps else owner
        starts = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=n))])
        return cls(children, _levels(n, children), starts, nodes, signs)

    def paths(self, classes: Vector) -> tuple[Vector, Vector, Vector]:
        """Return the steps of the paths one after the other: the place of their class, their nodes, their signs."""
        lengths = self.starts[classes + 1] - self.starts[classes]
        rows = np.repeat(np.arange(len(classes)), lengths)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        places = self.starts[classes][rows] + within
        return rows, self.nodes[places], self.signs[places]


def _merge(counts: Vector) -> Vector:
    """Return the two children of every inner node, by the method of two queues: O(V) after sorting."""
    n = len(counts)
    leaves = np.argsort(counts, kind="stable").tolist()
    sizes = counts.tolist() + [0.0] * (n - 1)
    next_leaf, next_inner = 0, n
    children = np.zeros((n - 1, 2), np.int64)
    for new in range(n, 2 * n - 1):
        pair = []
        for _ in range(2):
            no_inner = next_inner == new
            if next_leaf < n and (no_inner or sizes[leaves[next_leaf]] <= sizes[next_inner]):
                pair.append(leaves[next_leaf])
                next_leaf += 1
            else:
                pair.append(next_inner)
                next_inner += 1
        sizes[new] = sizes[pair[0]] + sizes[pair[1]]
        children[new - n] = pair
    return children


def _climb(n: int, parent: Vector, side: Vector) -> list[tuple[Vector, Vector, Vector]]:
    """Return the steps of all classes towards the root, one level of the climb after the other."""
    classes, here = np.arange(n), np.arange(n)
    steps: list[tuple[Vector, Vector, Vector]] = []
    while True:
        going = parent[here] >= 0
        classes, here = classes[going], here[going]
        if not len(classes):
            return steps
        steps.append((classes, parent[here], side[here]))
        here = parent[here] + n


def _levels(n: int, children: Vector) -> tuple[Vector, ...]:
    levels = []
    nodes = np.arange(n - 2, n - 1) if n > 1 else np.zeros(0, np.int64)
    while len(nodes):
        levels.append(nodes)
        below = children[nodes].ravel()
        nodes = below[below >= n] - n
    return tuple(levels)
