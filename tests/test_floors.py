"""A module imports from lower floors only. The floors are read from ARCHITECTURE.md, so that page cannot go stale."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "softmaxes"
GROUND = {"_native"}  # the compiled kernels: below everything
ROOF = {"__init__", "__main__"}  # the public names and the entry point: above everything
ROW = re.compile(r"^\|\s*(\d+|-)\s*\|([^|]*)\|")


def floors(architecture):
    """Return {room: floor} from the table of ARCHITECTURE.md; a bridge (floor -) has None: it may be met anywhere."""
    rooms = {}
    for line in architecture.splitlines():
        if row := ROW.match(line):
            floor = None if row[1] == "-" else int(row[1])
            rooms |= {re.sub(r"\.py$|/$", "", room): floor for room in re.findall(r"`([^`]+)`", row[2])}
    return rooms | dict.fromkeys(GROUND, -1)


def imported(tree, package):
    """Yield (line, dotted name below softmaxes) of everything of ours that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "softmaxes":
                    yield node.lineno, alias.name.partition(".")[2]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *base.split(".")] if base else above)
            if base.split(".")[0] == "softmaxes":
                below = base.partition(".")[2]
                for alias in node.names:
                    yield node.lineno, f"{below}.{alias.name}" if below else alias.name


def climbs(path, tree, rooms):
    """Yield a complaint for each import that does not go down."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    here = parts[0]
    if here in ROOF or rooms[here] is None:
        return
    top = max(floor for floor in rooms.values() if floor is not None)
    package = ".".join(("softmaxes", *parts[:-1]))
    for line, name in imported(tree, package):
        room = name.split(".")[0]
        where = f"{path.relative_to(ROOT)}:{line}"
        if name == "__version__":
            continue
        if room not in rooms:
            if rooms[here] < top:
                yield f"{where} imports the public names (softmaxes.{name}); import the room that defines it"
        elif room != here and rooms[room] is not None and rooms[room] >= rooms[here]:
            yield f"{where}: {here} (floor {rooms[here]}) imports {room} (floor {rooms[room]})"


def modules():
    return sorted(p for p in SOURCE.rglob("*.py"))


def test_every_room_has_a_floor():
    rooms = floors((ROOT / "ARCHITECTURE.md").read_text())
    found = {p.relative_to(SOURCE).with_suffix("").parts[0] for p in modules()} - ROOF
    assert not found - set(rooms), "give these rooms a floor in ARCHITECTURE.md"


def test_nobody_climbs():
    rooms = floors((ROOT / "ARCHITECTURE.md").read_text())
    settled = [p for p in modules() if p.relative_to(SOURCE).with_suffix("").parts[0] in {*rooms, *ROOF}]
    complaints = [c for p in settled for c in climbs(p, ast.parse(p.read_text()), rooms)]
    assert not complaints, "\n".join(complaints)


def siblings(path, tree):
    """Return the modules of its own package that a file imports when it is imported itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    package = ".".join(("softmaxes", *parts[:-1]))
    at_import = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    names = {name for _, name in imported(at_import, package)}
    inside = ".".join(parts[:-1])
    return {n[len(inside) + 1 :].split(".")[0] for n in names if n.startswith(inside + ".")}


def test_packages_have_no_circles():
    """Inside a package on one floor files may use each other, but never in a circle."""
    for package in {p.parent for p in modules()} - {SOURCE}:
        files = {p.stem: p for p in package.glob("*.py") if p.stem != "__init__"}
        uses = {stem: siblings(p, ast.parse(p.read_text())) & set(files) for stem, p in files.items()}
        while free := {stem for stem, used in uses.items() if not used}:
            uses = {stem: used - free for stem, used in uses.items() if stem not in free}
        assert not uses, f"{package.name}: these files import each other in a circle: {uses}"


@pytest.mark.parametrize(
    "text",
    [
        "from softmaxes.classifier import SoftmaxClassifier",
        "from softmaxes import cli",
        "import softmaxes.cli",
        "def f():\n    from softmaxes import solvers",
        "import softmaxes",
        "from softmaxes import softmax",
        "from . import losses",
    ],
)
def test_a_climber_is_caught(text):
    rooms = {"arrays": 0, "generic": 1, "losses": 5, "solvers": 9, "classifier": 10, "cli": 13}
    assert list(climbs(SOURCE / "generic.py", ast.parse(text), rooms))


def test_going_down_is_allowed():
    rooms = {"arrays": 0, "generic": 1, "maps": 3, "bridges": None, "cli": 13}
    lines = (
        "import numpy",
        "from softmaxes.arrays import layout",
        "from softmaxes import generic",
        "from .base import Member",
    )
    text = "\n".join((*lines, "import softmaxes.bridges"))
    assert not list(climbs(SOURCE / "maps" / "softmax.py", ast.parse(text), rooms))
