"""Runs in a table that fits into the terminal."""

import math
import textwrap
from collections.abc import Sequence

from common.flags import flag
from common.names import as_typed
from jaxtext.errors import one_line
from overview.differing import differing
from overview.seen import Seen

_GAP = "  "
_SHORTEST = 12  # characters of a run's name that are left in a narrow terminal
# Columns that are left out of a narrow one, the first one first.
_DISPENSABLE = ("time", "chars/s", "loss", "at")
_NUMBERS = ("step", "best", "at", "loss", "chars/s", "time")


def table(runs: Sequence[Seen], width: float = math.inf) -> str:
    """A row for each run: what it has come to, and what differs between them.

    Args:
      runs: The runs.
      width: Columns of the terminal. If there are too few, what differs is in a line of
        its own below each run, some columns are left out, and names are shortened.
    """
    names = _names(runs)
    columns: dict[str, list[str]] = {
        "run": names,
        "state": [run.state for run in runs],
        "step": [f"{run.step:,}" for run in runs],
        "best": [_loss(run.best) for run in runs],
        "at": [_number(run.best_step) for run in runs],
        "loss": [_loss(run.loss) for run in runs],
        "chars/s": [_number(run.speed) for run in runs],
        "time": [_time(run.seconds) for run in runs],
    }
    others = {
        flag(name).removeprefix("--"): values
        for name, values in differing(runs).items()
    }
    lines = _rows(columns | others)
    if _fits(lines, width):
        return "\n".join(lines)
    for name in (None, *_DISPENSABLE):
        columns.pop(name or "", None)
        lines = _rows(columns)
        if _fits(lines, width):
            break
    else:
        over = max(map(len, lines)) - int(width)
        longest = max(_SHORTEST, max(map(len, names)) - over)
        columns["run"] = [_shortened(name, longest) for name in names]
        lines = _rows(columns)
    told = [lines[0]]
    for k, line in enumerate(lines[1:]):
        values = ", ".join(f"{name} {of[k]}" for name, of in others.items())
        below = textwrap.wrap(values, max(20, int(width) - 4), break_on_hyphens=False)
        told += [line, *(f"    {x}" for x in below)]
    return "\n".join(told)


def _rows(columns: dict[str, list[str]]) -> list[str]:
    """The lines of a table, the first with its columns' names."""
    padded = []
    for name, values in columns.items():
        width = max(map(len, [name, *values]))
        right = name in _NUMBERS
        padded.append(
            [x.rjust(width) if right else x.ljust(width) for x in [name, *values]]
        )
    return [_GAP.join(row).rstrip() for row in zip(*padded, strict=True)]


def _fits(lines, width):
    return max(map(len, lines)) <= width


def _names(runs):
    """The names of runs as one would type them."""
    return [one_line(as_typed(run.place)) for run in runs]


def _shortened(name: str, longest: int) -> str:
    """A name whose beginning is left out, since its end tells runs apart."""
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


def _loss(loss):
    return "-" if loss is None else f"{loss:.4f}"


def _number(number):
    return "-" if number is None else f"{number:,.0f}"


def _time(seconds):
    if seconds is None:
        return "-"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
