"""Tests that need a browser. They are not collected with the others; ask for them:

pip install playwright && apt-get install chromium
SOFTMAXES_BROWSER=/usr/bin/chromium pytest tests/browser
"""

import os
from pathlib import Path

import pytest

BROWSER = os.environ.get("SOFTMAXES_BROWSER")
SITE = Path(__file__).resolve().parents[2] / "docs" / "_build" / "index.html"
collect_ignore_glob = ([] if SITE.exists() else ["test_site_pages.py"]) if BROWSER else ["test_*.py"]

# No GPU, no sandbox (containers), and no traffic of the browser's own.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, headless=True, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """An open page with what it asked for and what it said."""

    def __init__(self, page):
        self.page = page
        self.requests = []
        self.lines = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.lines.append(message.text))
        page.on("pageerror", lambda error: self.lines.append(str(error)))


@pytest.fixture
def visit(chromium):
    """Return a function that opens an address, and check at the end that nothing else was asked for or said."""
    visits = []

    def go(address, width=1280, height=900, scheme="light"):
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        visit = Visit(context.new_page())
        visits.append(visit)
        visit.page.goto(address)
        return visit.page

    yield go
    for visit in visits:
        assert len(visit.requests) == 1, visit.requests
        assert visit.lines == []
        visit.page.context.close()
