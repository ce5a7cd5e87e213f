"""Interruptions are quiet, and missing packages are named."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from softmaxes.__main__ import EXTRAS, run


def command(*arguments, **options):
    """Start a command as a terminal would: a shell's background jobs, such as these tests may be, ignore Control-C."""
    return subprocess.Popen(
        [sys.executable, "-m", "softmaxes", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one call, no lock
        **options,
    )


def writing_end(path, process):
    """Wait until a process has opened a pipe to read from it, and waits there; then open the other end."""
    while process.poll() is None:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            time.sleep(0.02)
    raise AssertionError(process.communicate()[1])


def test_control_c_is_quiet_and_clean(house, here):
    os.mkfifo("m")
    process = command("predict", "m", str(house / "new.csv"), "--output", "p.csv")
    pipe = writing_end("m", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    os.close(pipe)
    assert process.returncode == 130
    assert err.strip() == "softmaxes: interrupted"
    assert os.listdir(here) == ["m"]


def test_a_reader_that_leaves_is_no_error(house):
    process = command("predict", str(house / "trees.softmaxes"), str(house / "new.csv"))
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize("package", ["pyarrow", "safetensors", "sklearn"])
def test_a_missing_package_is_named_with_its_extra(house, here, capsys, monkeypatch, package):
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    if package == "sklearn":
        monkeypatch.delitem(sys.modules, "softmaxes.classifier")
    assert run(["fit", str(house / "trees.csv"), "--target", "kind"]) == 2
    said = capsys.readouterr().err
    assert package in said and "pip install 'softmaxes[" in said
    assert os.listdir(here) == []


@pytest.mark.parametrize("package", ["cyclopts", "rich"])
def test_without_the_packages_of_the_command_line(package):
    code = f"import sys; sys.modules[{package!r}] = None; from softmaxes.__main__ import run; sys.exit(run(['info']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().endswith(
        f"{package}, which is not installed: pip install 'softmaxes[{EXTRAS[package]}]'"
    )


def test_an_instruction_set_that_cannot_run_is_one_message():
    process = command("info", env={**os.environ, "SOFTMAXES_ISA": "pdp11"})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("softmaxes: SOFTMAXES_ISA='pdp11' cannot run here")
    assert len(err.splitlines()) == 1


def test_the_table_of_extras_agrees_with_the_package():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS.values()) <= set(project["optional-dependencies"])
