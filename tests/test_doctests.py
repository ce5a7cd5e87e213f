"""Every example in a docstring, in the README and in the documents runs and prints what it says."""

import doctest
import importlib
import re
import runpy
from pathlib import Path

import pytest

import softmaxes

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(softmaxes.__file__).parent
# Rooms that need a library beyond the test extra are named after it: their examples run where it is installed.
NEEDS = ("torch", "jax", "dask")


def module_names():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[-1] != "__main__":
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("name", list(module_names()))
def test_docstring_examples(name, tmp_path, monkeypatch):
    library = name.rpartition(".")[2].partition("_")[0]
    if library in NEEDS:
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)  # an example may write a file
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_page_examples(page, tmp_path, monkeypatch):
    """All ```python blocks of a page that hold a prompt, as one session."""
    monkeypatch.chdir(tmp_path)
    blocks = [b for b in re.findall(r"^```(?:python|pycon)\n(.*?)^```", page.read_text(), re.M | re.S) if ">>>" in b]
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page.name, str(page), 0)
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("script", sorted((ROOT / "docs" / "pictures").glob("*.py")), ids=lambda p: p.stem)
def test_pictures_are_what_their_scripts_draw(script):
    drawn = runpy.run_path(str(script))["picture"]()
    assert drawn == script.with_suffix(".svg").read_text(), f"run python {script.relative_to(ROOT)}"
