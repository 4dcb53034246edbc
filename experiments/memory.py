"""What does a cell remember? Tasks that ask for it, learnt by RNN, LSTM and GRU.

    python experiments/memory.py --task brackets              # five seeds, a picture
    python experiments/memory.py                              # all tasks
    python experiments/memory.py --task copy --cell lstm-chrono --seeds 0

A run is one cell that learns one task from one seed. Its result is in NAME.json in the
output directory as soon as it ends; until then its training is saved in NAME.msgpack.
The same command again skips the runs that are done and continues the others. The
pictures show all runs in the directory. Tasks are in recall/tasks.py and protocols in
recall/suite.py. The protocols are scaled to two cores; with --full they have the sizes
of the papers.

The scores are printed as one JSON object if standard output is not a terminal. Exit
status: 0 done, 2 bad input, 75 a process was lost (the same command goes on), 130
stopped by Ctrl-C.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from common.few import FEW
from common.flags import read
from common.programs import Keeping
from common.screen import print_result, screen
from common.script import script
from common.values import Count, Directory, Seed
from jaxtext.errors import InputError
from jaxtext.streams import say
from recall.pictures import draw, summary
from recall.pool import make_all
from recall.run import Line, Run, another, same
from recall.suite import PROBLEMS


def _cores() -> int:
    """The cores that this process may use, which may be fewer than there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@dataclass(frozen=True)
class Config(Keeping):
    """What does a cell remember? Tasks that ask for it."""

    task: Literal[
        "all",
        "brackets",
        "adding",
        "copy",
        "parity",
        "even-pairs",
        "cycle",
        "modular",
        "bucket-sort",
    ] = "all"
    """brackets: which one closes, long after it was opened; adding: two numbers among
    many; copy: ten symbols after a delay; the others: regular languages, and sorting,
    learnt on words of up to 40 and tested on words of up to 100."""
    cell: tuple[Literal["rnn", "lstm", "lstm-chrono", "gru"], ...] = ()
    """Only these cells. Default: those that the task compares. lstm-chrono: gates that
    begin with long memories (Tallec and Ollivier 2018)."""
    seeds: tuple[Seed, ...] = ()
    """Only these seeds. Default: five for brackets, three for the others."""
    full: bool = False
    """Protocols with the sizes of the papers, which take hours, not scaled ones."""
    steps: Count | None = None
    """Train for so many steps. Default: the protocol's."""
    hidden: Count | None = None
    """Units of the cell. Default: the protocol's."""
    out: Directory | None = None
    """Where runs and pictures go. Default: runs/memory, or runs/memory-full."""
    jobs: Count = dataclasses.field(default_factory=_cores)
    """How many runs at once, each on one core."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Makes the runs that are missing, and returns the exit status."""
    config = read(Config, argv, __doc__)
    out = config.out or Path("runs/memory-full" if config.full else "runs/memory")
    try:
        asked = list(runs(config))
        out.mkdir(parents=True, exist_ok=True)
        missing = [run for run in asked if not _done(run, out)]
        try:
            with screen() as display:
                cache = config.compilation_cache
                make_all(missing, len(asked), out, config.jobs, cache, display)
        finally:
            kept = dict(_kept(out, config))
            pictures = _pictures(list(kept.values()), out)
    except BrokenProcessPool:
        say(
            "error: a process was lost; was there too little memory? The same command "
            "goes on, with fewer --jobs at once perhaps"
        )
        return 75
    except KeyboardInterrupt:
        say(f"stopped; runs that are done are in {out}")
        raise
    scores = summary([kept[run.name] for run in asked])
    say(report(scores))
    say(f"  pictures  {' '.join(pictures)}")
    print_result({"scores": scores, "pictures": pictures}, kept=out)
    return 0


def report(scores: dict[str, Any]) -> str:
    """The scores as a table: a line a problem and cell."""
    lines = []
    for problem, cells in scores.items():
        for cell, found in cells.items():
            score = f"{found['median']:.4g}" if found["seeds"] else "none"
            lines.append(
                f"  {problem:<12} {cell:<12} {found['measure']} {score}, median of "
                f"{found['seeds']} seeds, {found['steps']:,} steps each"
            )
    return "\n".join(lines)


def runs(config: Config) -> Iterator[Run]:
    """The runs that are asked for, seed by seed: after a stop, each cell has some."""
    for name, problem in PROBLEMS.items():
        if config.task not in ("all", problem.task):
            continue
        for seed in dict.fromkeys(config.seeds or range(problem.seeds)):
            for cell in dict.fromkeys(config.cell or problem.cells):
                yield Run(name, cell, seed, _protocol(name, cell, config))


def _protocol(name, cell, config):
    protocol = PROBLEMS[name].protocol(cell, config.full)
    given = {"steps": config.steps, "hidden": config.hidden}
    return protocol._replace(**{k: v for k, v in given.items() if v is not None})


def _done(run: Run, out: Path) -> bool:
    path = out / f"{run.name}.json"
    if not path.exists():
        return False
    if not same(run.protocol, _read(path)["protocol"]):
        raise another(path)
    return True


def _kept(out: Path, config: Config) -> Iterator[tuple[str, Line]]:
    """All runs of these protocols that are in a directory, by name."""
    for name in PROBLEMS:
        for path in sorted(out.glob(f"{name}-*.json")):
            line = _read(path)
            if same(_protocol(name, line["cell"], config), line["protocol"]):
                yield path.stem, line


def _pictures(lines: list[Line], out: Path) -> list[str]:
    """Draws the runs that can be compared, and returns where the pictures are."""
    trained = [line for line in lines if line["protocol"]["steps"] >= FEW]
    if len(trained) < len(lines):
        say(
            f"note: {len(lines) - len(trained)} runs trained for fewer than {FEW} "
            "steps, in which a cell learns nothing to compare, and are in no picture"
        )
    return [str(picture) for picture in draw(trained, out)]


def _read(path: Path) -> Line:
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): delete it") from error


if __name__ == "__main__":
    sys.exit(main())
