"""Is the GRU faster than the LSTM, and does it lose anything? RNN, LSTM, GRU measured.

    python experiments/compare_cells.py --corpus tinyshakespeare stdlib
    python experiments/compare_cells.py --corpus my.txt --seeds 0 --minutes 3
    python experiments/compare_cells.py --corpus my.txt --hidden 512 --out runs/wide

Two comparisons at equal time, with every seed on every text. width: the cells have
equally many units, so that one word is swapped. parameters: each is as wide as it takes
to have as many parameters as the LSTM. A plain RNN, which does not train at the rate of
the other two, has a sixth of it. Each run is one of char_gen.py, after the one before
it, and the cells take turns in going first, so that a machine which slows down slows
down all. Nothing else should run on it.

Speeds are those of training steps; compilation is told apart. A cell that has trained
for fewer than a hundred steps is compared with nothing: that is refused, with what to
give. A run that is done is not made again; one that was stopped goes on, and its speed
and memory, of which only the last process knows, are left out.

The picture is OUT/compare-cells.png. What was measured is printed as one JSON object
where standard output is no terminal. Exit status: 0 done, 2 bad input, or standard
output cannot be written, 130 stopped by Ctrl-C; that of char_gen.py if a run fails.
"""

import jaxtext.needs_experiments

import dataclasses
import json
import signal
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import jaxtext as jt
from charlm.build import build_model
from charlm.parse import parse
from common.few import FEW
from common.figures import COLOURS, NAMES, save
from common.flags import read
from common.names import no_flag
from common.screen import print_result, screen
from common.values import Count, Directory, Positive, Seed
from jaxtext.errors import InputError
from jaxtext.streams import say, script

PRESET = ("--preset", "cpu-3min", "--no-layer-norm")  # the cells as such
RATES = {"lstm": 1.2e-2, "gru": 1.2e-2, "rnn": 2e-3}


class Compared(NamedTuple):
    """One run, and what it came to: the last line of char_gen.py."""

    what: str
    text: str
    cell: str
    seed: int
    hidden: int
    result: dict[str, Any]


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
    compared = []
    try:
        for one in compare(config):
            _check_enough(one, config)
            compared.append(one)
            say(f"seed {one.seed}: {_line(one)}")
    except subprocess.CalledProcessError as error:
        return error.returncode  # what is wrong it has said itself
    path = config.out / "compare-cells.png"
    save(draw(compared), path)
    found = summary(compared)
    say(report(found))
    say(f"  picture: {path}")
    print_result({"compared": found, "picture": str(path)})
    return 0


def _check(config: Config) -> None:
    if "-" in config.corpus:
        raise InputError("--corpus: expected what can be read again and again, got -")
    names = Counter(Path(corpus).stem for corpus in config.corpus)
    if twice := [name for name, count in names.items() if count > 1]:
        raise InputError(f"--corpus: expected different names, got {twice[0]} twice")


def _check_enough(one: Compared, config: Config) -> None:
    """Raises `InputError` for a cell that has not learnt enough to be compared."""
    steps = one.result["steps"]
    if steps < FEW:
        # Starting takes a part of the time that is not known here.
        more = max(2.0, 2 * FEW / max(1, steps)) * config.minutes
        raise InputError(
            f"--minutes: expected {FEW} steps or more of each cell, got {steps} of "
            f"{one.cell} in {config.minutes:g} minutes; give --minutes {more:.2g}"
        )


def _line(one: Compared) -> str:
    result = one.result
    speed = result["chars_per_second"]
    told = "no speed" if speed is None else f"{speed:,.0f} characters a second"
    return (
        f"{one.text}, equal {one.what}: {one.cell} of {one.hidden}, "
        f"{result['val_nats_per_char']:.4f} nats after {result['steps']:,} steps, "
        f"{told}"
    )


def report(found: dict[str, Any]) -> str:
    """What was measured, as a table: medians over seeds, and on how many steps."""
    lines = []
    for text, comparisons in found.items():
        for what, cells in comparisons.items():
            lines.append(f"{text}, {what}, medians of seeds:")
            for cell, of in cells.items():
                speed, steps = of["chars_per_second"], of["chars_per_second_of_steps"]
                told = "speed not known"
                if speed is not None:
                    told = f"{speed:,.0f} characters/s over {steps:,.0f} steps"
                lines.append(
                    f"  {cell:<5} {of['hidden']:>4} units  {of['nats_per_char']:.4f} "
                    f"nats after {of['steps']:,.0f} steps; {told}; compiling took "
                    f"{of['compile_seconds']:.1f} s"
                )
    return "\n".join(lines)


def compare(config: Config) -> Iterator[Compared]:
    """All runs, seed by seed: a comparison that is cut short has all cells."""
    texts = {}
    for corpus in config.corpus:
        with screen() as display:
            # Here, so that no run has less time for it, and for its size.
            display.start(f"reading {corpus}", total=1)
            text = jt.text.load([corpus], progress=display.advance, warn=display.say)
            texts[corpus] = len(text.vocabulary)
    for turn, seed in enumerate(dict.fromkeys(config.seeds)):
        for corpus, vocabulary in texts.items():
            cells = list(RATES)
            equal = size("lstm", vocabulary, config.hidden)
            for cell in cells[turn % 3 :] + cells[: turn % 3]:
                widths = {
                    "width": config.hidden,
                    "parameters": widest(cell, vocabulary, equal),
                }
                for what, hidden in widths.items():
                    result = _train(config, corpus, cell, seed, hidden)
                    yield Compared(what, result["corpus"], cell, seed, hidden, result)


