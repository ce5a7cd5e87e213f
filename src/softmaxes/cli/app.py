"""The application that commands are registered with, and the call of one."""

from __future__ import annotations

import cyclopts

from softmaxes import __version__
from softmaxes.errors import UserError

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


def call(arguments: list[str]) -> int:
    """Run the command that the arguments name and return its status; UserError if they can't be understood."""
    try:
        return app(arguments or ["--help"], exit_on_error=False, print_error=False) or 0
    except cyclopts.CycloptsError as error:
        raise UserError(f"{str(error).strip()} (softmaxes {' '.join(arguments[:1])} --help)") from error
