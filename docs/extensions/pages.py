"""What the site carries besides its own pages: the explorer, and the report that the tutorial's commands write.

The tutorial is run, not copied: its Python and its commands go one after the other in an empty folder, and where it
prints anything else than the page says, the build warns. The tests hold every page to that (tests/test_docs.py).
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


def steady(text: str) -> str:
    """Return a command's output without what differs from run to run: times, dates, sizes, the solver's path."""
    text = re.sub(r"[\d.]+ seconds", "SECONDS", text)
    text = re.sub(r"[\d,]+ bytes", "BYTES", text)
    text = re.sub(r"(trained at|version) +\S+", r"\1", text)
    return re.sub(r"\d+ iterations, proven within \S+ of", "ITERATIONS of", text)


def prints(shown: str, came: str) -> bool:
    """Whether what came is what the page shows, for a reader who doesn't mind the time it took."""
    return doctest.OutputChecker().check_output(steady(shown), steady(came), doctest.NORMALIZE_WHITESPACE)


def make_report(folder: Path) -> Path:
    """Run the tutorial in a folder, and return the report that it writes; warn where it prints something else."""
    from sphinx.util import logging

    before = Path.cwd()
    os.chdir(folder)
    try:
        for what, shown, came in run_page(DOCS / "tutorial.md"):
            if not prints(shown, came):
                logging.getLogger(__name__).warning("%s\nprints\n%s", what, came, location="tutorial")
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
