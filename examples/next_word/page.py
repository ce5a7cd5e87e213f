"""The page: perplexity against time, perplexity against memory, and what to take from them."""

from __future__ import annotations

import html as escape
from pathlib import Path
from string import Template
from typing import Any

import altair as alt
import vl_convert

SAYING = {
    "full": "Exact softmax over all words, without ever holding the matrix of logits. The reference; the dearest step.",
    "adaptive": "Two levels, cut where a step is cheapest on this machine. Exact probabilities of every word.",
    "sampled": "Trained on the frequent words and a corrected sample of the others; judged as a full softmax.",
    "hierarchical": "A path of binary decisions down a Huffman tree. A cheap step and exact probabilities; a coarser "
    "model.",
    "spherical": "Taylor softmax with exact steps whose cost does not depend on the number of words. A weaker model of "
    "language: it is for numbers of classes that leave no other choice.",
}
SHAPES = {
    "full": "circle",
    "adaptive": "square",
    "sampled": "triangle-up",
    "hierarchical": "diamond",
    "spherical": "cross",
}
TICKS = ((1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9))
PAGE = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
Run = dict[str, Any]


def html(runs: list[Run], facts: dict[str, Any]) -> str:
    """Return one self-contained page; every chart is drawn for a wide and for a narrow window."""
    charts = {
        f"{name}_{size}": _svg(draw(runs, size == "narrow"))
        for name, draw in (("time", _time), ("memory", _memory))
        for size in ("wide", "narrow")
    }
    shown = {k: escape.escape(v) if isinstance(v, str) else f"{v:,}" for k, v in facts.items()}
    sayings = "\n".join(f"<dt>{r['head']}</dt><dd>{SAYING[r['head']]}{_note(r)}</dd>" for r in runs)
    rows = "\n".join(_row(run, runs) for run in runs)
    return PAGE.substitute(shown, verdict=_verdict(runs), rows=rows, sayings=sayings, **charts)


def _time(runs: list[Run], narrow: bool) -> alt.Chart:
    values = [
        {"head": run["head"], "seconds": p["seconds"], "perplexity": p["perplexity"]}
        for run in runs
        for p in run["points"][1:]
    ]
    lines = alt.Chart(alt.InlineData(values=values)).encode(
        x=_logarithmic(alt.X, "seconds", values, "seconds of training"),
        y=_logarithmic(alt.Y, "perplexity", values, "perplexity on unseen words"),
        color=_by_head(runs, "color"),
        shape=_by_head(runs, "shape"),
    )
    both = lines.mark_line(strokeWidth=2) + lines.mark_point(filled=True, size=45, opacity=1)
    return both.properties(width=280 if narrow else 800, height=280 if narrow else 380)


def _memory(runs: list[Run], narrow: bool) -> alt.Chart:
    values = [{"head": r["head"], "MB": _megabytes(r), "perplexity": _last(r)["perplexity"]} for r in runs]
    points = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X("MB:Q", scale=alt.Scale(zero=True), title="memory, MB", axis=alt.Axis(tickCount=6)),
        y=_logarithmic(alt.Y, "perplexity", values, "perplexity on unseen words"),
        color=_by_head(runs, "color"),
        shape=_by_head(runs, "shape"),
    )
    dots = points.mark_point(filled=True, size=140, opacity=1)
    return dots.properties(width=280 if narrow else 800, height=240)


def _logarithmic(channel: type, field: str, values: list[dict[str, Any]], title: str) -> Any:
    """Return a logarithmic axis with ticks at 1, 2, 5, 10, 20, ..., or closer until there are four."""
    found = [v[field] for v in values]
    low, high = 0.85 * min(found), 1.18 * max(found)
    ticks: list[float] = []
    for steps in TICKS:
        ticks = [s * 10.0**e for e in range(-4, 7) for s in steps if low <= s * 10.0**e <= high]
        if len(ticks) >= 4:
            break
    scale = alt.Scale(type="log", nice=False, domain=[low, high])
    return channel(f"{field}:Q", scale=scale, title=title, axis=alt.Axis(values=ticks))


def _by_head(runs: list[Run], channel: str) -> alt.Color | alt.Shape:
    heads = [run["head"] for run in runs]
    legend = alt.Legend(orient="top", direction="horizontal", columns=3, title=None, columnPadding=18)
    if channel == "color":
        return alt.Color("head:N", scale=alt.Scale(domain=heads, range=[f"var(--{h})" for h in heads]), legend=legend)
    return alt.Shape("head:N", scale=alt.Scale(domain=heads, range=[SHAPES[h] for h in heads]), legend=legend)


def _svg(chart: alt.Chart) -> str:
    """Draw a chart in the colours of the page, light or dark."""
    text = {"labelColor": "var(--muted)", "titleColor": "var(--ink)", "labelFontSize": 12, "titleFontSize": 13}
    lines = {"gridColor": "var(--rule)", "domainColor": "var(--rule)", "tickColor": "var(--rule)"}
    plain = chart.configure(background="transparent", font="system-ui, sans-serif").configure_view(stroke=None)
    styled = plain.configure_axis(**text, **lines, titleFontWeight="normal")
    return str(vl_convert.vegalite_to_svg(styled.configure_legend(labelColor="var(--ink)", labelFontSize=13).to_json()))


def _last(run: Run) -> dict[str, Any]:
    return run["points"][-1]


def _megabytes(run: Run) -> float:
    return (run["parameters"] + run["working"]) / 2**20


def _verdict(runs: list[Run]) -> str:
    """Say in one sentence which head was best, and which took least memory."""
    best, smallest = min(runs, key=lambda r: _last(r)["perplexity"]), min(runs, key=_megabytes)
    verdict = (
        f"After {_last(best)['seconds']:.0f} seconds each, <b>{best['head']}</b> had the lowest perplexity "
        f"({_last(best)['perplexity']:.1f})"
    )
    if best is smallest:
        return f"{verdict} and took the least memory ({_megabytes(best):.1f} MB)."
    return f"{verdict}; <b>{smallest['head']}</b> took the least memory ({_megabytes(smallest):.1f} MB)."


def _row(run: Run, runs: list[Run]) -> str:
    last = _last(run)
    cells = (
        f"{last['perplexity']:.1f}",
        _caught_up(run, runs),
        f"{last['words'] / last['seconds']:,.0f}",
        f"{run['parameters'] / 2**20:.1f}",
        f"{run['working'] / 2**20:.1f}",
    )
    return f"<tr><th scope=row>{run['head']}</th>{''.join(f'<td>{c}</td>' for c in cells)}</tr>"


def _caught_up(run: Run, runs: list[Run]) -> str:
    """Return after how many seconds a head was as good as the full softmax at its end."""
    full = next((r for r in runs if r["head"] == "full"), None)
    if full is None:
        return "–"
    reached = (p["seconds"] for p in run["points"] if p["perplexity"] <= _last(full)["perplexity"])
    return next((f"{s:.1f} s" for s in reached), "not yet")


def _note(run: Run) -> str:
    return f" {escape.escape(run['note'])}" if run["note"] else ""
