"""All steps at once by Newton's method, beside the scan.

    python benchmarks/newton.py --out benchmarks/results/newton.json
    python benchmarks/newton.py --cells para_lstm --lengths 1024 65536 --batches 1

Times are of one layer on random symbols, forwards alone and with gradient, by the
backends in turns. `convergence.py` counts iterations on a text, also after training.
The last line on standard output is one JSON object.
"""

import jaxtext.needs_experiments

import itertools
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
from measuring import record
from measuring.command import chosen, command
from measuring.markdown import markdown
from measuring.timing import in_turns

import jaxtext as jt
from jaxtext.kernels.newton import converge
from jaxtext.streams import say
from jaxtext.types import BackendName

CELLS = {"para_gru": jt.para_gru, "para_lstm": jt.para_lstm}
BACKENDS: tuple[BackendName, ...] = "scan", "fused", "newton"
DIRECTIONS = "forward", "gradient"
SYMBOLS = 65


@dataclass(frozen=True)
class Config:
    """Compare Newton's method with a scan over the sequence."""

    cells: tuple[Literal["para_gru", "para_lstm"], ...] = ("para_gru", "para_lstm")
    """Cells."""
    hidden: int = 64
    """Width of the layer."""
    lengths: tuple[int, ...] = (256, 1024, 4096, 16_384)
    """Numbers of steps."""
    batches: tuple[int, ...] = (1, 16)
    """Sequences side by side."""
    seconds: float = 10.0
    """Time for the measurements of one size."""
    out: Path | None = None
    """Also write the JSON to this file."""


def measure(config: Config) -> dict[str, Any]:
    """Times all sizes, and returns the result."""
    rows = []
    for name, length, batch in itertools.product(
        config.cells, config.lengths, config.batches
    ):
        rows.append(measure_size(config, name, length, batch))
        say(f"{name}, {batch} x {length}: {rows[-1]['median_ms']}")
    return {
        "rows": rows,
        **chosen(config, "hidden"),
        **record.environment(),
    }


def measure_size(config: Config, name: str, length: int, batch: int) -> dict[str, Any]:
    """Times each backend in both directions, and counts iterations."""
    cell = CELLS[name](config.hidden)
    params = cell.init(jax.random.key(0), SYMBOLS)
    xs = jax.random.randint(jax.random.key(1), (length, batch), 0, SYMBOLS)
    programs = {}
    for backend, direction in itertools.product(BACKENDS, DIRECTIONS):
        run = partial(_outputs, cell, backend)
        if direction == "gradient":
            run = jax.grad(lambda params, xs, run=run: jnp.sum(run(params, xs) ** 2))
        compiled = jax.jit(run).lower(params, xs).compile()
        programs[f"{backend}, {direction}"] = partial(_finished, compiled, params, xs)
    times = in_turns(programs, visit_seconds=0.1, rounds=20, seconds=config.seconds)
    count, worst = converge(cell, params, cell.initial_state((batch,)), xs)
    return {
        "cell": name,
        "length": length,
        "batch": batch,
        "median_ms": {way: round(times[way]["median_ms"], 3) for way in programs},
        "iterations": int(count),
        "residual": float(worst),
    }


def table(result: dict[str, Any]) -> str:
    """Times with newton as a multiple of those of the faster scan."""
    rows = []
    for row in result["rows"]:
        times = row["median_ms"]
        line = [row["cell"], f"{row['batch']} x {row['length']:,}"]
        for way in DIRECTIONS:
            scan = min(times[f"{backend}, {way}"] for backend in ("scan", "fused"))
            own = times[f"newton, {way}"]
            line += [f"{scan:.1f}", f"{own:.1f}", f"{own / scan:.1f}"]
        rows.append([*line, str(row["iterations"])])
    heads = ["cell", "B x T"]
    for way in DIRECTIONS:
        heads += [f"{way}: scan, ms", "newton, ms", "ratio"]
    return markdown([*heads, "iterations"], rows)


def _finished(program, *arguments):
    return jax.block_until_ready(program(*arguments))


def _outputs(cell, backend, params, xs):
    return jt.unroll(cell, params, None, xs, time_major=True, backend=backend)[1]


main = command(Config, measure, table=table)

if __name__ == "__main__":
    sys.exit(main())
