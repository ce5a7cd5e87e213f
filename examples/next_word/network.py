"""The layers below the head: embeddings of the words before, side by side, through one layer of tanh."""

from __future__ import annotations

import numpy as np


class Adagrad:
    """Parameters whose rows each keep their own step size: rate / sqrt(sum of mean squared gradients)."""

    def __init__(self, values: np.ndarray, rate: float) -> None:
        self.values, self.rate = values, rate
        self.squares = np.full(len(values), 1e-10)

    def descend(self, gradient: np.ndarray, rows: np.ndarray | slice = slice(None)) -> None:
        self.squares[rows] += np.einsum("ij,ij->i", gradient, gradient) / gradient.shape[1]
        step = (self.rate / np.sqrt(self.squares[rows])).astype(np.float32)
        self.values[rows] -= step[:, None] * gradient


class Network:
    """contexts (n, c) of word numbers -> hidden vectors (n, d)."""

    def __init__(self, n_words: int, context: int, n_embedded: int, n_hidden: int, rng: np.random.Generator) -> None:
        def uniform(rows: int, columns: int, bound: float) -> np.ndarray:
            return rng.uniform(-bound, bound, (rows, columns)).astype(np.float32)

        self.embedding = Adagrad(uniform(n_words, n_embedded, 0.3), 0.1)
        self.layer = Adagrad(uniform(n_hidden, context * n_embedded + 1, (context * n_embedded) ** -0.5), 0.05)

    @property
    def nbytes(self) -> int:
        return sum(p.values.nbytes + p.squares.nbytes for p in (self.embedding, self.layer))

    def hidden(self, contexts: np.ndarray) -> np.ndarray:
        return np.tanh(self._inputs(contexts) @ self.layer.values.T)

    def _inputs(self, contexts: np.ndarray) -> np.ndarray:
        embedded = self.embedding.values[contexts].reshape(len(contexts), -1)
        return np.column_stack([embedded, np.ones(len(contexts), np.float32)])

    def step(self, contexts: np.ndarray, hidden: np.ndarray, d_hidden: np.ndarray) -> None:
        """Take the gradient of a loss with respect to the hidden vectors one step down, through both layers."""
        inputs = self._inputs(contexts)
        d_sums = d_hidden * (1 - hidden * hidden)
        d_inputs = d_sums @ self.layer.values[:, :-1]
        self.layer.descend(d_sums.T @ inputs)
        flat = contexts.ravel()
        order = np.argsort(flat, kind="stable")
        words, first = np.unique(flat[order], return_index=True)
        by_word = d_inputs.reshape(len(flat), -1)[order]
        self.embedding.descend(np.add.reduceat(by_word, first), words)
