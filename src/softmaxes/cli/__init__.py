"""The command line: one file for each command, each a thin layer over the library.

A command's docstring is its help page. Commands raise `UserError`; `softmaxes.__main__` turns it into a message.
"""

from __future__ import annotations

from .app import call

__all__ = ["call"]
