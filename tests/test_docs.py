"""The site without Sphinx: every public name is in the reference, every page is reached, every block runs."""

import importlib
import inspect
import json
import re
import sys
from pathlib import Path

import pytest

from softmaxes.certify import CASES, FUNCTIONS
from softmaxes.contracts import promised_ulp

DOCS = Path(__file__).resolve().parent.parent / "docs"
sys.path.insert(0, str(DOCS / "extensions"))

import measured  # noqa: E402
import pages  # noqa: E402
import plain  # noqa: E402

WRITTEN = sorted(
    p for suffix in ("md", "rst") for p in DOCS.rglob(f"*.{suffix}") if "_build" not in p.relative_to(DOCS).parts
)
OBJECTS = re.compile(r"^\.\. auto(?:class|function|data):: (\S+)", re.M)
MODULES = re.compile(r"^\.\. automodule:: (\S+)\n   :members:", re.M)
TOCTREES = re.compile(r"^```\{toctree\}\n(.*?)^```", re.M | re.S)

# public rooms that a reader of the reference should find whole
ROOMS = ("calibration", "heads", "losses", "maps", "maximum_entropy", "metrics", "sampling", "sources", "transforms")


def documented():
    """Return the dotted names that the reference asks autodoc for; a module stands for its __all__."""
    text = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.rst"))
    whole = MODULES.findall(text)
    return OBJECTS.findall(text) + [f"{m}.{name}" for m in whole for name in importlib.import_module(m).__all__]


def found(dotted):
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_the_reference_has_every_public_name(room):
    here = importlib.import_module(f"softmaxes.{room}".rstrip("."))
    shown = documented()
    known = {id(found(name)) for name in shown} | {name.rpartition(".")[2] for name in shown}
    missing = [
        name
        for name in here.__all__
        if not (inspect.ismodule(thing := getattr(here, name)) or name.startswith("_"))
        and id(thing) not in known
        and name not in known
    ]
    assert not missing, f"add to docs/reference: {', '.join(missing)}"


def test_the_reference_says_each_thing_once():
    shown = documented()
    assert len({id(found(name)) for name in shown}) == len(shown)


def linked():
    """Return the pages that toctrees reach from the front page."""
    reached, open_ends = set(), [DOCS / "index.md"]
    while open_ends:
        page = open_ends.pop()
        reached.add(page)
        for tree in TOCTREES.findall(page.read_text()):
            for line in filter(None, (line.strip() for line in tree.splitlines())):
                if line.startswith(":"):
                    continue
                named = ((page.parent / f"{line}{suffix}").resolve() for suffix in (".md", ".rst"))
                target = next((p for p in named if p.exists()), None)
                assert target, f"{page.name} leads to {line}, which isn't there"
                open_ends += [target] if target not in reached else []
    return reached


def test_every_page_is_in_a_toctree():
    assert linked() == set(WRITTEN)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: p.relative_to(DOCS).as_posix())
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


GUIDES = ("how_to", "mathematics")
RUN = [p for p in WRITTEN if p.stem == "tutorial" or (p.parent.name in GUIDES and p.stem != "index")]


@pytest.mark.parametrize("page", RUN, ids=lambda p: p.stem)
def test_a_page_runs_and_prints_what_it_says(page, tmp_path, monkeypatch):
    """Python and commands, in the order of the page."""
    monkeypatch.chdir(tmp_path)
    blocks = pages.FENCED.findall(page.read_text())
    assert all(">>>" in block or "$ " in block for _, block in blocks), f"a block of {page.name} is not run"
    for what, shown, came in pages.run_page(page):
        assert pages.prints(shown, came), f"{what}\nprints\n{came}"


def test_a_wrong_page_is_caught(tmp_path):
    page = tmp_path / "wrong.md"
    page.write_text("```python\n>>> 1 + 1\n3\n\n```\n\n```console\n$ softmaxes --version\n99\n```\n")
    for _, shown, came in pages.run_page(page):
        assert not pages.prints(shown, came)


