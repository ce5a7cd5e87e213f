"""What is shown while work goes on, and how its result is laid out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

__all__ = ["note", "progress", "say", "spinner", "table"]


def say(text: str = "") -> None:
    """Print a line of the result to standard output, as it is, however wide the terminal."""
    Console(soft_wrap=True, highlight=False).print(text, markup=False)


def note(text: str) -> None:
    """Print a remark to standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"note: {text}", markup=False, style="yellow")


def table(rows: Iterable[Sequence[str]], *, heads: Sequence[str] = (), numbers: bool = False) -> None:
    """Print a table; with `numbers`, all columns but the first stand to the right."""
    rows = list(rows)
    layout = Table(show_header=bool(heads), box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for position in range(len(heads) or len(rows[0])):
        justify: Literal["left", "right"] = "right" if numbers and position else "left"
        layout.add_column(heads[position] if heads else "", justify=justify, overflow="fold")
    for row in rows:
        layout.add_row(*map(escape, row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    with console.capture() as printed:
        console.print(layout)
    # rich fills every line up with blanks, which a file need not have.
    sys.stdout.write("".join(line.rstrip() + "\n" for line in printed.get().splitlines()))


class SpeedColumn(ProgressColumn):
    """Steps per second; nothing before the first."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def progress(task: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error, if that is a terminal; the function yielded is called with each step's size."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        SpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        job = bar.add_task(task, total=total)
        yield lambda step: bar.advance(job, step)


@contextmanager
def spinner(task: str) -> Iterator[None]:
    """Show that work of unknown length goes on."""
    console = Console(stderr=True)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        bar.add_task(task, total=None)
        yield
