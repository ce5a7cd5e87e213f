"""The page: perplexity against time, perplexity against memory, and what to take from them."""

from __future__ import annotations

import html as escape
from typing import Any

import altair as alt
import vl_convert

COLOURS = {
    "full": "#444444",
    "adaptive": "#0072b2",
    "sampled": "#e69f00",
    "hierarchical": "#009e73",
    "spherical": "#cc79a7",
}
SAYING = {
    "full": "Exact softmax over all words, without ever holding the matrix of logits. The reference; the dearest step.",
    "adaptive": "Two levels, cut where a step is cheapest on this machine. Exact probabilities of every word.",
    "sampled": "Trained on the frequent words and a corrected sample of the others; judged as a full softmax.",
    "hierarchical": "A path of binary decisions down a Huffman tree. The cheapest step; a coarser model.",
    "spherical": "Taylor softmax with exact steps that do not depend on the number of words. A weaker model of "
    "language: it is for numbers of classes that leave no other choice.",
}

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Next word: five output layers</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
figure {{ margin: 2rem 0 }} svg {{ max-width: 100%; height: auto }} figcaption {{ color: #555 }}
table {{ border-collapse: collapse; width: 100% }} th, td {{ padding: .3rem .6rem; text-align: right }}
th:first-child, td:first-child, td:last-child {{ text-align: left }} tr + tr {{ border-top: 1px solid #ddd }}
</style></head><body>
<h1>Next word: {n_heads} output layers on {text}</h1>
<p>{training:,} words to train on, {vocabulary:,} different ones. Every head sits on the same small network (hidden
vectors of {hidden} numbers, {batch} words in a step) and is judged by its exact perplexity on the same {judged:,}
words that it never saw; the clock stops while it is judged.</p>
<figure>{time}<figcaption>Lower and further left is better. A head whose curve lies under another's at every time is the
better choice on this machine, at this size.</figcaption></figure>
<figure>{memory}<figcaption>Memory: the parameters and what their updates remember, and what one step takes on
top.</figcaption></figure>
<table><tr><th>head</th><th>perplexity</th><th>words a second</th><th>parameters, MB</th><th>one step, MB</th>
<th></th></tr>
{rows}</table>
</body></html>
"""


def html(runs: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """Return one self-contained page."""
    values = [
        {"head": run["head"], "seconds": p["seconds"], "perplexity": p["perplexity"]}
        for run in runs
        for p in run["points"][1:]
    ]
    heads = [run["head"] for run in runs]
    colour = alt.Color("head:N", scale=alt.Scale(domain=heads, range=[COLOURS[h] for h in heads]), title=None)
    perplexity = alt.Y(
        "perplexity:Q", scale=alt.Scale(type="log", nice=False, padding=12), title="perplexity on unseen words"
    )
    seconds = alt.X("seconds:Q", scale=alt.Scale(type="log", nice=False), title="seconds of training")
    lines = alt.Chart(alt.InlineData(values=values)).mark_line(point=True)
    time = lines.encode(x=seconds, y=perplexity, color=colour).properties(width=760, height=380)
    last = [
        {"head": r["head"], "MB": (r["parameters"] + r["working"]) / 2**20, "perplexity": r["points"][-1]["perplexity"]}
        for r in runs
    ]
    points = alt.Chart(alt.InlineData(values=last)).encode(
        x=alt.X("MB:Q", scale=alt.Scale(zero=True), title="memory, MB"), y=perplexity, color=colour
    )
    named = points.mark_point(filled=True, size=140) + points.mark_text(dx=10, align="left").encode(text="head:N")
    memory = named.properties(width=760, height=260)
    rows = "\n".join(_row(run) for run in runs)
    return PAGE.format(
        **{k: escape.escape(v) if isinstance(v, str) else v for k, v in facts.items()},
        n_heads=len(runs), time=_svg(time), memory=_svg(memory), rows=rows,
    )  # fmt: skip


def _svg(chart: Any) -> str:
    return str(vl_convert.vegalite_to_svg(chart.to_json()))


def _row(run: dict[str, Any]) -> str:
    last = run["points"][-1]
    note = f" ({escape.escape(run['note'])})" if run["note"] else ""
    return (
        f"<tr><td>{run['head']}</td><td>{last['perplexity']:.1f}</td><td>{last['words'] / last['seconds']:,.0f}</td>"
        f"<td>{run['parameters'] / 2**20:.1f}</td><td>{run['working'] / 2**20:.1f}</td>"
        f"<td>{SAYING[run['head']]}{note}</td></tr>"
    )
