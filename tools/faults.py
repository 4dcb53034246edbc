"""The fault campaign: damages runs in many ways, and checks that nothing is lost.

    python tools/faults.py
    python tools/faults.py --families kill,bits --kills 1000
    python tools/faults.py --quick

It kills and stops runs of char_gen.py at random moments, hundreds of times. They must
end with the same parameters as an undisturbed run. It kills a save before each of its
system calls, and makes each call fail. It damages every file of a checkpoint in many
ways, down to single bits.

Each family of faults reports how many trials it made, how many the run survived, how
many it refused with a clear message, the most steps that were lost, and how often
something was wrong without a message. That last number must be 0. The evidence of
failures is kept in a directory (``--kept``). ``tools/README.md`` describes the
families. The last line on standard output is one JSON object.

Exit status: 0 if nothing failed, else 1.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import checkout  # noqa: F401 (first)

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tyro
from campaign import cost, damage, disk, hostile, kills, saves, stops
from campaign.programs import kill_all
from campaign.tally import Setting, Tally
from measuring import record
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from jaxtext.streams import script

FAMILIES = ("kill", "write-points", "errors", "reads", "disk", "bits", "damage")
FAMILIES += ("pickles", "links", "signals", "cost")


@dataclass(frozen=True)
class Config:
    """Try to make a run lose something, or be wrong without a message."""

    families: str = ",".join(FAMILIES)
    """Families of faults, separated by commas."""
    kills: int = 300
    """Number of SIGKILLs to char_gen.py, at random moments."""
    flips: int = 2000
    """Number of bits of a checkpoint to flip."""
    signals: int = 100
    """Number of SIGTERMs and SIGINTs to char_gen.py, in all its phases."""
    quick: bool = False
    """Make only a few trials of each kind."""
    jobs: int = 2
    """Number of processes at once."""
    seed: int = 0
    """Seed of the random moments and places."""
    kept: Path = Path("faults-found")
    """Directory for the evidence of failures."""
    output: Path | None = None
    """Also write the JSON to this file."""


def families(config: Config) -> dict[str, Callable[[Setting, Tally], None]]:
    """The function that makes the trials of each family."""
    n = {"kills": config.kills, "flips": config.flips, "signals": config.signals}
    if config.quick:
        n = {"kills": 2, "flips": 60, "signals": 2}
    return {
        "kill": partial(kills.kill_often, kills=n["kills"]),
        "write-points": saves.kill_at_each_call,
        "errors": saves.fail_each_call,
        "reads": saves.fail_each_read,
        "disk": disk.hurt_the_disk,
        "bits": partial(damage.flip_bits, flips=n["flips"]),
        "damage": damage.damage_files,
        "pickles": hostile.unpickle_nothing,
        "links": hostile.follow_no_links,
        "signals": partial(stops.stop_often, signals=n["signals"]),
    }


def campaign(config: Config, console: Console) -> dict[str, Any]:
    """Tries all families, and returns their results."""
    wanted = config.families.split(",")
    known = families(config)
    if unknown := set(wanted) - {*known, "cost"}:
        raise SystemExit(f"error: no families {sorted(unknown)}; there are {[*known]}")
    scratch = Path(tempfile.mkdtemp(prefix="faults-"))

    def end(number, frame):
        # An exception would wait for threads, which start more processes.
        del frame
        kill_all()
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(128 + number)

    before = {n: signal.signal(n, end) for n in (signal.SIGINT, signal.SIGTERM)}
    setting = Setting(scratch, config.kept, config.jobs, config.seed, config.quick)
    result: dict[str, Any] = {"families": {}}
    begin = time.monotonic()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    progress = Progress(
        *columns,
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    try:
        with progress:
            for name in wanted:
                if name == "cost":
                    continue
                result["families"][name] = _try(name, known[name], setting, progress)
                if config.output is not None:  # in case a later family hangs
                    record.write(result, config.output)
        if "cost" in wanted:
            seconds, rounds, hidden = (0.2, 1, 16) if config.quick else (6.0, 8, 3500)
            console.print("timing saves")
            result["throughput"] = cost.throughput(setting, seconds, rounds)
            result["large_state"] = cost.large_state(setting, hidden, 2)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        shutil.rmtree(scratch, ignore_errors=True)
    counted = ("tried", "survived", "refused", "failed", "silently_wrong")
    for name in counted:
        result[name] = sum(family[name] for family in result["families"].values())
    lost = [family["steps_lost"] for family in result["families"].values()]
    result["steps_lost_at_most"] = max(lost, default=0)
    result["evidence"] = str(config.kept) if config.kept.exists() else None
    result["seconds"] = time.monotonic() - begin
    return result


def _try(name, family, setting, progress):
    task = progress.add_task(name, total=None, note="")

    def show(tally):
        note = f"{tally.failed + tally.silently_wrong} failed"
        progress.update(task, completed=tally.tried, note=note)

    tally = Tally(name, setting.kept, show)
    begin = time.monotonic()
    try:
        family(setting, tally)
    except Exception as error:  # the other families are still tried
        progress.console.print_exception()
        tally.fail(f"the campaign itself: {type(error).__name__}: {error}")
    progress.update(task, total=tally.tried)
    seconds = time.monotonic() - begin
    progress.console.print(f"{name}: {tally.tried} tried in {seconds:.0f} s")
    return tally.to_json() | {"seconds": seconds}


def table(result: dict[str, Any]) -> Table:
    """The counts, a row for each family."""
    shown = Table("family")
    names = ("tried", "survived", "refused", "steps lost", "failed", "silently wrong")
    for name in names:
        shown.add_column(name, justify="right")
    for family, counts in result["families"].items():
        cells = [str(counts[name.replace(" ", "_")]) for name in names]
        shown.add_row(family, *cells)
    return shown


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the campaign, and prints the result as the last line."""
    config = tyro.cli(Config, args=argv)
    console = Console(stderr=True)
    result = campaign(config, console)
    console.print(table(result))
    for family in result["families"].values():
        for reason in family["reasons"]:
            console.print(reason, markup=False, highlight=False)
    record.print_last_line({**result, **record.environment()}, config.output)
    return int(result["failed"] + result["silently_wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