def test_the_certificate_keeps_its_promises_and_is_complete():
    record = json.loads(measured.CERTIFICATE.read_text())["measured"]
    rows = {(case.name, dtype) for case in CASES if not case.long for dtype in case.dtypes}
    assert {(m["case"], m["dtype"], m["function"]) for m in record} == {(*row, f) for row in rows for f in FUNCTIONS}
    for m in record:
        assert m["errors"]["ours"] <= m["promised"], m
        if m["dtype"].startswith("float"):
            assert m["promised"] == promised_ulp(m["function"], m["dtype"])


@pytest.mark.parametrize("what", ["worst", *FUNCTIONS])
def test_certificate_tables(what):
    rows = measured.certificate(what).split("\n\n")[0].splitlines()
    assert len({row.count("|") for row in rows}) == 1
    assert len(rows) > 5


def test_a_wrong_answer_is_worse_than_any_number():
    assert measured.worst([1.0, "wrong", "refused"]) == "wrong"
    assert measured.worst([1.0, "refused"]) == "refused"
    assert measured.worst([1.0, 2.0]) == 2.0


@pytest.mark.parametrize("path", sorted(measured.RESULTS.glob("*.json")), ids=lambda p: p.stem)
def test_benchmark_tables(path):
    text = measured.benchmark(path)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 2, f"docs/extensions/measured.py can't draw {path.name}"
    for block in text.split("\n\n"):
        assert len({line.count("|") for line in block.splitlines() if line.startswith("|")}) <= 1


SPREAD = {"median": 2000.0, "lower": 1.0, "upper": 3.0}
FIT = {"problem": "a", "shape": [3, 2, 2], "seconds": 0.1, "passes": 2, "proven": 0.1, "X bytes": 24, "peak / X": 1.0}
FORMS = {
    "2 µs": {"results": [{"task": "a", "limit": 3.0, "times": {"x": SPREAD}, "ratio": None}, {"task": "b", "end": 1}]},
    "2 µs |": {"results": [{"task": "a", "times": {"x": SPREAD}}]},
    "2e+03": {"threads": 1, "lines": [{"task": "a", "nanoseconds an entry": {"x": SPREAD}, "ratios": {"y": 2.0}}]},
    "3.00×": {"rows": [FIT | {"0.01": {"ours": 0.1, "passes": 2.0, "peer": 0.3, "ratio": 3.0, "at_least": False}}]},
    "> 3.00×": {"rows": [FIT | {"0.01": {"ours": 0.1, "passes": 2.0, "peer": 0.3, "ratio": 3.0, "at_least": True}}]},
    "3.25": {"compiler": "g++", "instructions an entry": {"avx2 softmax": 3.25}},
    "7,000": {"rows": 7000, "seconds": {"x": 2.0}},
    "2000": {"new": [{"task": "a", "form": {"x": SPREAD}}]},
}


@pytest.mark.parametrize(("shown", "record"), FORMS.items(), ids=FORMS)
def test_every_form_of_results_is_drawn(shown, record, tmp_path):
    path = tmp_path / "some.json"
    path.write_text(json.dumps(record | {"machine": {"processor": "slow", "versions": {"numpy": "2"}}}))
    text = measured.benchmark(path)
    assert f" {shown}" in text
    assert "slow" in text


def test_docstrings_keep_their_formulas():
    assert plain.escaped("|x| and coef_, `coef_` and x_i * 2") == r"\|x\| and coef\_, `coef_` and x_i \* 2"
    lines = ["|x|", ">>> a_ | b", "c_", "", "|x|", ".. math:: |x|", "   |y|", "", "d_"]
    plain.plain(None, "", "", None, None, lines)
    assert lines == [r"\|x\|", ">>> a_ | b", "c_", "", r"\|x\|", ".. math:: |x|", "   |y|", "", r"d\_"]


def test_formulas_are_drawn_without_a_script():
    convert = pytest.importorskip("latex2mathml.converter").convert
    for page in (DOCS / "mathematics").glob("*.md"):
        for formula in re.findall(r"^```\{math\}\n(.*?)^```", page.read_text(), re.M | re.S):
            assert convert(formula).startswith("<math")
