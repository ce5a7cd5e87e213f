"""What the site carries besides its own pages: the explorer, and the report that the tutorial's commands write.

The tutorial is run, not copied: its Python and its commands go one after the other in an empty folder. The tests do
the same and compare what is printed with the page (tests/test_docs.py).
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
FENCED = re.compile(r"^```(?:{code-block} )?(python|console)\n(.*?)^```", re.M | re.S)
EXPLORER = DOCS.parent / "src" / "softmaxes" / "explorer" / "index.html"


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Yield (command, what the page says it prints) of a ```console block, where commands follow "$ "."""
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def printed_by(command: str) -> str:
    """Run `softmaxes ...` in this process, in the working folder, and return what it prints, remarks first."""
    from softmaxes.__main__ import run

    name, *arguments = shlex.split(command)
    if name != "softmaxes":
        raise ValueError(f"a page runs the command softmaxes only, not {name}")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        run(arguments)
    return err.getvalue() + out.getvalue()


def run_page(page: Path) -> Iterator[tuple[str, str, str]]:
    """Run a page in the working folder and yield (what was run, what the page shows, what came) of every block."""
    globs: dict = {}
    runner = doctest.DocTestRunner(verbose=False)
    for kind, block in FENCED.findall(page.read_text()):
        if kind == "console":
            for command, shown in commands(block):
                yield command, shown, printed_by(command)
        elif ">>>" in block:
            test = doctest.DocTestParser().get_doctest(block, globs, page.name, str(page), 0)
            said = io.StringIO()
            runner.run(test, out=said.write, clear_globs=False)
            globs |= test.globs
            yield block, "", said.getvalue()


def make_report(folder: Path) -> Path:
    """Run the tutorial in a folder, and return the report that it writes."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        for _ in run_page(DOCS / "tutorial.md"):
            pass
    finally:
        os.chdir(before)
    return folder / "report.html"


def carry(app, error):
    if error or app.builder.format != "html":
        return
    target = Path(app.outdir) / "carried"
    target.mkdir(exist_ok=True)
    shutil.copyfile(EXPLORER, target / "explorer.html")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(make_report(Path(folder)), target / "report.html")


def setup(app):
    app.connect("build-finished", carry)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
