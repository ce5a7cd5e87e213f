"""What a fit may take of the computer's memory, and what it took."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path

from softmaxes.errors import UserError

__all__ = ["bytes_of", "fits", "peak_bytes"]

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}

COPIES = 3
"""How many times the features are in memory, at most, while they are put together and trained on."""


def bytes_of(text: str) -> int:
    """Return a size such as 700MB, 1.5GB, 2GiB or 800000000 in bytes.

    >>> bytes_of("700MB"), bytes_of("1.5 gib")
    (700000000, 1610612736)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?", text.strip().upper())
    if match is None or match[2] not in UNITS or float(match[1]) == 0:
        raise UserError(f"--memory is {text!r}; a size is needed, such as 700MB or 2GB")
    return round(float(match[1]) * UNITS[match[2]])


def fits(budget: int | None, rows: int, features: int, itemsize: int, sparse: bool) -> bool:
    """Return whether features can be in memory: never sparse ones, whose size is known only when they are made.

    Everything fits where no budget is given.

    Raises UserError if reading the table has taken the budget already.
    """
    if budget is None:
        return True
    taken = peak_bytes()
    if taken > budget:
        raise UserError(
            f"--memory: profiling this table took {taken / 1e6:.0f} MB already, the Python libraries included; "
            f"a budget of {budget / 1e6:.0f} MB can't be kept"
        )
    return not sparse and taken + COPIES * itemsize * rows * features <= budget


def peak_bytes() -> int:
    """Return the most memory that this process has had so far."""
    with suppress(OSError):
        # getrusage would count what the parent had when it started this process as well.
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
