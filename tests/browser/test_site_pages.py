"""The built site (docs/_build) in a browser: every page fits, asks for nothing from outside, and says nothing odd.

sphinx-build -W -b html docs docs/_build comes first; without a site these tests are not collected.
"""

from pathlib import Path

import pytest

SITE = Path(__file__).resolve().parents[2] / "docs" / "_build"
PAGES = sorted(p for p in SITE.rglob("*.html") if not {"carried", "_static"} & set(p.relative_to(SITE).parts))


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1600, "dark")])
def test_every_page_fits_and_stays_at_home(chromium, width, scheme):
    assert len(PAGES) > 20
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    for file in PAGES:
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, file.name
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert [line for line in said if not line.startswith("[PST]")] == []  # the theme tells which mode it chose
    context.close()


@pytest.mark.parametrize(("name", "heading"), [("explorer", "The softmax family, at work"), ("tutorial", "fresh.csv")])
def test_what_the_site_carries_is_there(chromium, name, heading):
    page = chromium.new_page()
    page.goto((SITE / f"{name}.html").as_uri())
    page.locator("iframe.embedded").scroll_into_view_if_needed()
    inside = page.frame_locator("iframe.embedded").locator("h1")
    inside.wait_for()
    assert heading in inside.text_content()
    page.close()
