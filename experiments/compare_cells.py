"""Is the GRU faster than the LSTM, and does it lose anything? RNN, LSTM, GRU measured.

    python experiments/compare_cells.py --corpus tinyshakespeare stdlib
    python experiments/compare_cells.py --corpus my.txt --seeds 0 --minutes 3
    python experiments/compare_cells.py --corpus my.txt --hidden 512 --out runs/wide

There are two comparisons at equal time, with every seed on every text. width: the cells
have equally many units. parameters: each cell is as wide as it takes to have as many
parameters as the LSTM. A plain RNN does not train at the learning rate of the other
two, and has a sixth of it. Each run is one of char_gen.py. Runs follow one another, and
the cells take turns in going first, so that a machine which slows down slows down all.
Nothing else should run on it.

Speeds are those of training steps; compilation is reported apart. A cell that has
trained for fewer than a hundred steps is an error, which says how many minutes to give.
A run that is done is not made again. One that was stopped is continued; its speed and
memory, which only its last process knows, are left out.

The picture is OUT/compare-cells.png. The result is printed as one JSON object if
standard output is not a terminal. Exit status: 0 done, 2 bad input, or standard output
cannot be written, 130 stopped by Ctrl-C; that of char_gen.py if a run fails.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.few import FEW
from common.figures import save
from common.flags import read
from common.screen import print_result
from common.script import script
from common.values import Count, Directory, Positive, Seed
from comparison import report, runs
from comparison.picture import draw
from jaxtext.errors import InputError
from jaxtext.streams import say


@dataclass(frozen=True)
class Config:
    """Is the GRU faster than the LSTM, and does it lose anything?"""

    corpus: tuple[str, ...] = ("tinyshakespeare", "stdlib")
    """Texts to compare on, one after the other, each as char_gen.py takes it."""
    seeds: tuple[Seed, ...] = (0, 1, 2)
    """With which seeds."""
    minutes: Positive = 1.0
    """How long each run may take."""
    hidden: Count = 256
    """Units of the LSTM, and of all cells where widths are equal."""
    out: Directory = Path("runs/compare-cells")
    """Where runs and the picture go."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Trains, draws, and returns the exit status."""
    config = read(Config, argv, __doc__)
    _check(config)
    config.out.mkdir(parents=True, exist_ok=True)
    compared: list[runs.Compared] = []
    try:
        for one in runs.compare(
            config.corpus,
            seeds=config.seeds,
            minutes=config.minutes,
            hidden=config.hidden,
            out=config.out,
        ):
            _check_enough(one, config)
            compared.append(one)
            say(f"seed {one.seed}: {report.line(one)}")
    except subprocess.CalledProcessError as error:
        return error.returncode  # what is wrong it has said itself
    path = config.out / "compare-cells.png"
    save(draw(compared), path)
    found = report.summary(compared)
    say(report.table(found))
    say(f"  picture: {path}")
    print_result({"compared": found, "picture": str(path)})
    return 0


def _check(config: Config) -> None:
    if "-" in config.corpus:
        raise InputError("--corpus: expected what can be read again and again, got -")
    names = Counter(Path(corpus).stem for corpus in config.corpus)
    if twice := [name for name, count in names.items() if count > 1]:
        raise InputError(f"--corpus: expected different names, got {twice[0]} twice")


def _check_enough(one: runs.Compared, config: Config) -> None:
    """Raises `InputError` for a cell that has not learnt enough to be compared."""
    steps = one.result["steps"]
    if steps < FEW:
        # Starting takes a part of the time that is not known here.
        more = max(2.0, 2 * FEW / max(1, steps)) * config.minutes
        raise InputError(
            f"--minutes: expected {FEW} steps or more of each cell, got {steps} of "
            f"{one.cell} in {config.minutes:g} minutes; give --minutes {more:.2g}"
        )


if __name__ == "__main__":
    sys.exit(main())
