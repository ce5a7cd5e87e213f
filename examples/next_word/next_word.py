"""Predict the next word of a text with five output layers, and show what each costs: python next_word.py TEXT."""

from __future__ import annotations

import argparse
import json
import tracemalloc
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import page
import text
from network import Network
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import softmaxes as sm

HEADS = {
    "full": ("FullSoftmax", {"learning_rate": 0.1}),
    "adaptive": ("AdaptiveSoftmax", {"learning_rate": 0.1}),
    "sampled": ("SampledSoftmax", {"learning_rate": 0.1, "n_samples": 512, "sampler": "top_mix"}),
    "hierarchical": ("HierarchicalSoftmax", {"learning_rate": 0.1}),
    "spherical": ("SphericalHead", {"learning_rate": 10.0, "dtype": "float32"}),
}


@dataclass(frozen=True)
class Point:
    """What a head had reached after so many seconds of training."""

    seconds: float
    words: int
    perplexity: float


@dataclass(frozen=True)
class Run:
    """One head's training. parameters, working: bytes that stay, and bytes that one step takes on top."""

    head: str
    points: tuple[Point, ...]
    parameters: int
    working: int
    note: str


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "text", type=Path, help="any plain text of at least 20,000 words (README.md says how to get one)"
    )
    parser.add_argument("--output", type=Path, default=Path("next_word.html"), help="the page (default: %(default)s)")
    parser.add_argument("--heads", default=",".join(HEADS), help="which heads, by comma (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="training time for each head (default: %(default)s)"
    )
    parser.add_argument("--vocabulary", type=int, default=10_000, help="words to tell apart (default: %(default)s)")
    parser.add_argument("--context", type=int, default=4, help="words before that are seen (default: %(default)s)")
    parser.add_argument("--embedded", type=int, default=64, help="size of an embedding (default: %(default)s)")
    parser.add_argument("--hidden", type=int, default=128, help="size of the hidden vectors (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=256, help="words in a step (default: %(default)s)")
    parser.add_argument("--judged", type=int, default=5_000, help="held-out words to judge by (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    chosen.heads = [name.strip() for name in chosen.heads.split(",")]
    if unknown := set(chosen.heads) - set(HEADS):
        parser.error(f"--heads: {', '.join(sorted(unknown))} unknown; there are {', '.join(HEADS)}")
    if not chosen.text.is_file():
        parser.error(f"there is no file {chosen.text}; README.md says how to get a text")
    return chosen


def train(name: str, corpus: text.Corpus, chosen: argparse.Namespace, progress: Progress) -> Run:
    """Train one head for the given time; the clock stops while it is judged."""
    rng = np.random.default_rng(chosen.seed)
    network = Network(len(corpus.words), chosen.context, chosen.embedded, chosen.hidden, rng)
    kind, given = HEADS[name]
    extra = {"batch_rows": chosen.batch} if name == "adaptive" else {}
    head = getattr(sm.heads, kind)(chosen.hidden, len(corpus.words), corpus.counts, rng, **given, **extra)

    judged = held_out_sample(corpus, chosen)
    bar = progress.add_task(name, total=chosen.seconds, perplexity="")
    points, seconds, words, next_look = [Point(0.0, 0, perplexity(network, head, judged))], 0.0, 0, chosen.seconds / 20
    batches = endless_batches(len(corpus.training), chosen.batch, rng)
    while seconds < chosen.seconds:
        rows = next(batches)
        started = perf_counter()
        step(network, head, corpus.training, rows)
        seconds += perf_counter() - started
        words += len(rows)
        progress.update(bar, completed=min(seconds, chosen.seconds))
        if seconds >= next_look or seconds >= chosen.seconds:
            points.append(Point(seconds, words, perplexity(network, head, judged)))
            progress.update(bar, perplexity=f"perplexity {points[-1].perplexity:8.1f}")
            next_look = max(1.35 * seconds, seconds + chosen.seconds / 40)
    tracemalloc.start()
    step(network, head, corpus.training, next(batches))
    working = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    note = f"Here it cut at {', '.join(map(str, head.cutoffs)) or 'no word'}." if name == "adaptive" else ""
    return Run(name, tuple(points), network.nbytes + head.nbytes, working, note)


def step(network: Network, head: sm.heads.Head, examples: text.Examples, rows: np.ndarray) -> None:
    contexts = examples.contexts[rows]
    hidden = network.hidden(contexts)
    _, d_hidden = head.step(hidden, examples.following[rows])
    network.step(contexts, hidden, d_hidden.astype(np.float32))


def endless_batches(n: int, size: int, rng: np.random.Generator):
    while True:
        order = rng.permutation(n)
        yield from (order[start : start + size] for start in range(0, n, size))


def held_out_sample(corpus: text.Corpus, chosen: argparse.Namespace) -> text.Examples:
    """Return the same held-out examples for every head."""
    n = len(corpus.held_out)
    rows = np.sort(np.random.default_rng(1).permutation(n)[: chosen.judged])
    return text.Examples(corpus.held_out.contexts[rows], corpus.held_out.following[rows])


def perplexity(network: Network, head: sm.heads.Head, judged: text.Examples) -> float:
    """Return exp of the exact mean of -log p(next word): no head is judged by a sample."""
    return float(np.exp(head.loss(network.hidden(judged.contexts), judged.following)))


def main() -> None:
    chosen = options()
    console = Console()
    corpus = text.read(chosen.text, chosen.vocabulary, chosen.context)
    console.print(
        f"{chosen.text.name}: {len(corpus.training):,} words to train on, {len(corpus.held_out):,} held out, "
        f"{len(corpus.words):,} different ones"
    )
    columns = (
        TextColumn("{task.description:>14}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[perplexity]}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        runs = [train(name, corpus, chosen, progress) for name in chosen.heads]
    facts = {
        "text": chosen.text.name,
        "training": len(corpus.training),
        "judged": min(chosen.judged, len(corpus.held_out)),
        "vocabulary": len(corpus.words),
        "hidden": chosen.hidden,
        "batch": chosen.batch,
    }
    chosen.output.write_text(page.html([asdict(run) for run in runs], facts), encoding="utf-8")
    numbers = {"facts": facts, "runs": [asdict(run) for run in runs]}
    chosen.output.with_suffix(".json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    console.print(f"the page: {chosen.output}")


if __name__ == "__main__":
    main()
