"""The pictures, as Vega-Lite specifications in the page's CSS variables: light, dark and print follow it."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from softmaxes.report.evidence import Evidence, Reliability, Training

__all__ = ["coefficients", "confidence", "confusion", "objective", "reliability", "shown_classes", "suboptimality"]

BLUE, ORANGE, INK, MUTED = "var(--blue)", "var(--orange)", "var(--ink)", "var(--muted)"
# Beyond this many classes the matrix shows those that are confused most.
MAX_MATRIX = 120
# Up to this many, the matrix keeps the classes' own order and shows counts.
FEW_CLASSES = 12


def reliability(evidence: Evidence) -> dict[str, Any]:
    """Return the reliability diagram: frequency against confidence, before and after calibration."""
    after = "calibrated" if evidence.reliability_before else "model"
    series = [(after, evidence.reliability)]
    if evidence.reliability_before:
        series.insert(0, ("before", evidence.reliability_before))
    rows = [row for name, curve in series for row in _bin_rows(name, curve)]
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=[name for name, _ in series], range=[ORANGE, BLUE] if len(series) > 1 else [BLUE]),
        legend=alt.Legend(title=None, orient="top") if len(series) > 1 else None,
    )
    shape = alt.Shape(
        "series:N",
        scale=alt.Scale(
            domain=[name for name, _ in series], range=["diamond", "circle"] if len(series) > 1 else ["circle"]
        ),
        legend=alt.Legend(title=None, orient="top") if len(series) > 1 else None,
    )
    unit = alt.Scale(domain=[0, 1])
    x = alt.X(
        "confidence:Q",
        scale=unit,
        title="confidence: the probability it stated",
        axis=alt.Axis(format="%", tickCount=5),
    )
    y = alt.Y(
        "frequency:Q", scale=unit, title="frequency: how often it was right", axis=alt.Axis(format="%", tickCount=5)
    )
    tooltip = [
        alt.Tooltip("series:N"),
        alt.Tooltip("confidence:Q", format=".1%"),
        alt.Tooltip("frequency:Q", format=".1%"),
        alt.Tooltip("low:Q", format=".1%", title="from"),
        alt.Tooltip("high:Q", format=".1%", title="to"),
        alt.Tooltip("rows:Q", format=",.0f"),
    ]
    diagonal = alt.Data(values=[{"confidence": 0, "frequency": 0}, {"confidence": 1, "frequency": 1}])
    ideal = alt.Chart(diagonal).mark_line(stroke=MUTED, strokeDash=[4, 4], strokeWidth=1).encode(x=x, y=y)
    base = alt.Chart(alt.Data(values=rows))
    bars = base.mark_rule(strokeWidth=1.25, opacity=0.5).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour)
    line = base.mark_line(strokeWidth=1.25, opacity=0.7).encode(x=x, y=y, color=colour)
    size = alt.Size("share:Q", scale=alt.Scale(domain=[0, 0.4], range=[20, 260], clamp=True), legend=None)
    dots = base.mark_point(filled=True, opacity=1).encode(
        x=x, y=y, color=colour, shape=shape, size=size, tooltip=tooltip
    )
    return _spec(alt.layer(ideal, bars, line, dots))


def _bin_rows(name: str, curve: Reliability) -> list[dict[str, Any]]:
    return [
        {
            "series": name,
            "confidence": round(b.confidence, 5),
            "frequency": round(b.frequency, 5),
            "low": round(b.low, 5),
            "high": round(b.high, 5),
            "rows": round(b.rows, 1),
            "share": round(b.share, 5),
        }
        for b in curve.bins
    ]


def confidence(evidence: Evidence) -> dict[str, Any]:
    """Return how the rows are spread over confidence."""
    shares = evidence.reliability.histogram
    rows = [
        {"from": round(i / len(shares), 4), "to": round((i + 1) / len(shares), 4), "share": round(share, 5)}
        for i, share in enumerate(shares)
        if share
    ]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_rect(fill=BLUE, stroke="var(--page)", strokeWidth=1)
        .encode(
            x=alt.X(
                "from:Q", scale=alt.Scale(domain=[0, 1]), title="confidence", axis=alt.Axis(format="%", tickCount=5)
            ),
            x2="to:Q",
            y=alt.Y("share:Q", title="share of rows", axis=alt.Axis(format="%", tickCount=3)),
            y2=alt.datum(0),
            tooltip=[
                alt.Tooltip("from:Q", format=".0%"),
                alt.Tooltip("to:Q", format=".0%"),
                alt.Tooltip("share:Q", format=".1%", title="rows"),
            ],
        )
    )
    return _spec(chart)


def shown_classes(evidence: Evidence) -> list[int]:
    """Return the classes of the matrix in order: all, or those with the most mistakes.

    Many classes are ordered so that those taken for one another are neighbours.
    """
    k = len(evidence.classes)
    mixed = np.zeros((k, k)) if k <= MAX_MATRIX else None
    wrong = np.zeros(k)
    for truth, given, weight in evidence.confusion.pairs:
        if truth != given:
            wrong[[truth, given]] += weight
            if mixed is not None:
                mixed[[truth, given], [given, truth]] += weight / evidence.per_class[truth].came
    if mixed is None:
        worst: list[int] = np.argsort(-wrong, kind="stable")[:MAX_MATRIX].tolist()
        return sorted(worst)
    return _neighbours(mixed) if k > FEW_CLASSES else list(range(k))


def _neighbours(mixed: NDArray[np.float64]) -> list[int]:
    """Return an order that puts strongly linked nodes side by side.

    The two chains with the strongest mean link are joined, end to end where they are linked best, until one is left.
    """
    chains = [[i] for i in range(len(mixed))]
    links = mixed.copy()
    while len(chains) > 1:
        size = np.array([len(chain) for chain in chains])
        mean = links / np.outer(size, size)
        np.fill_diagonal(mean, -1.0)
        a, b = sorted(divmod(int(mean.argmax()), len(chains)))
        first, second = chains[a], chains.pop(b)
        ways = [(x, y) for x in (first, first[::-1]) for y in (second, second[::-1])]
        left, right = max(ways, key=lambda way: mixed[way[0][-1], way[1][0]])
        chains[a] = left + right
        links[a] += links[b]
        links[:, a] += links[:, b]
        links = np.delete(np.delete(links, b, axis=0), b, axis=1)
    return chains[0]


def confusion(evidence: Evidence) -> dict[str, Any]:
    """Return the confusion matrix: each row's share of the true class; hits blue, mistakes orange."""
    chosen = shown_classes(evidence)
    place = {k: i for i, k in enumerate(chosen)}
    labels = _distinct([evidence.classes[k] for k in chosen])
    came = {k: evidence.per_class[k].came for k in chosen}
    rows = [
        {
            "truth": labels[place[truth]],
            "given": labels[place[given]],
            "rows": round(weight, 3),
            "share": round(weight / came[truth], 5),
            "kind": "right" if truth == given else "wrong",
        }
        for truth, given, weight in evidence.confusion.pairs
        if truth in place and given in place and came[truth]
    ]
    few = len(chosen) <= FEW_CLASSES
    look: dict[str, Any] = {"labelOverlap": "greedy", "labelLimit": 90, "ticks": False, "domain": False}
    flat = max(map(len, labels)) * len(labels) <= 40
    x_axis = alt.Axis(**look, labelPadding=6, labelAngle=0 if flat else -90)
    x = alt.X("given:N", sort=labels, title="given class", axis=x_axis, scale=alt.Scale(domain=labels))
    y_axis = alt.Axis(**look, labelPadding=6)
    y = alt.Y("truth:N", sort=labels, title="true class", axis=y_axis, scale=alt.Scale(domain=labels))
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, y=y)
    cells = base.mark_rect(stroke="var(--page)", strokeWidth=2 if few else 0).encode(
        color=alt.Color(
            "kind:N",
            scale=alt.Scale(domain=["right", "wrong"], range=[BLUE, ORANGE]),
            legend=alt.Legend(title=None, orient="top", symbolType="square"),
        ),
        # The square root keeps rare confusions visible beside the diagonal.
        opacity=alt.Opacity(
            "share:Q", scale=alt.Scale(type="sqrt", domain=[0, 1], range=[0.06, 1] if few else [0.35, 1]), legend=None
        ),
        tooltip=[
            alt.Tooltip("truth:N", title="true"),
            alt.Tooltip("given:N"),
            alt.Tooltip("rows:Q", format=",.6~g"),
            alt.Tooltip("share:Q", format=".1%", title="of its true class"),
        ],
    )
    if not few:
        return _spec(cells)
    text = base.mark_text(fontSize=12).encode(
        text=alt.Text("rows:Q", format=",.4~g"),
        color=alt.condition("datum.share > 0.4", alt.value("var(--page)"), alt.value(INK)),
    )
    return _spec(alt.layer(cells, text))


