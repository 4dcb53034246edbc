"""Which of many runs is the best, and what differs between them?

    python experiments/runs.py runs
    python experiments/runs.py runs/a runs/b --sort speed --picture curves.png
    python experiments/runs.py gs://BUCKET/runs --json

Finds the runs of char_gen.py in directories and below them, and prints a table: the
state of each run, its step, its lowest validation loss and the step of that, its last
training loss, its speed, the time that it has trained, and the flags that differ. The
table fits into the terminal; where standard output is no terminal, it is as wide as it
needs to be.

Runs may be training meanwhile. Nothing is locked, and nothing is changed. What is
damaged is told, and what is left is shown.

Validation losses are those of the runs' own validations, which may have read different
texts, or only the beginning of one (--eval-characters).

States:
  running   a process has it
  finished  it has done what was asked, and has its result
  diverged  it was stopped, because going back did not help
  stopped   it was stopped or killed; the same command goes on
  damaged   nothing can be told of it

Exit status: 0 done, also if there are no runs; 2 bad input, or what cannot be written.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import dataclasses
import json
import math
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from common.flags import read
from common.names import as_typed
from common.script import script
from common.values import Directory
from jaxtext.buckets import scheme
from jaxtext.errors import InputError
from jaxtext.runs.storage.finding import runs_below
from jaxtext.streams import print_last_line, say
from overview.differing import differing
from overview.seen import Seen, look_at
from overview.table import table

_AT_ONCE = 8  # runs that are read at once: a bucket takes its time to answer
_STATES = ("running", "finished", "stopped", "diverged", "damaged")


@dataclass(frozen=True)
class Config:
    """Which of many runs is the best, and what differs between them?"""

    directories: tuple[Directory, ...] = field(
        default=(Path("runs"),), metadata={"bare": True}
    )
    """Where to look, also in gs:// and s3://. The flag may be left out."""
    sort: Literal["best", "name", "state", "step", "loss", "speed", "time"] = "best"
    """What the order goes by. best and loss: the lowest first; step, speed and time:
    the largest first."""
    picture: Path | None = None
    """Draw the runs' curves into this PNG. Runs that differ in nothing but the seed
    have one colour."""
    json: bool = False
    """Print a JSON object instead of the table, with all settings of each run."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Looks, prints, draws, and returns the exit status."""
    config = read(Config, argv, __doc__)
    places: dict[Path, Path] = {}
    for directory in config.directories:
        if scheme(directory) is None and not directory.is_dir():
            raise InputError(
                f"--directories: expected a directory with runs, got {directory}, "
                "which is not there"
            )
        found = runs_below(directory)
        for place in found:  # as it was typed first
            whole = place.resolve() if scheme(place) is None else place
            places.setdefault(whole, place)
        if not found:
            say(f"note: there is no run in {as_typed(directory)}, nor below it")
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        runs = sorted(threads.map(look_at, places.values()), key=_order(config.sort))
    for run in runs:
        for damage in run.damage:
            say(f"note: {as_typed(run.place)}: {damage}")
    if config.picture is not None:
        _draw(runs, config.picture)
    if config.json:
        print_last_line(json.dumps(_told(runs)))
    elif runs:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else math.inf
        print_last_line(table(runs, width))
    return 0


def _order(by: str):
    """The key of a run that goes where another comes later; what is unknown is last."""

    def key(run: Seen) -> Any:
        value = {
            "best": run.best,
            "name": str(run.place),
            "state": _STATES.index(run.state),
            "step": -run.step,
            "loss": run.loss,
            "speed": run.speed and -run.speed,
            "time": run.seconds and -run.seconds,
        }[by]
        return value is None, value, run.loss is None, run.loss, str(run.place)

    return key


def _draw(runs, path):
    # Matplotlib takes a second to import.
    from common.figures import save
    from overview.picture import draw

    try:
        save(draw(runs), path)
    except OSError as error:
        raise InputError(
            f"--picture: {path} cannot be written ({error.strerror or error})"
        ) from error
    say(f"picture: {as_typed(path)}")


def _told(runs: Sequence[Seen]) -> dict[str, Any]:
    """What the table has, and all settings, as JSON."""
    rows = []
    for run in runs:
        row = dataclasses.asdict(run)
        del row["curves"]
        rows.append(row | {"place": os.fspath(run.place)})
    return {"runs": rows, "differing": [*differing(runs)]}


if __name__ == "__main__":
    sys.exit(main())
