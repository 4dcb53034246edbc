"""Speed of sampling text: characters a second, at several batch sizes.

    python benchmarks/sample.py --out benchmarks/results/sample.json

Sampling is timed as ``experiments/sample.py`` does it, from a prompt to the characters
on the host, compilation apart. What the weights are makes no difference to the speed:
they are drawn and not trained. The last line on standard output is one JSON object.
"""

import jaxtext.needs_experiments

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import tyro
from measuring import record
from measuring.ours import CELLS
from measuring.timing import spread

import jaxtext as jt
from jaxtext.generation import generate
from jaxtext.streams import script


@dataclass(frozen=True)
class Config:
    """Time the sampling of text."""

    cells: tuple[str, ...] = ("rnn", "lstm", "gru")
    """Which cells: rnn, lstm, gru."""
    batches: tuple[int, ...] = (1, 64)
    """How many texts are written side by side."""
    hidden: int = 256
    """Width of the layer."""
    vocab_size: int = 96
    """Number of distinct characters."""
    length: int = 2000
    """Characters of each text."""
    rounds: int = 9
    """How often each is timed, in turns."""
    out: Path | None = None
    """Also write the JSON to this file."""


def sampler(cell: str, batch: int, config: Config):
    """A function that writes `batch` texts."""
    model = jt.LanguageModel(jt.stack(CELLS[cell](config.hidden)), config.vocab_size)
    prompts = np.zeros((batch, 1), np.int32)
    start = model.initial_state((batch,))
    params = model.init(jax.random.key(0), start, prompts)["params"]

    def run():
        key = jax.random.key(1)
        return list(generate(model, params, prompts, config.length, key=key))

    return run


def measure(config: Config) -> dict:
    """Times every cell at every batch size, in turns."""
    samplers = {
        (c, b): sampler(c, b, config) for c in config.cells for b in config.batches
    }
    times = {name: [] for name in samplers}
    for run in samplers.values():
        run()  # compiles
    for _ in range(config.rounds):
        for name, run in samplers.items():
            begin = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - begin))
    rows = []
    for (cell, batch), milliseconds in times.items():
        found = spread(milliseconds)
        speed = 1e3 * batch * config.length / found["median_ms"]
        rows.append({"cell": cell, "batch": batch, "chars_per_second": speed, **found})
        print(f"{cell:5} batch {batch:3} {speed:10,.0f} chars/s", file=sys.stderr)
    shape = {name: getattr(config, name) for name in ("hidden", "vocab_size", "length")}
    return {"rows": rows, **shape, **record.environment()}


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Measures, and prints the result as the last line."""
    config = tyro.cli(Config, args=argv)
    record.print_last_line(measure(config), config.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
