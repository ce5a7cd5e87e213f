"""The report in a browser, as a person meets it: narrow and wide, light and dark, by keyboard, on paper."""

import re
from dataclasses import replace

import numpy as np
import pytest

from softmaxes.report import Training, evidence, render
from softmaxes.report.evidence import Certificate, Coefficient, Column, Step


def made(k=3, n=600, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k)) * 2
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    sharp = p**2 / (p**2).sum(axis=1, keepdims=True)
    names = [f"class {i:02d}" for i in range(k)]
    training = Training(
        data="table.csv",
        target="kind",
        rows=1000,
        class_counts=tuple(range(10, 10 + k)),
        certificate=Certificate(0.5, 1e-9, 2e-9, 1e-6, True),
        history=tuple(Step(1.0 + i, 0.1 * i, 0.5 + 2.0**-i, 3.0**-i) for i in range(12)),
        coefficients=tuple(
            Coefficient(name, f"feature {j}", float(rng.normal()), -1.0, 1.0) for name in names for j in range(9)
        ),
        interval_note="95 % intervals",
        columns=tuple(Column(f"column {j}", "number", "scaled to mean 0 and spread 1", 0.01 * j, 1) for j in range(20)),
    )
    return evidence(
        p, np.array(names)[y], classes=names, uncalibrated=sharp, training=training, title="kind from table.csv"
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    for k in (3, 100):
        (folder / f"{k}.html").write_text(render(made(k, 3000 if k > 3 else 600)), encoding="utf-8")
    return folder


CHARTS = ("reliability", "confidence", "confusion", "coefficients", "objective", "suboptimality")


def drawn(page):
    page.wait_for_function(
        "document.querySelectorAll('[data-chart] svg').length === document.querySelectorAll('[data-chart]').length"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("k", [3, 100])
def test_it_opens_alone_and_fits(visit, files, k, width, scheme):
    # `visit` checks in the end that there was one request, and not a word on the console.
    page = visit((files / f"{k}.html").as_uri(), width=width, scheme=scheme)
    drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in CHARTS:
        box = page.locator(f'[data-chart="{name}"] svg').bounding_box()
        assert box["width"] > 250 and box["x"] >= 0 and box["x"] + box["width"] <= width
    # Colours are the scheme's own, in the text and in the charts.
    ink, paper = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    assert contrast(ink, paper) > 10
    for label in page.locator('[data-chart="confusion"] svg .role-axis-label text').all()[:5]:
        assert contrast(label.evaluate("e => getComputedStyle(e).fill"), paper) > 4.5
    assert contrast(page.locator("#scores .hint").first.evaluate("e => getComputedStyle(e).color"), paper) > 4.5


def contrast(a, b):
    """The contrast ratio of WCAG 2 between two rgb() colours."""

    def luminance(colour):
        channels = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_class_table_sorts_by_mouse_and_keyboard(visit, files):
    page = visit((files / "100.html").as_uri())
    drawn(page)
    facts = made(100, 3000)
    head = page.locator("#class-table thead th").filter(has_text="recall")

    def first(n=4):
        return page.locator("#class-table tbody tr th").all_text_contents()[:n]

    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    best = max(c.recall for c in facts.per_class if c.recall is not None)
    assert {c.label: c.recall for c in facts.per_class}[first(1)[0]] == best
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    worst = min(c.recall for c in facts.per_class if c.recall is not None)
    assert {c.label: c.recall for c in facts.per_class}[first(1)[0]] == worst
    page.locator("#class-table thead th").filter(has_text="class").locator("button").click()
    assert first() == ["class 00", "class 01", "class 02", "class 03"]
    assert page.locator("#class-table th[aria-sort]").count() == 1


def test_long_tables_can_be_searched(visit, files):
    page = visit((files / "100.html").as_uri())
    page.get_by_label("Find a class").fill("class 07")
    assert page.locator("#class-table tbody tr:visible").count() == 1
    assert page.locator("#class-table-found").text_content() == "1 shown"
    page.get_by_label("Find a class").fill("")
    assert page.locator("#class-table tbody tr:visible").count() == 100


def test_coefficients_follow_the_chosen_class(visit, files):
    page = visit((files / "3.html").as_uri())
    drawn(page)
    facts = made()
    for i, name in enumerate(facts.classes):
        page.get_by_label("Class", exact=True).select_option(str(i))
        own = [c for c in facts.training.coefficients if c.label == name]
        shown = page.locator("#coefficient-rows tr").all()
        assert len(shown) == len(own)
        for row, c in zip(shown, own, strict=True):
            cells = [cell.replace("−", "-") for cell in row.locator("th, td").all_text_contents()]
            assert cells[0] == c.feature and float(cells[1]) == pytest.approx(c.value, rel=0.006)


def test_everything_is_reached_by_keyboard(visit, files):
    page = visit((files / "3.html").as_uri())
    drawn(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.tagName + ' ' + (document.activeElement.getAttribute('aria-label') ?? '')"
            )
        )
    assert {"BUTTON ", "SELECT ", "SUMMARY ", "A ", "DIV Class by class"} <= reached


def test_pictures_have_words(visit, files):
    page = visit((files / "3.html").as_uri())
    drawn(page)
    pictures = page.get_by_role("img")
    assert pictures.count() == len(CHARTS)
    names = [picture.get_attribute("aria-label") for picture in pictures.all()]
    assert any("Reliability diagram of" in name for name in names)
    assert any("Confusion matrix of 3 classes" in name for name in names)
    assert page.locator("[data-chart] svg [aria-label]").count() == 0  # no label on every mark of a chart


def test_a_turned_screen_redraws(visit, files):
    page = visit((files / "3.html").as_uri(), width=1000)
    drawn(page)
    wide = page.locator('[data-chart="objective"] svg').bounding_box()["width"]
    page.set_viewport_size({"width": 420, "height": 800})
    page.wait_for_function(
        f"document.querySelector('[data-chart=objective] svg').getBoundingClientRect().width < {wide}"
    )
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420


def test_paper_is_light_and_unfolded(visit, files):
    page = visit((files / "3.html").as_uri(), scheme="dark")
    drawn(page)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert len(page.pdf()) > 10_000


def test_tables_are_whole_on_paper(visit, files):
    page = visit((files / "3.html").as_uri(), width=680)  # a sheet of A4 without its margins
    drawn(page)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_timeout(300)
    tables = page.locator(".scroll:visible").all()
    assert len(tables) >= 5
    for table in tables:
        assert table.evaluate("e => e.scrollWidth - e.clientWidth") <= 0, table.get_attribute("aria-label")
    assert page.evaluate("document.documentElement.scrollWidth") <= 680


def test_a_report_of_training_alone(visit, tmp_path):
    from softmaxes.report import Judged, evidence_of

    bare = evidence_of(Judged(), ["a", "b"], training=replace(made().training, coefficients=()))
    (tmp_path / "bare.html").write_text(render(bare), encoding="utf-8")
    page = visit((tmp_path / "bare.html").as_uri())
    drawn(page)
    assert page.locator("#summary").text_content().count("no scores") == 1
