"""Laws of the report: evidence that survives merging and JSON, pages that are whole, safe and the same every time."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_iris

from softmaxes import metrics
from softmaxes.calibration import TemperatureScaling, VectorScaling
from softmaxes.classifier import SoftmaxClassifier
from softmaxes.report import (
    Evidence,
    Judged,
    Training,
    evidence,
    evidence_of,
    render,
    standard_errors,
    training_of,
    words,
)
from softmaxes.report.charts import shown_classes
from softmaxes.report.evidence import MAX_CONFUSIONS, Certificate, Coefficient, Column, Step
from softmaxes.tables import Recipe, TableModel, as_table, profile


def rows(n=200, k=4, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k)) * 2
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = np.array([rng.choice(k, p=row) for row in p])
    sharp = p**2 / (p**2).sum(axis=1, keepdims=True)
    return p, y, sharp


TRAINING = Training(
    data="cats & dogs.csv",
    target="animal",
    rows=900,
    rows_calibrated=100,
    class_counts=(300, 200, 200, 200),
    n_features=7,
    penalty="squared weights, C = 1",
    solver="few features",
    n_iter=3,
    seconds=0.4,
    trained_at="2026-01-02T03:04:05+00:00",
    calibration="one temperature (1.5)",
    certificate=Certificate(0.5, 1e-9, 2e-9, 1e-6, True),
    history=(Step(1.0, 0.1, 1.0, 0.6), Step(2.0, 0.2, 0.6, 0.01), Step(3.0, 0.3, 0.5, None)),
    coefficients=(Coefficient("0", "size", 1.5, 1.0, 2.0), Coefficient("1", "size", -0.5)),
    interval_note="95 % intervals",
    columns=(Column("size", "number", "scaled", 0.25, 2), Column("id", "not used", "names the row", None, 0)),
)


def full(**changes):
    p, y, sharp = rows()
    return replace(evidence(p, y, uncalibrated=sharp, training=TRAINING, title="A & B"), **changes)


# ---- evidence


def test_numbers_are_those_of_the_metrics():
    p, y, sharp = rows()
    made = evidence(p, y, uncalibrated=sharp)
    states = {
        "log_loss": metrics.LogLoss,
        "brier_score": metrics.Brier,
        "accuracy": metrics.Accuracy,
        "calibration_error": metrics.CalibrationError,
        "debiased_calibration_error": metrics.DebiasedCalibrationError,
        "smooth_calibration_error": metrics.SmoothCalibrationError,
    }
    assert list(made.scores) == list(states)
    for name, metric in states.items():
        for scores, given in ((made.scores, p), (made.scores_before, sharp)):
            state = metric.of(given, y)
            assert (scores[name].value, scores[name].low, scores[name].high) == (state.value, *state.interval(0.95))
    assert [name for name, score in made.scores.items() if score.proper] == ["log_loss", "brier_score"]
    counts = np.bincount(y)
    assert made.baseline_log_loss == pytest.approx(-(counts / 200 * np.log(counts / 200)).sum(), rel=1e-12)
    for k, row in enumerate(made.per_class):
        own = p[y == k, k]
        assert (row.rows, row.came) == (counts[k], counts[k])
        assert row.foretold == pytest.approx(p[:, k].sum(), rel=1e-14)
        assert row.log_loss == pytest.approx(-np.log(own).mean(), rel=1e-14)
        assert row.recall == pytest.approx((p[y == k].argmax(axis=1) == k).mean(), rel=1e-14)
    matrix = np.zeros((4, 4))
    for truth, given, weight in made.confusion.pairs:
        matrix[truth, given] = weight
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(p, y))
    weights = [weight for *_, weight in made.confusion.pairs]
    assert weights == sorted(weights, reverse=True)


def test_blocks_make_the_evidence_of_the_whole():
    p, y, sharp = rows(n=300)
    whole = evidence(p, y, uncalibrated=sharp)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        parts = np.array_split(rng.permutation(300), rng.integers(2, 7))
        judged = Judged()
        for part in parts:
            judged = judged.merge(Judged.of(p[part], y[part], uncalibrated=sharp[part], row_numbers=part))
        assert evidence_of(judged, range(4)).to_dict() == whole.to_dict()


def test_mistakes_are_the_surest_ones():
    p, y, _ = rows(n=400)
    made = evidence(p, y)
    given = p.argmax(axis=1)
    wrong = sorted((-p[i, given[i]], i) for i in range(400) if given[i] != y[i])[:20]
    assert [(m.row, m.probability) for m in made.mistakes] == [(i, -s) for s, i in wrong]
    assert all(m.truth == str(y[m.row]) and m.given == str(given[m.row]) for m in made.mistakes)


def test_reliability_points_stand_for_enough_rows():
    p, y, _ = rows(n=300)
    made = evidence(p, y).reliability
    assert all(b.rows >= 20 for b in made.bins)
    assert sum(b.share for b in made.bins) == pytest.approx(1.0)
    assert sum(made.histogram) == pytest.approx(1.0)
    assert sum(b.share * b.confidence for b in made.bins) == pytest.approx(p.max(axis=1).mean(), rel=1e-12)
    assert sum(b.share * b.frequency for b in made.bins) == pytest.approx((p.argmax(axis=1) == y).mean(), rel=1e-12)
    assert all(b.low <= b.frequency <= b.high for b in made.bins)


EXTREMES = {
    "full": full,
    "bare": lambda: evidence(*rows()[:2]),
    "perfect": lambda: evidence(np.eye(3)[[0, 1, 2] * 9], [0, 1, 2] * 9),
    "infinite loss": lambda: evidence([[1.0, 0.0], [0.5, 0.5]], [1, 0]),
    "class never came": lambda: evidence([[0.5, 0.3, 0.2]] * 3, [0, 0, 1]),
    "one row": lambda: evidence([[0.5, 0.5]], [0]),
    "no rows": lambda: evidence_of(Judged(), ["a", "b"], training=TRAINING),
    "weights of 0": lambda: evidence([[0.5, 0.5]] * 4, [0, 1, 0, 1], sample_weight=[0, 0, 0, 0]),
    "unnamed twins": lambda: evidence([[0.6, 0.3, 0.1]] * 3, [0, 1, 2], classes=None),
    "no certificate": lambda: full(training=replace(TRAINING, certificate=None, history=())),
    "no penalty": lambda: full(training=replace(TRAINING, certificate=Certificate(0.5, None, None, 1e-6, False))),
    "many classes": lambda: evidence(*rows(300, 130)[:2]),
    "long names": lambda: evidence(*rows()[:2], classes=None, title="x" * 300),
}


@pytest.mark.parametrize("make", EXTREMES.values(), ids=EXTREMES)
def test_evidence_survives_json(make):
    made = make()
    text = json.dumps(made.to_dict(), allow_nan=False)
    again = Evidence.from_dict(json.loads(text))
    assert again == made
    assert json.dumps(again.to_dict(), allow_nan=False) == text


@pytest.mark.parametrize("make", EXTREMES.values(), ids=EXTREMES)
def test_evidence_holds_numbers_and_words_only(make):
    def plain(value):
        if is_dataclass(value):
            return all(plain(getattr(value, f.name)) for f in fields(value))
        if isinstance(value, dict):
            return all(type(key) is str and plain(part) for key, part in value.items())
        if type(value) is tuple:
            return all(map(plain, value))
        return value is None or (type(value) in (str, int, bool)) or (type(value) is float and math.isfinite(value))

    assert plain(make())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: None,
        lambda d: [],
        lambda d: {**d, "version": 2},
        lambda d: {key: value for key, value in d.items() if key != "scores"},
        lambda d: {**d, "extra": 1},
        lambda d: {**d, "rows": "many"},
        lambda d: {**d, "training": {}},
        lambda d: {**d, "per_class": [{}]},
        lambda d: {**d, "confusion": {"pairs": [[1, 2]], "omitted": 0}},
        lambda d: {**d, "reliability": None},
        lambda d: {**d, "title": 3},
        lambda d: {**d, "classes": 3},
    ],
)
def test_malformed_evidence_is_refused(spoil):
    with pytest.raises(ValueError, match="evidence"):
        Evidence.from_dict(spoil(full().to_dict()))


def test_confusions_have_an_end():
    k = 160
    truth, given = np.divmod(np.arange(k * k), k)
    p = np.full((k * k, k), 0.5 / k)
    p[np.arange(k * k), given] += 0.5
    made = evidence(p, truth)
    assert len(made.confusion.pairs) == MAX_CONFUSIONS
    assert made.confusion.omitted == k * k - MAX_CONFUSIONS


def test_classes_must_be_those_that_were_judged():
    with pytest.raises(ValueError, match="3 classes were named, but 4 were judged"):
        evidence_of(Judged.of(*rows()[:2]), ["a", "b", "c"])


# ---- the page


class Page(HTMLParser):
    """What a page contains, and whether its tags are closed in order."""

    VOID = frozenset({"meta", "link", "input", "br"})

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.text, self.faults = [], [], [], []
        self.feed(html)
        self.faults += [f"<{tag}> never closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> where it does not belong, line {self.getpos()}")

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def having(self, name):
        return [attributes[name] for _, attributes in self.elements if name in attributes]


@pytest.mark.parametrize("make", EXTREMES.values(), ids=EXTREMES)
def test_page_is_whole_and_alone(make):
    html = render(make())
    page = Page(html)
    assert page.faults == []
    assert len(html.encode()) < 3_000_000
    ids = page.having("id")
    assert len(ids) == len(set(ids))
    assert all(link[0] == "#" and link[1:] in ids for tag, a in page.elements if tag == "a" for link in [a["href"]])
    assert page.having("src") == []
    assert [a["href"] for tag, a in page.elements if tag == "link"] == ["data:,"]
    assert "url(" not in html.split("<script")[0] and "@import" not in html.split("<script")[0]
    assert all(a.get("aria-label") for _, a in page.elements if a.get("role") in ("img", "region"))
    assert all(labelled in ids for labelled in page.having("for"))
    data = json.loads(re.search(r'id="report-data">(.*?)</script>', html, re.S)[1])
    assert sorted(page.having("data-chart")) == sorted(data["charts"])


def test_page_is_a_function_of_the_evidence():
    made = full()
    assert render(made) == render(Evidence.from_dict(json.loads(json.dumps(made.to_dict()))))
    assert render(made) != render(full(title="Another"))


HOSTILE = ["</script><script>alert(1)</script>", "<img src=x onerror=alert(2)>", "&amp;\"'", "{{ 7 * 7 }}"]


def test_names_cannot_break_the_page():
    p, y, _ = rows()
    training = replace(
        TRAINING,
        data=HOSTILE[0],
        target=HOSTILE[1],
        coefficients=tuple(Coefficient(name, HOSTILE[1], 1.0) for name in HOSTILE),
        columns=tuple(Column(name, name, name) for name in HOSTILE),
    )
    html = render(evidence(p, np.array(HOSTILE)[y], classes=HOSTILE, training=training, title=HOSTILE[0]))
    page = Page(html)
    assert page.faults == []
    assert [a for tag, a in page.elements if tag == "img"] == []
    assert sum(tag == "script" for tag, _ in page.elements) == 3
    assert not page.having("onerror")
    assert HOSTILE[0] in "".join(page.text) and HOSTILE[3] in "".join(page.text)


def test_a_thousand_classes_fit():
    k = 1000
    rng = np.random.default_rng(0)
    y = rng.integers(0, k, 3000)
    p = rng.dirichlet(np.full(k, 0.05), 3000)
    p[np.arange(3000), y] += 1.0
    training = Training(
        coefficients=tuple(Coefficient(str(c), f"feature {j}", 1.0) for c in range(k) for j in range(12))
    )
    made = evidence(p / 2, y, training=training)
    html = render(made)
    assert len(html.encode()) < 3_000_000
    assert Page(html).faults == []
    assert len(shown_classes(made)) == 120


def test_order_of_many_classes_puts_the_confused_together():
    # 30 classes in 10 hidden groups of three, each confused only within its group.
    rng = np.random.default_rng(0)
    group = rng.permutation(30) % 10
    y = np.repeat(np.arange(30), 30)
    p = np.full((900, 30), 1e-3)
    for i, c in enumerate(y):
        p[i, rng.choice(np.flatnonzero(group == group[c]))] = 1.0
    order = shown_classes(evidence(p / p.sum(axis=1, keepdims=True), y))
    assert sorted(order) == list(range(30))
    changes = sum(group[a] != group[b] for a, b in pairwise(order))
    assert changes == 9


def test_every_score_is_on_the_page():
    made = full()
    text = "".join(Page(render(made)).text)
    for name, score in made.scores.items():
        assert words.NAMES[name][0] in text
        assert words.score_value(name, score.value) in text
        assert words.interval(name, score) in text
    for row in made.per_class:
        assert words.percent(row.recall) in text
    for sentence in words.summary(made):
        assert sentence in text


# ---- words


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.12345, "0.123"),
        (1.5, "1.50"),
        (-2.5, "−2.50"),
        (999.6, "1\u202f000"),
        (123456.0, "123\u202f456"),
        (1.25e-7, "1.25×10⁻⁷"),
        (2.5e9, "2.50×10⁹"),
        (-1e-12, "−1.00×10⁻¹²"),
    ],
)
def test_decimals(value, shown):
    assert words.decimal(value) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [(None, "–"), (0.0, "0"), (1.0, "100"), (0.5, "50.0"), (0.99951, "99.95"), (0.0004, "0.04"), (0.876543, "87.7")],
)
def test_percents(share, shown):
    assert words.percent(share) == (shown if share is None else f"{shown}\u202f%")


def test_lists():
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b"]) == "a and b"
    assert words.listed(list("abcdefgh"), 3) == "a, b, c and 5 more"


@pytest.mark.parametrize(
    ("power", "said"), [(1.0, "no miscalibration"), (3.0, "overconfident by"), (0.4, "too modest by")]
)
def test_summary_says_whether_to_trust(power, said):
    rng = np.random.default_rng(1)
    p = rng.dirichlet([1, 1, 1], 4000)
    y = (rng.uniform(size=4000)[:, None] > p.cumsum(axis=1)).sum(axis=1)
    q = p**power
    made = evidence(q / q.sum(axis=1, keepdims=True), y)
    assert said in " ".join(words.summary(made))


def test_summary_compares_with_knowing_nothing():
    assert "removes" in " ".join(words.summary(full()))
    worse = evidence([[0.9, 0.1], [0.1, 0.9]] * 5, [1, 0] * 5)
    assert "worse than knowing nothing" in " ".join(words.summary(worse))
    assert "infinite" in " ".join(words.summary(EXTREMES["infinite loss"]()))


# ---- what a model tells of itself


def brute_hessian(X, p, penalty):
    """The Hessian of sum CE + penalty |W|^2 / 2, entry by entry; intercepts last in each class and unpenalised."""
    X = np.column_stack([X, np.ones(len(X))])
    k, d = p.shape[1], X.shape[1]
    H = np.zeros((k * d, k * d))
    for row, q in zip(X, p, strict=True):
        H += np.kron(np.diag(q) - np.outer(q, q), np.outer(row, row))
    return H + np.diag(np.tile([*[penalty] * (d - 1), 0.0], k))


def test_standard_errors_are_the_curvature():
    X, y = load_iris(return_X_y=True)
    fitted = SoftmaxClassifier(C=2.0).fit(X, y)
    expected = np.diag(np.linalg.pinv(brute_hessian(X, fitted.predict_proba(X), 0.5))).reshape(3, 5)[:, :-1]
    halves = [X[:70], (X[70:], np.ones(80))]
    np.testing.assert_allclose(standard_errors(fitted, halves), np.sqrt(expected), rtol=1e-6)


def test_standard_errors_of_two_classes():
    X, y = load_iris(return_X_y=True)
    X, y = X[50:], y[50:]
    fitted = SoftmaxClassifier(C=2.0).fit(X, y)
    p = fitted.predict_proba(X)[:, 1]
    Z = np.column_stack([X, np.ones(100)])
    H = Z.T @ (Z * (p * (1 - p))[:, None]) + np.diag([0.5] * 4 + [0.0])
    np.testing.assert_allclose(standard_errors(fitted, [X]), np.sqrt(np.diag(np.linalg.inv(H)))[None, :-1], rtol=1e-6)


def test_standard_errors_beyond_the_exact_are_of_the_right_size(monkeypatch):
    X, y = load_iris(return_X_y=True)
    fitted = SoftmaxClassifier(C=0.01).fit(X, y)
    exact = standard_errors(fitted, [X])
    monkeypatch.setattr("softmaxes.report.uncertainty.EXACT", 0)
    ratio = standard_errors(fitted, [X]) / exact
    assert (ratio > 0.5).all() and (ratio < 2.0).all()
    assert standard_errors(SoftmaxClassifier(map="sparsemax").fit(X, y), [X]) is None


def test_a_table_model_tells_of_its_training():
    iris = load_iris(as_frame=True)
    frame = iris.frame.assign(colour=["red", "blue", None] * 50, constant=1)
    table = as_table(pa.Table.from_pandas(frame.drop(columns="target")))
    seen = profile(table)
    recipe = replace(Recipe.of(seen), target="species")
    X = recipe.matrix(table)
    classifier = SoftmaxClassifier().fit(X, iris.target_names[iris.target])
    calibration = TemperatureScaling().fit(classifier.predict_log_proba(X), classifier.predict(X[::-1]))
    facts = {"data": "iris.csv", "rows_trained": 150, "class_counts": [50, 50, 50]}
    model = TableModel(classifier, recipe, calibration, facts)
    training = training_of(model, profile=seen, seconds=1.0, standard_errors=standard_errors(classifier, [X]))
    assert (training.data, training.target, training.rows) == ("iris.csv", "species", 150)
    sheet = {c.name: c for c in training.columns}
    assert sheet["colour"].kind == "category" and sheet["colour"].missing == pytest.approx(1 / 3)
    assert sheet["constant"].kind == "not used" and sheet["sepal length (cm)"].kind == "number"
    assert training.certificate.met and training.history[-1].objective == pytest.approx(training.certificate.objective)
    largest = [c for c in training.coefficients if c.label == "setosa"]
    assert abs(largest[0].value) == pytest.approx(np.abs(classifier.coef_[0]).max())
    assert all(c.low < c.value < c.high for c in training.coefficients)
    assert "temperature" in training.calibration
    p = model.calibrated(model.raw_logits(X))
    made = evidence(p, iris.target_names[iris.target], classes=classifier.classes_, training=training)
    assert Page(render(made)).faults == []
    assert training_of(replace(model, calibration=VectorScaling())).calibration.startswith("a scale and a shift")


def test_a_plain_classifier_of_two_classes_tells_too():
    X, y = load_iris(return_X_y=True)
    fitted = SoftmaxClassifier(C=np.inf, tol=1e-4).fit(
        X[50:, 2:], y[50:] + (np.arange(100) % 9 == 0) * (3 - 2 * y[50:])
    )
    training = training_of(fitted)
    assert training.n_features == 2 and training.penalty == "none (C = inf)"
    first, second = ([c.value for c in training.coefficients if c.label == label] for label in ("1", "2"))
    assert first == [-v for v in second]
