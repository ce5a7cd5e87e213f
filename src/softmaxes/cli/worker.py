"""What a worker process that a command has started does first."""

from __future__ import annotations

import os
from typing import Any

import softmaxes.classifier  # noqa: F401 - takes a second, better spent while other workers start

__all__ = ["dask_setup"]


def dask_setup(worker: Any) -> None:
    """Say nothing: what goes wrong is told by the command, in one message, and a worker that is ended has no say."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    os.close(silence)
