"""The runs that are compared: each is one of ``char_gen.py``."""

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxtext as jt
from charlm.build import build_model
from charlm.parse import parse
from common.names import no_flag
from common.screen import screen

CHAR_GEN = Path(__file__).parents[1] / "char_gen.py"
PRESET = ("--preset", "cpu-3min", "--no-layer-norm")  # the cells as such
RATES = {"lstm": 1.2e-2, "gru": 1.2e-2, "rnn": 2e-3}


class Compared(NamedTuple):
    """One run, and its result: the last line of char_gen.py."""

    what: str  # is equal: width, or parameters
    text: str
    cell: str
    seed: int
    hidden: int
    result: dict[str, Any]


def compare(
    corpora: Sequence[str],
    *,
    seeds: Sequence[int],
    minutes: float,
    hidden: int,
    out: Path,
) -> Iterator[Compared]:
    """Makes all runs, seed by seed: a comparison that is cut short has all cells.

    Args:
      corpora: The texts.
      seeds: One that is there twice counts once.
      minutes: How long each run may take.
      hidden: Units of the LSTM, and of all cells where widths are equal.
      out: Where the runs go. One that is there is gone on with.

    Raises:
      subprocess.CalledProcessError: If a run fails; it has said why.
    """
    vocabularies = {}
    for corpus in corpora:
        with screen() as display:
            # Here, so that no run has less time for it, and for its size.
            display.start(f"reading {corpus}", total=1)
            text = jt.text.load([corpus], progress=display.advance, warn=display.say)
            vocabularies[corpus] = len(text.vocabulary)
    for turn, seed in enumerate(dict.fromkeys(seeds)):
        for corpus, vocabulary in vocabularies.items():
            cells = list(RATES)
            equal = size("lstm", vocabulary, hidden)
            for cell in cells[turn % 3 :] + cells[: turn % 3]:
                for what, width in (
                    ("width", hidden),
                    ("parameters", widest(cell, vocabulary, equal)),
                ):
                    result = train(corpus, cell, seed, width, minutes, out)
                    yield Compared(what, result["corpus"], cell, seed, width, result)


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


def train(
    corpus: str, cell: str, seed: int, hidden: int, minutes: float, out: Path
) -> dict[str, Any]:
    """Makes one run, and returns its result."""
    name = f"{Path(corpus).stem}-{cell}-{hidden}-{minutes:g}min-{seed}"
    command = [
        *(sys.executable, str(CHAR_GEN)),
        *(*PRESET, "--corpus", no_flag(corpus)),
        *("--cell", cell, "--learning-rate", str(RATES[cell])),
        *("--hidden", str(hidden), "--minutes", str(minutes)),
        *("--seed", str(seed), "--sample-every", "0"),
        *("--compilation-cache", ""),  # each of them has to compile within its minutes
        *("--workdir", no_flag(str(out / name))),
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
