"""Running commands as a test sees them."""

from softmaxes.__main__ import run


def listing(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refused(arguments, capsys, folder):
    """Run a command that must fail, and return its message: status 2, one line, no traceback, the folder as it was."""
    before = listing(folder)
    status = run(arguments)
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert status == 2
    assert "Traceback" not in err
    assert len(lines) == 1, err
    assert lines[0].startswith("softmaxes: ")
    assert out == ""
    assert listing(folder) == before
    return lines[0]