def _distinct(labels: list[str]) -> list[str]:
    """Return labels that differ, as an axis needs them."""
    return labels if len(set(labels)) == len(labels) else [f"{label} ({i})" for i, label in enumerate(labels)]


def objective(training: Training) -> dict[str, Any]:
    """Return the objective along the fit."""
    rows = [{"passes": s.passes, "objective": s.objective, "seconds": round(s.seconds, 4)} for s in training.history]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("passes:Q", title="passes over the data"),
        y=alt.Y("objective:Q", title="objective", scale=alt.Scale(zero=False), axis=alt.Axis(format=".3~g")),
        tooltip=[alt.Tooltip("passes:Q", format=".3~g"), "objective:Q", alt.Tooltip("seconds:Q", format=".3~g")],
    )
    return _spec(
        alt.layer(
            base.mark_line(stroke=BLUE, strokeWidth=2), base.mark_point(filled=True, fill=BLUE, size=24, opacity=1)
        )
    )


def suboptimality(training: Training) -> dict[str, Any]:
    """Return the proven distance from the optimum along the fit, and what it was in hindsight."""
    rows = []
    last = min(s.objective for s in training.history)
    for s in training.history:
        if s.bound is not None and s.bound > 0.0:
            rows.append({"passes": s.passes, "value": s.bound, "series": "proven bound"})
        if s.objective > last:
            rows.append({"passes": s.passes, "value": s.objective - last, "series": "above the last objective"})
    names = ["proven bound", "above the last objective"]
    legend = alt.Legend(title=None, orient="top", labelLimit=220)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("passes:Q", title="passes over the data"),
        y=alt.Y(
            "value:Q",
            title="distance from the optimum",
            scale=alt.Scale(type="log"),
            axis=alt.Axis(format=".0e", tickCount=6),
        ),
        color=alt.Color("series:N", scale=alt.Scale(domain=names, range=[BLUE, ORANGE]), legend=legend),
        shape=alt.Shape("series:N", scale=alt.Scale(domain=names, range=["circle", "diamond"]), legend=legend),
        tooltip=["series:N", alt.Tooltip("passes:Q", format=".3~g"), alt.Tooltip("value:Q", format=".2e")],
    )
    return _spec(alt.layer(base.mark_line(strokeWidth=2), base.mark_point(filled=True, size=30, opacity=1)))


