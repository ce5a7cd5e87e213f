"""From evidence to one HTML page that needs nothing else."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from softmaxes.report import charts, words
from softmaxes.report.evidence import Evidence

__all__ = ["render"]

# A page has an end: the rest is in the evidence.
MAX_CLASS_ROWS = 1_000
MAX_COEFFICIENT_CLASSES = 200
MAX_CONFUSIONS = 15

# What the bundled libraries leave for the page's own script.
_EXPORTS = "window.vegaEmbed = vegaEmbed;"


def render(evidence: Evidence) -> str:
    """Return the report as one self-contained HTML document.

    A pure function: the same evidence gives the same bytes. The page loads nothing; pictures are drawn by the Vega
    libraries that it carries, in colours that follow the reader's light or dark setting, and every number is in a table
    too.

    Needs altair, vl-convert-python and jinja2 (the `report` extra); without them ImportError says so.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(_text("page.html"))
    return page.render(
        **_context(evidence),
        css=Markup(_text("page.css")),
        js=Markup(_text("page.js")),
        vega=Markup(_vega()),
        data=Markup(_json(_data(evidence))),
    )


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    import altair
    import vl_convert

    version = ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    script: str = vl_convert.javascript_bundle(_EXPORTS, vl_version=version)
    return script.replace("</script", "<\\/script")


def _json(data: Any) -> str:
    """Return JSON that may stand inside a script element."""
    return json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _data(evidence: Evidence) -> dict[str, Any]:
    """Return what the page's script reads: the charts, and the coefficients of each class."""
    t = evidence.training
    drawn: dict[str, Any] = {}
    if evidence.rows:
        drawn["reliability"] = charts.reliability(evidence)
        drawn["confidence"] = charts.confidence(evidence)
        drawn["confusion"] = charts.confusion(evidence)
    if t.history:
        drawn["objective"] = charts.objective(t)
        if _has_bounds(evidence):
            drawn["suboptimality"] = charts.suboptimality(t)
    by_class = _coefficients(evidence)
    if by_class:
        drawn["coefficients"] = charts.coefficients()
    return {"charts": drawn, "coefficients": list(by_class.values())}


def _has_bounds(evidence: Evidence) -> bool:
    return any(step.bound for step in evidence.training.history)


def _coefficients(evidence: Evidence) -> dict[str, list[dict[str, Any]]]:
    """Return the coefficients to show, by class."""
    by_class: dict[str, list[dict[str, Any]]] = {}
    for c in evidence.training.coefficients:
        if c.label not in by_class and len(by_class) == MAX_COEFFICIENT_CLASSES:
            continue
        known = c.low is not None and c.high is not None
        by_class.setdefault(c.label, []).append(
            {
                "feature": c.feature,
                "value": c.value,
                "low": c.low if known else c.value,
                "high": c.high if known else c.value,
                "shown": words.decimal(c.value),
                "interval": f"{words.decimal(c.low)} to {words.decimal(c.high)}" if known else "",
            }
        )
    return by_class


def _context(evidence: Evidence) -> dict[str, Any]:
    """Return what the template reads."""
    t = evidence.training
    rows = sorted(evidence.per_class, key=lambda c: -c.came)[:MAX_CLASS_ROWS]
    shown = {id(c) for c in rows}
    labels = list(_coefficients(evidence))
    context: dict[str, Any] = {
        "e": evidence,
        "t": t,
        "meta": _meta(evidence),
        "summary": words.summary(evidence),
        "cards": _cards(evidence),
        "brier_split": _brier_split(evidence),
        "bins": _bins(evidence),
        "confusions": _confusions(evidence),
        "matrix_aspect": 0.92,
        "class_rows": [c for c in evidence.per_class if id(c) in shown],
        "classes_omitted": len(evidence.per_class) - len(rows),
        "has_counts": bool(t.class_counts),
        "has_missing": any(c.missing is not None for c in t.columns),
        "has_bounds": _has_bounds(evidence),
        "coefficient_classes": list(enumerate(labels)),
        "facts": _facts(evidence),
        "captions": {"reliability": _reliability_caption(evidence), "confusion": _confusion_caption(evidence)},
        "alt": _alternatives(evidence),
        "count": words.count,
        "decimal": words.decimal,
        "level": words.level(evidence),
        "percent": words.percent,
        "small_percent": lambda p: (
            words.percent(p) if p >= 0.0005 or p == 0.0 else f"{words.decimal(100 * p, 2)}\u202f%"
        ),
        "blank": lambda value: "" if value is None else value,
    }
    context["sections"] = [
        (anchor, name)
        for anchor, name, there in (
            ("summary", "In plain words", True),
            ("scores", "Scores", evidence.rows),
            ("reliability", "Calibration", evidence.rows),
            ("confusion", "Confusions", evidence.rows),
            ("classes", "Class by class", evidence.rows),
            ("mistakes", "Surest mistakes", evidence.rows),
            ("coefficients", "Coefficients", labels),
            ("training", "Training", context["facts"]),
            ("data", "Data", t.columns),
        )
        if there
    ]
    return context


def _meta(evidence: Evidence) -> str:
    t = evidence.training
    parts = [t.data, t.target and f"target: {t.target}", t.trained_at and f"trained {t.trained_at[:10]}"]
    parts.append(f"softmaxes {evidence.softmaxes}")
    return " · ".join(part for part in parts if part)


