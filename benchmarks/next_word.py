"""The next-word race: adaptive softmax, ours and torch's, on the network of the example for equal processor time."""

from __future__ import annotations

import sys
from pathlib import Path
from time import process_time
from typing import Any


def raced(path: Path, seconds: float, vocabulary: int = 10_000, d: int = 128, n: int = 256) -> dict[str, Any]:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "next_word"))
    import network
    import numpy as np
    import text
    import torch

    from softmaxes import heads

    corpus = text.read(path, vocabulary, 4)
    judged = slice(0, 20_000)

    def run(make_step):
        rng = np.random.default_rng(0)
        net = network.Network(len(corpus.words), 4, 64, d, rng)
        step, loss = make_step(rng)
        spent, order = 0.0, rng.permutation(len(corpus.training))
        place = 0
        while spent < seconds:
            rows = order[place : place + n]
            place = 0 if place + n >= len(order) else place + n
            start = process_time()
            contexts = corpus.training.contexts[rows]
            hidden = net.hidden(contexts)
            net.step(contexts, hidden, step(hidden, corpus.training.following[rows]))
            spent += process_time() - start
        held = net.hidden(corpus.held_out.contexts[judged])
        return float(np.exp(loss(held, corpus.held_out.following[judged])))

    def ours(rng):
        head = heads.AdaptiveSoftmax(d, len(corpus.words), corpus.counts, rng, batch_rows=n)
        return lambda h, t: head.step(h, t)[1], head.loss

    def rival(rate, cutoffs):
        def make(rng):
            torch.manual_seed(0)
            order = np.argsort(-corpus.counts, kind="stable")
            rank = np.empty(len(order), np.int64)
            rank[order] = np.arange(len(order))
            layer = torch.nn.AdaptiveLogSoftmaxWithLoss(d, len(corpus.words), cutoffs)
            optimiser = torch.optim.Adagrad(layer.parameters(), lr=rate)

            def step(hidden, following):
                h = torch.from_numpy(hidden).requires_grad_(True)
                optimiser.zero_grad()
                layer(h, torch.from_numpy(rank[following])).loss.backward()
                optimiser.step()
                return h.grad.numpy()

            def loss(hidden, following):
                with torch.no_grad():
                    return float(layer(torch.from_numpy(hidden), torch.from_numpy(rank[following])).loss)

            return step, loss

        return make

    found = {"softmaxes": run(ours)}
    for rate in (0.03, 0.1):
        for cutoffs in ([200, 2000], [2000]):
            found[f"torch, Adagrad {rate}, cut-offs {cutoffs}"] = run(rival(rate, cutoffs))
    return {"task": f"next word, {seconds:g} s of training", "perplexity": found}
