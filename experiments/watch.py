"""What a person sees of a script, on standard error: progress, samples, notes."""

import contextlib
import math
import sys
import time
from collections.abc import Iterator

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

from jaxtext.streams import lenient

EVERY = 10  # seconds between two lines about progress, or a fiftieth of the time so far


class Screen:
    """One progress bar at the bottom, and lines above it.

    Where standard error is no terminal there is no bar. What is noted beside it is then
    said in lines, now and then.
    """

    def __init__(self, progress: Progress):
        self._progress = progress
        self._task: TaskID | None = None
        self._what, self._total = "", 0.0
        self._began, self._noted = 0.0, -math.inf

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Shows a bar for `what`, in place of the one before."""
        self.stop()
        self._task = self._progress.add_task(what, total=total, completed=done, note="")
        self._what, self._total = what, total
        self._began, self._noted = time.monotonic(), -math.inf

    def advance(self, done: float, total: float | None = None, note: str = "") -> None:
        """Moves the bar to `done` (of `total`, if that is known only now)."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total, note=note)
            self._total = self._total if total is None else total
            if note and self._progress.disable:
                self._note(f"{self._what}: {done:,} of {self._total:,}  {note}")

    def stop(self) -> None:
        """Takes the bar away."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None

    def say(self, text: str = "", style: str | None = None) -> None:
        """Prints a line, or a whole text; nothing in it is taken for markup."""
        self._progress.console.print(
            text,
            style=style,
            markup=False,
            emoji=False,
            highlight=False,
            soft_wrap=True,
        )

    def _note(self, text):
        now = time.monotonic()
        if now - self._noted >= max(EVERY, (now - self._began) / 50):
            self._noted = now
            self.say(text)


@contextlib.contextmanager
def screen(quiet: bool = False) -> Iterator[Screen]:
    """Opens the screen, and leaves the terminal as it was at the end.

    Args:
      quiet: Shows nothing.
    """
    # Rich would end the process where nobody reads what it writes.
    console = Console(file=lenient(sys.stderr), quiet=quiet)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,  # what is printed there is not for the console
        disable=quiet or not console.is_terminal,
        refresh_per_second=4,
    )
    # Even one that is disabled prints an empty line, before rich 15.
    with contextlib.nullcontext() if progress.disable else progress:
        yield Screen(progress)
