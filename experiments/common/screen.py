"""What a person sees of a script, on standard error: progress, samples, notes."""

import contextlib
import json
import math
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from jaxtext.streams import lenient, print_last_line

EVERY = 10  # seconds between two lines about progress, or a fiftieth of the time so far
MOVE = 0.1  # seconds between two moves of the bar


class Screen:
    """One progress bar at the bottom, and lines above it.

    If standard error is not a terminal, there is no bar, and lines report the progress
    now and then.
    """

    def __init__(self, progress: Progress):
        self._progress = progress
        self._task: TaskID | None = None
        self._what, self._total = "", 0.0
        self._began, self._said, self._noted = 0.0, 0.0, False  # of lines
        self._moved = -math.inf  # of the bar

    def start(
        self, what: str, total: int, done: int = 0, *, slow: bool = False
    ) -> None:
        """Shows a bar for `what`, in place of the one before.

        If it is `slow` to move for the first time, a line says that it begins.
        """
        self.stop()
        self._task = self._progress.add_task(
            what, total=total, completed=done, note="", short=""
        )
        self._what, self._total = what, total
        self._began = self._said = time.monotonic()
        self._moved, self._noted = -math.inf, False
        if slow and self._progress.disable:
            self.say(what)

    def advance(self, done: float, total: float | None = None, note: str = "") -> None:
        """Moves the bar to `done`; a `total` that is known only now is set too."""
        if self._task is None:
            return
        now = time.monotonic()
        self._total = self._total if total is None else total
        if self._progress.disable:
            due = now - self._said >= max(EVERY, (now - self._began) / 50)
            if due or (note and not self._noted):
                self._said, self._noted = now, bool(note)
                where = f"{self._what}: {done:,.0f} of {self._total:,.0f}"
                self.say(f"{where}  {note}".rstrip())
        elif now - self._moved >= MOVE or done >= self._total:
            self._moved = now
            short = note.split("  ")[0]
            self._progress.update(
                self._task, completed=done, total=total, note=note, short=short
            )

    def stop(self) -> None:
        """Takes the bar away."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None

    def say(
        self, text: str = "", style: str | None = None, *, verbatim: bool = False
    ) -> None:
        """Prints a line, or a whole text, without interpreting any markup in it.

        On a terminal its lines are broken between words, unless it is `verbatim`.
        """
        console = self._progress.console
        console.print(
            text,
            style=style,
            markup=False,
            emoji=False,
            highlight=False,
            soft_wrap=verbatim or not console.is_terminal,
        )

    def tell(self, rows: Mapping[str, str]) -> None:
        """Prints each row in a line, with the names in a column of their own."""
        console, name = self._progress.console, max(map(len, rows)) + 2
        for what, text in rows.items():
            line = f"{what:<{name}}{text}"
            if console.is_terminal and len(line) > console.width:
                # Where a line goes on, it does so below its text.
                line = textwrap.fill(line, console.width, subsequent_indent=" " * name)
            self.say(line, verbatim=True)


@contextlib.contextmanager
def screen(quiet: bool = False) -> Iterator[Screen]:
    """Opens the screen, and leaves the terminal as it was at the end.

    Args:
      quiet: Shows nothing.
    """
    # Rich would end the process where nobody reads what it writes.
    console = Console(file=lenient(sys.stderr), quiet=quiet)
    progress = Progress(
        *_columns(console.width),
        console=console,
        transient=True,
        redirect_stdout=False,  # what is printed there is not for the console
        disable=quiet or not console.is_terminal,
        refresh_per_second=4,
    )
    # Even one that is disabled prints an empty line, before rich 15.
    with contextlib.nullcontext() if progress.disable else progress:
        yield Screen(progress)


def print_result(result: dict[str, Any], kept: Path | None = None) -> None:
    """Prints the result of a script as a line of JSON, for programs that read it.

    On a terminal nothing is printed: standard error has shown it to a person.

    Args:
      result: The result.
      kept: A file that has the result too. Then failing to print it is no error.

    Raises:
      OutputError: If it cannot be printed, and no file has it.
    """
    if not sys.stdout.isatty():
        print_last_line(json.dumps(result), kept)


def _columns(width):
    """The parts of the bar's line, for a terminal of so many columns."""
    what, note = TextColumn("{task.description}"), TextColumn("{task.fields[note]}")
    if width < 60:
        share, short = TextColumn("{task.percentage:.0f}%"), "{task.fields[short]}"
        return what, share, TextColumn(short), TimeRemainingColumn()
    bar, left = BarColumn(bar_width=None), (TimeRemainingColumn(), TextColumn("left"))
    if width < 100:
        return what, bar, MofNCompleteColumn(), note, *left
    return what, bar, MofNCompleteColumn(), note, TimeElapsedColumn(), *left
