"""Speed of sampling: characters a second, at several batch sizes.

    python benchmarks/sample.py --out benchmarks/results/sample.json

A repetition goes from a prompt to the characters on the host, as in
``experiments/sample.py``, without the time for compiling. The weights are random: their
values do not change the speed. The last line on standard output is one JSON object.
"""

import jaxtext.needs_experiments

import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import jax
import numpy as np
from measuring import record
from measuring.command import chosen, command
from measuring.ours import CELLS
from measuring.timing import in_turns

import jaxtext as jt
from jaxtext.generation import generate
from jaxtext.streams import say


@dataclass(frozen=True)
class Config:
    """Time the sampling of text."""

    cells: tuple[str, ...] = ("rnn", "lstm", "gru")
    """Cells: rnn, lstm, gru."""
    batches: tuple[int, ...] = (1, 64)
    """Batch sizes: how many texts are sampled together."""
    hidden: int = 256
    """Width of the layer."""
    vocab_size: int = 96
    """Number of distinct characters."""
    length: int = 2000
    """Characters of each text."""
    rounds: int = 9
    """How many times each is timed, in turns."""
    out: Path | None = None
    """Also write the JSON to this file."""


def sampler(cell: str, batch: int, config: Config) -> Callable[[], object]:
    """A function that samples `batch` texts."""
    model = jt.LanguageModel(jt.stack(CELLS[cell](config.hidden)), config.vocab_size)
    prompts = np.zeros((batch, 1), np.int32)
    start = model.initial_state((batch,))
    params = model.init(jax.random.key(0), start, prompts)["params"]

    def run():
        key = jax.random.key(1)
        return list(generate(model, params, prompts, config.length, key=key))

    return run


def measure(config: Config) -> dict[str, Any]:
    """Times every cell at every batch size, and returns the result."""
    samplers = {
        (c, b): sampler(c, b, config) for c in config.cells for b in config.batches
    }
    times = in_turns(samplers, visit_seconds=0, seconds=inf, rounds=config.rounds)
    rows = []
    for (cell, batch), found in times.items():
        speed = 1e3 * batch * config.length / found["median_ms"]
        rows.append({"cell": cell, "batch": batch, "chars_per_second": speed, **found})
        say(f"{cell:5} batch {batch:3} {speed:10,.0f} chars/s")
    sizes = chosen(config, "hidden", "vocab_size", "length")
    return {"rows": rows, **sizes, **record.environment()}


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