def size(cell: str, vocabulary: int, hidden: int) -> int:
    """How many parameters a network has."""
    words = [*PRESET, "--cell", cell, "--hidden", str(hidden)]
    model = build_model(dataclasses.asdict(parse(words)), vocabulary)
    start, ids = model.initial_state((1,)), np.zeros((1, 1), int)
    shapes = jax.eval_shape(model.init, jax.random.key(0), start, ids)
    return sum(x.size for x in jax.tree.leaves(shapes))


def widest(cell: str, vocabulary: int, parameters: int) -> int:
    """The width at which a network has at most so many parameters."""
    low, high = 1, 1 << 14
    while high - low > 1:
        middle = (low + high) // 2
        fits = size(cell, vocabulary, middle) <= parameters
        low, high = (middle, high) if fits else (low, middle)
    return low


def _train(config, corpus, cell, seed, hidden):
    """One run of char_gen.py; its last line."""
    name = f"{Path(corpus).stem}-{cell}-{hidden}-{config.minutes:g}min-{seed}"
    command = [
        *(sys.executable, str(Path(__file__).with_name("char_gen.py"))),
        *(*PRESET, "--corpus", no_flag(corpus)),
        *("--cell", cell, "--learning-rate", str(RATES[cell])),
        *("--hidden", str(hidden), "--minutes", str(config.minutes)),
        *("--seed", str(seed), "--sample-every", "0"),
        *("--workdir", no_flag(str(config.out / name))),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        try:
            said, _ = run.communicate()
        except KeyboardInterrupt:
            run.send_signal(signal.SIGTERM)  # if Ctrl-C was not meant for it as well
            run.wait()  # it saves
            raise
    if run.returncode:
        raise subprocess.CalledProcessError(run.returncode, command)
    return json.loads(said.splitlines()[-1])


def summary(compared: Sequence[Compared]) -> dict[str, Any]:
    """Medians over seeds: by text, by what is equal, and by cell."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys((x.text, x.what, x.cell) for x in compared):
        of = [x for x in compared if (x.text, x.what, x.cell) == key]
        whole = [x.result for x in of if _is_whole(x)]

        def median(name, results):
            values = [result[name] for result in results]
            return statistics.median(values) if values else None

        results = [x.result for x in of]
        text, what, cell = key
        found.setdefault(text, {}).setdefault(f"equal {what}", {})[cell] = {
            "hidden": of[0].hidden,
            "parameters": results[0]["parameters"],
            "nats_per_char": median("val_nats_per_char", results),
            "passes": median("epochs", results),
            "steps": median("steps", results),
            "chars_per_second": median("chars_per_second", whole),
            "chars_per_second_of_steps": median("chars_per_second_of_steps", whole),
            "compile_seconds": median("compile_seconds", results),
            "peak_memory_mb": median("peak_memory_mb", whole),
            "seeds": len(of),
        }
    return found


def _is_whole(one: Compared) -> bool:
    """Whether speed and memory are known: of one process, from the first step on."""
    result = one.result
    return not result["resumed_from_step"] and result["chars_per_second"] is not None


def draw(compared: Sequence[Compared]) -> Figure:
    """Loss against speed: a row a text, a column for what is equal, a dot a run."""
    texts = list(dict.fromkeys(x.text for x in compared))
    figure = Figure(figsize=(10, 5 * len(texts)), dpi=120, layout="constrained")
    grid = figure.subplots(len(texts), 2, squeeze=False, sharey="row")
    for row, text in zip(grid, texts, strict=True):
        for axes, what in zip(row, ("width", "parameters"), strict=True):
            for cell in RATES:
                of = [
                    x
                    for x in compared
                    if (x.text, x.what, x.cell) == (text, what, cell) and _is_whole(x)
                ]
                if not of:
                    continue
                result = of[0].result
                label = (
                    f"{NAMES[cell]}: {of[0].hidden} units, {result['parameters']:,} "
                    f"parameters,\n{result['steps']:,} steps, "
                    f"{result['peak_memory_mb']:.0f} MB"
                )
                axes.scatter(
                    [x.result["chars_per_second"] for x in of],
                    [x.result["val_nats_per_char"] for x in of],
                    color=COLOURS[cell],
                    label=label,
                )
            axes.set_xlabel("characters a second")
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.xaxis.set_major_locator(MaxNLocator(5))  # as long as they are
            axes.set_title(f"{text}, equal {what}, equal time", parse_math=False)
            axes.grid(alpha=0.25)
            if axes.collections:
                axes.set_xlim(0, 1.1 * axes.dataLim.x1)
                # Below, where there are no dots that it could hide.
                axes.legend(
                    fontsize="small", loc="upper left", bbox_to_anchor=(0, -0.18)
                )
        row[0].set_ylabel("nats per character")
    return figure


if __name__ == "__main__":
    sys.exit(main())
