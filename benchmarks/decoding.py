"""Speed of each rule of decoding, against the temperature alone.

    python benchmarks/decoding.py --out benchmarks/results/decoding.json

A repetition goes from a prompt to the characters on the host, as in `sample.py`,
without the time for compiling. The weights are random: their values do not change the
speed. The last line on standard output is one JSON object.
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
from jaxtext.generation import Decoding, generate
from jaxtext.streams import say

ALONE = "temperature alone"
RULES: dict[str, dict[str, Any]] = {
    ALONE: {},
    "top-k": {"top_k": 20},
    "top-p": {"top_p": 0.95},
    "min-p": {"min_p": 0.02},
    "typical": {"typical_p": 0.95},
    "repetition penalty": {"repetition_penalty": 1.1, "window": 64},
    "forbid": {"forbid": range(10)},
    # A string that random weights never write, so that no text ends.
    "stop, min-length": {"stop": [[1] * 40], "min_length": 100},
    "UTF-8": {"utf8": True},
}


@dataclass(frozen=True)
class Config:
    """Time the rules of decoding."""

    cell: str = "lstm"
    """The cell: rnn, lstm or gru."""
    batches: tuple[int, ...] = (1, 64)
    """Batch sizes: how many texts are sampled together."""
    vocab_sizes: tuple[int, ...] = (65, 256)
    """Numbers of symbols."""
    hidden: int = 256
    """Width of the layer."""
    length: int = 1024
    """Symbols of each text."""
    rounds: int = 9
    """How many times each is timed, in turns."""
    out: Path | None = None
    """Also write the JSON to this file."""


def samplers(
    batch: int, vocab_size: int, config: Config
) -> dict[str, Callable[[], object]]:
    """Functions that sample `batch` texts, by the rule that each applies."""
    model = jt.LanguageModel(jt.stack(CELLS[config.cell](config.hidden)), vocab_size)
    prompts = np.zeros((batch, 1), np.int32)
    start = model.initial_state((batch,))
    params = model.init(jax.random.key(0), start, prompts)["params"]

    def sampler(options):
        decoding = Decoding(temperature=0.8, **options)

        def run():
            key = jax.random.key(1)
            of = model, params, prompts, config.length
            return list(generate(*of, key=key, decoding=decoding))

        return run

    bytes_only = {name for name, x in RULES.items() if "utf8" in x}
    return {
        name: sampler(options)
        for name, options in RULES.items()
        if vocab_size == 256 or name not in bytes_only
    }


def measure(config: Config) -> dict[str, Any]:
    """Times every rule at every size, and returns the result."""
    rows = []
    for vocab_size in config.vocab_sizes:
        for batch in config.batches:
            programs = samplers(batch, vocab_size, config)
            times = in_turns(
                programs, visit_seconds=0, seconds=inf, rounds=config.rounds
            )
            alone = times[ALONE]["median_ms"]
            for name, found in times.items():
                speed = 1e3 * batch * config.length / found["median_ms"]
                row = {"rule": name, "symbols": vocab_size, "batch": batch}
                row |= {"chars_per_second": speed, **found}
                rows.append(row | {"relative": alone / found["median_ms"]})
                said = f"V {vocab_size:3} batch {batch:3} {name:20} {speed:10,.0f}/s"
                say(f"{said} {rows[-1]['relative']:.2f}")
    sizes = chosen(config, "cell", "hidden", "length")
    return {"rows": rows, **sizes, **record.environment()}


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
