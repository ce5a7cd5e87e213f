"""The command line: one file for each command, each a thin layer over the library.

A command's docstring is its help page. Commands raise `UserError`; `softmaxes.__main__` turns it into a message.
"""

from __future__ import annotations

from .app import app, call
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

for command in (demo, fit, predict, evaluate, calibrate, info, family, certify, explore):
    app.command(command)
