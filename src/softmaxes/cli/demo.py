"""`softmaxes demo`: the main job on a real data set, by the commands that a user would type."""

from __future__ import annotations

import shlex
from pathlib import Path

from softmaxes.errors import UserError
from softmaxes.files import check_writable, replacing

from .app import call
from .console import say

__all__ = ["demo"]

NEW = 10


def demo(folder: Path = Path("softmaxes-demo"), /) -> None:
    """Train, calibrate and report on the handwritten digits that come with scikit-learn.

    The digits are written as CSV files first; then the commands that are printed are run, and can be repeated. What
    they make stays in the folder: the model, and the report to open in a browser.

    Parameters
    ----------
    folder
        Where to put the files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} can't be made: {error.strerror}") from error
    check_writable(folder / "digits.csv")
    write_digits(folder)
    model = str(folder / "digits.softmaxes")
    report = str(folder / "report.html")
    commands = [
        ["fit", str(folder / "digits.csv"), "--target", "digit", "--calibrate", "temperature",
         "--model", model, "--report", report],
        ["predict", model, str(folder / "new.csv"), "--probabilities", "--output", str(folder / "predictions.csv")],
        ["predict", model, str(folder / "new.csv")],
    ]  # fmt: skip
    for command in commands:
        run(command)
    say(f"The report is one file, to open in any browser: {report}")


def write_digits(folder: Path) -> None:
    """Write 1,787 digits as digits.csv, and ten more, without saying which they are, as new.csv."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    names = [*digits.feature_names, "digit"]
    rows = [
        [*(f"{value:g}" for value in pixels), str(digit)]
        for pixels, digit in zip(digits.data, digits.target, strict=True)
    ]
    write_csv(folder / "digits.csv", names, rows[:-NEW])
    write_csv(folder / "new.csv", names[:-1], [row[:-1] for row in rows[-NEW:]])
    say(f"Wrote {folder / 'digits.csv'} ({len(rows) - NEW:,} rows) and {folder / 'new.csv'} ({NEW} rows).")


def write_csv(path: Path, names: list[str], rows: list[list[str]]) -> None:
    with replacing(path) as file:
        file.write("\n".join([",".join(row) for row in [names, *rows]]).encode() + b"\n")


def run(command: list[str]) -> None:
    """Print a command and run it, as if it had been typed."""
    say()
    say(f"$ softmaxes {shlex.join(command)}")
    call(command)