def coefficients() -> dict[str, Any]:
    """Return the coefficients of one class; the page puts the rows of the chosen class in as the data set `chosen`."""
    base = alt.Chart(alt.NamedData(name="chosen")).encode(
        y=alt.Y("feature:N", sort=None, title=None, axis=alt.Axis(labelLimit=190, ticks=False, domain=False)),
    )
    colour = alt.condition("datum.value > 0", alt.value(BLUE), alt.value(ORANGE))
    title = "coefficient"
    zero = alt.Chart(alt.Data(values=[{"at": 0}])).mark_rule(stroke=MUTED).encode(x=alt.X("at:Q", title=title))
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q", color=colour)
    stems = base.mark_rule(strokeWidth=1, strokeDash=[2, 3]).encode(
        x=alt.X("value:Q", title=title), x2=alt.datum(0), color=colour
    )
    dots = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=alt.X("value:Q", title=title),
        color=colour,
        shape=alt.condition("datum.value > 0", alt.value("circle"), alt.value("diamond")),
        tooltip=[
            "feature:N",
            alt.Tooltip("value:Q", format=".4~g", title="coefficient"),
            alt.Tooltip("low:Q", format=".4~g", title="from"),
            alt.Tooltip("high:Q", format=".4~g", title="to"),
        ],
    )
    return _spec(alt.layer(zero, stems, bars, dots))


def _spec(chart: Any) -> dict[str, Any]:
    """Return the specification with the page's look; width and height are set by the page."""
    with alt.data_transformers.enable(consolidate_datasets=False):
        spec: dict[str, Any] = chart.to_dict()
    spec["autosize"] = {"type": "fit", "contains": "padding"}
    spec["background"] = "transparent"
    spec["config"] = {
        "aria": False,  # the figure has a caption and a table instead of a label on every mark
        "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif",
        "view": {"stroke": "transparent"},
        "axis": {
            "labelColor": MUTED,
            "titleColor": MUTED,
            "titleFontWeight": "normal",
            "labelFontSize": 12,
            "titleFontSize": 12,
            "labelFlush": False,
            "gridColor": "var(--rule)",
            "domainColor": "var(--rule)",
            "tickColor": "var(--rule)",
        },
        "legend": {"labelColor": INK, "labelFontSize": 12, "symbolOpacity": 1},
    }
    return spec
