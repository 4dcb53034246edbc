"""What a person sees of a script, on standard error: progress, samples, notes."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
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

from jaxtext.errors import InputError


class Screen:
    """One progress bar at the bottom, and lines above it.

    Where standard error is no terminal there is no bar, and `say` alone is seen.
    """

    def __init__(self, progress: Progress):
        self._progress = progress
        self._task: TaskID | None = None

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Shows a bar for `what`, in place of the one before."""
        self.stop()
        self._task = self._progress.add_task(what, total=total, completed=done, note="")

    def advance(self, done: float, total: float | None = None, note: str = "") -> None:
        """Moves the bar to `done` (of `total`, if that is known only now)."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total, note=note)

    def stop(self) -> None:
        """Takes the bar away."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None

    def say(self, text: str = "", style: str | None = None) -> None:
        """Prints a line, or a whole text, as it is."""
        with contextlib.suppress(OSError):  # nothing that is said is worth a run
            self._progress.console.print(
                text, style=style, markup=False, highlight=False, soft_wrap=True
            )


@contextlib.contextmanager
def screen(quiet: bool = False) -> Iterator[Screen]:
    """Opens the screen, and leaves the terminal as it was at the end.

    Args:
      quiet: Shows nothing.
    """
    console = Console(stderr=True, quiet=quiet)
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
        disable=quiet or not console.is_terminal,
        refresh_per_second=4,
    )
    # Even one that is disabled prints an empty line, before rich 15.
    with contextlib.nullcontext() if progress.disable else progress:
        yield Screen(progress)


def report(
    work: Callable[[Screen], dict[str, Any]],
    errors: tuple[type[Exception], ...] = (InputError,),
) -> int:
    """Does a script's work before a screen, and prints what came of it, its last line.

    Args:
      work: Returns the result, which is printed as one line of JSON.
      errors: What is wrong with the input, and no fault of the program's.

    Returns:
      The exit status: 0 done, 2 for one of `errors`, 130 stopped by Ctrl-C.
    """
    try:
        with screen() as display:
            result = work(display)
    except errors as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(json.dumps(result), flush=True)
    return 0


Sink = Callable[[dict[str, Any]], None]


def open_sinks(workdir: Path, tensorboard: bool, wandb: bool) -> list[Sink]:
    """Where else metrics go. Each sink takes the records of the metrics log."""
    sinks = []
    if tensorboard:
        from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

        writer = SummaryWriter(str(workdir))

        def to_tensorboard(record):
            for name, value in record.items():
                if name != "step":
                    writer.add_scalar(name, value, record["step"])
            writer.flush()

        sinks.append(to_tensorboard)
    if wandb:
        import wandb as client  # pyright: ignore[reportMissingImports]

        client.init(project="jaxtext", name=workdir.name, dir=str(workdir))
        sinks.append(lambda record: client.log(record, step=record["step"]))
    return sinks