def _cards(evidence: Evidence) -> list[dict[str, Any]]:
    cards = []
    for name, score in evidence.scores.items():
        title, note = words.NAMES[name]
        before = evidence.scores_before.get(name)
        cards.append(
            {
                "name": title,
                "proper": score.proper,
                "value": words.score_value(name, score.value),
                "range": words.interval(name, score),
                "before": words.score_value(name, before.value) if before else "",
                "note": note,
                "better": "Lower is better." if score.lower_is_better else "Higher is better.",
            }
        )
    return cards


def _brier_split(evidence: Evidence) -> str:
    calibration, refinement = evidence.brier_calibration, evidence.brier_refinement
    if calibration is None or refinement is None:
        return ""
    small = "none that can be seen" if calibration <= 0 else words.decimal(calibration, 2)
    return (
        f"Of the Brier score, {small} is due to calibration, which a calibration could remove; "
        f"{words.decimal(refinement, 3)} is refinement: what a calibrated model of the same sharpness would pay."
    )


def _bins(evidence: Evidence) -> list[dict[str, Any]]:
    series = [("calibrated" if evidence.reliability_before else "model", evidence.reliability)]
    if evidence.reliability_before:
        series.insert(0, ("before", evidence.reliability_before))
    return [{"series": name, **vars(b)} for name, curve in series for b in curve.bins]


def _confusions(evidence: Evidence) -> list[dict[str, str]]:
    wrong = [pair for pair in evidence.confusion.pairs if pair[0] != pair[1]][:MAX_CONFUSIONS]
    return [
        {
            "truth": evidence.classes[truth],
            "given": evidence.classes[given],
            "rows": words.count(weight) if weight == round(weight) else words.decimal(weight),
            "share": words.percent(weight / evidence.per_class[truth].came),
        }
        for truth, given, weight in wrong
    ]


def _facts(evidence: Evidence) -> list[tuple[str, str]]:
    t, certificate = evidence.training, evidence.training.certificate
    gap = None
    if certificate is not None:
        gap = "nothing (no penalty)"
        if certificate.suboptimality_bound is not None:
            relative = f" ({words.decimal(certificate.relative, 2)} of it)" if certificate.relative is not None else ""
            gap = f"at most {words.decimal(certificate.suboptimality_bound, 2)} above the optimum{relative}"
    pairs = [
        ("rows", t.rows and words.count(t.rows)),
        ("features", t.n_features and words.count(t.n_features)),
        ("penalty", t.penalty),
        ("solver", t.solver),
        ("iterations", t.n_iter and words.count(t.n_iter)),
        ("time", t.seconds is not None and words.seconds(t.seconds)),
        ("objective", certificate and words.decimal(certificate.objective, 6)),
        ("proven", gap),
        ("calibration", words.calibration(t)),
    ]
    return [(name, str(value)) for name, value in pairs if value]


def _reliability_caption(evidence: Evidence) -> str:
    if not evidence.reliability.bins:
        return ""
    claimed, true = words.confidence_and_frequency(evidence.reliability)
    text = f"It claims {words.percent(claimed)} on average and is right {words.percent(true)}."
    if evidence.reliability_before and evidence.reliability_before.bins:
        claimed, true = words.confidence_and_frequency(evidence.reliability_before)
        text += f" Before calibration it claimed {words.percent(claimed)}."
    return text + f" Lines are {words.level(evidence)} intervals of the frequency."


def _confusion_caption(evidence: Evidence) -> str:
    shown = len(charts.shown_classes(evidence))
    text = "Each row of the matrix is a true class; the stronger the colour, the larger the share of its rows."
    if shown < len(evidence.classes):
        text += f" Shown are the {shown} classes with the most mistakes, of {words.count(len(evidence.classes))}."
    elif shown > charts.FEW_CLASSES:
        text += " Classes that are taken for one another stand side by side."
    return text


def _alternatives(evidence: Evidence) -> dict[str, str]:
    """Return what each picture says, for those who cannot see it."""
    texts = {"reliability": "", "confidence": "", "confusion": "", "objective": "", "suboptimality": ""}
    bins = evidence.reliability.bins
    if bins:
        shares = evidence.reliability.histogram
        fullest = max(range(len(shares)), key=shares.__getitem__)
        texts["reliability"] = (
            f"Reliability diagram of {len(bins)} bins, which are in a table below. {_reliability_caption(evidence)}"
        )
        texts["confidence"] = (
            f"Histogram of confidence. The fullest bin, {words.percent(fullest / len(shares))} to "
            f"{words.percent((fullest + 1) / len(shares))}, holds {words.percent(shares[fullest])} of the rows."
        )
    found = _confusions(evidence)
    worst = f" The commonest confusion: {found[0]['truth']} taken for {found[0]['given']}." if found else ""
    texts["confusion"] = f"Confusion matrix of {len(charts.shown_classes(evidence))} classes.{worst} A list follows."
    history = evidence.training.history
    if history:
        texts["objective"] = (
            f"Line chart: the objective falls from {words.decimal(history[0].objective, 4)} to "
            f"{words.decimal(history[-1].objective, 4)} in {words.decimal(history[-1].passes)} passes."
        )
        bounds = [step.bound for step in history if step.bound]
        if bounds:
            texts["suboptimality"] = (
                f"Line chart, logarithmic: the proven bound on the distance from the optimum goes from "
                f"{words.decimal(bounds[0], 2)} to {words.decimal(bounds[-1], 2)}."
            )
    return texts
