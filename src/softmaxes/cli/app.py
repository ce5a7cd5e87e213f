"""The list of commands."""

from __future__ import annotations

import cyclopts

from softmaxes import __version__
from softmaxes.errors import UserError

from .calibrate import calibrate
from .certify import certify
from .demo import demo
from .evaluate import evaluate
from .explore import explore
from .family import family
from .fit import fit
from .info import info
from .predict import predict

__all__ = ["app", "call"]

app = cyclopts.App(
    name="softmaxes",
    help="""Softmax classifiers from tables: train, calibrate, evaluate, predict, explain.

    ```
    softmaxes demo                                    the whole job on a real data set, in ./softmaxes-demo/
    softmaxes fit flowers.csv --target species        train on 80 % of the rows, score the rest, save the model
    softmaxes predict flowers.softmaxes new.csv       one label for each row, as CSV
    ```
    """,
    help_format="markdown",
    version=__version__,
    version_flags=["--version"],
    help_flags=["--help", "-h"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

for command in (demo, fit, predict, evaluate, calibrate, info, family, certify, explore):
    app.command(command)


def call(arguments: list[str]) -> int:
    """Run the command that the arguments name and return its status; UserError if they can't be understood."""
    try:
        return app(arguments or ["--help"], exit_on_error=False, print_error=False) or 0
    except cyclopts.CycloptsError as error:
        raise UserError(f"{str(error).strip()} (softmaxes {' '.join(arguments[:1])} --help)") from error
