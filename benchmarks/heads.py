"""A cell in heads beside the dense cell, where both read symbols.

    python benchmarks/heads.py --out benchmarks/results/heads-cpu-2-cores.json

A symbol is a row of the input kernel, so the recurrent product is nearly all of the
work. `cells.py --backends auto,auto+8-heads` compares them where inputs are vectors.
Times are of one layer with its gradient, in turns. The last line on standard output is
one JSON object.
"""

import jaxtext.needs_experiments

import itertools
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
from measuring import record
from measuring.command import chosen, command
from measuring.markdown import markdown
from measuring.timing import in_turns

import jaxtext as jt

CELLS = {"lstm": jt.lstm, "gru": jt.gru}


@dataclass(frozen=True)
class Config:
    """Compare cells in heads with dense ones, where both read symbols."""

    hidden: int = 1024
    """Width of the layer."""
    heads: int = 8
    """Heads of the one that has several."""
    batch: int = 32
    """Sequences side by side."""
    time: int = 64
    """Steps of each."""
    symbols: int = 65
    """How many symbols there are."""
    seconds: float = 60.0
    """Time for all measurements."""
    out: Path | None = None
    """Also write the JSON to this file."""


def measure(config: Config) -> dict[str, Any]:
    """Times each cell in one head and in several, and returns the result."""
    shape = config.time, config.batch
    xs = jax.random.randint(jax.random.key(0), shape, 0, config.symbols)
    programs = {}
    for name, heads in itertools.product(CELLS, (1, config.heads)):
        cell = CELLS[name](config.hidden, heads=heads)
        params = cell.init(jax.random.key(1), config.symbols)
        program = jax.jit(jax.grad(partial(_loss, cell))).lower(params, xs).compile()
        programs[name, heads] = partial(_finished, program, params, xs)
    times = in_turns(programs, visit_seconds=0.1, rounds=20, seconds=config.seconds)
    rows = [
        {"cell": name, "heads": heads, **times[name, heads]} for name, heads in programs
    ]
    about = chosen(config, "hidden", "batch", "time", "symbols")
    return {"rows": rows, **about, **record.environment()}


def table(result: dict[str, Any]) -> str:
    """Milliseconds, and how many times as fast several heads are."""
    lines = []
    for dense, several in zip(*[iter(result["rows"])] * 2, strict=True):
        one, many = dense["median_ms"], several["median_ms"]
        lines.append([dense["cell"], f"{one:.0f}", f"{many:.0f}", f"{one / many:.2f}"])
    heads = result["rows"][1]["heads"]
    return markdown(["cell", "dense, ms", f"{heads} heads, ms", "times as fast"], lines)


def _loss(cell, params, xs):
    return (jt.unroll(cell, params, None, xs, time_major=True)[1] ** 2).sum()


def _finished(program, *arguments):
    return jax.block_until_ready(program(*arguments))


main = command(Config, measure, table=table)

if __name__ == "__main__":
    sys.exit(main())
