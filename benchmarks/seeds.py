"""Training steps of several seeds by one program, beside one seed after the other.

    python benchmarks/seeds.py --out benchmarks/results/seeds.json
    python benchmarks/seeds.py --seeds 8 --hidden 32 64

Each seed has its own parameters, optimizer state, batches and dropout noise. The ways
are the step of a single seed, as in a run of its own; `jax.vmap` of the step; and
`jax.lax.map`, a loop over the seeds within one program. All are timed in turns, and
donate their state as in training. The last line on standard output is one JSON object.
"""

import jaxtext.needs_experiments

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from measuring import record
from measuring.command import chosen, command
from measuring.ours import CELLS
from measuring.timing import in_turns

import jaxtext as jt
from jaxtext.streams import say

ONE = "one seed"


@dataclass(frozen=True)
class Config:
    """Measure training steps of several seeds by one program."""

    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    """Cell."""
    hidden: tuple[int, ...] = (64, 128, 256)
    """Widths of the layer."""
    batch_size: tuple[int, ...] = (4, 16)
    """Sequences in a batch of one seed."""
    seq_len: int = 32
    """Characters of each sequence."""
    seeds: int = 4
    """How many seeds."""
    vocab_size: int = 65
    """Number of symbols."""
    seconds: float = 8.0
    """Time for all programs of one size."""
    out: Path | None = None
    """Also write the JSON to this file."""


def measure(config: Config) -> dict[str, Any]:
    """Compiles and times each way at each size, and returns the result."""
    rows = []
    for hidden in config.hidden:
        for batch_size in config.batch_size:
            sizes = {"hidden": hidden, "batch_size": batch_size}
            programs = ways(config, hidden, batch_size)
            times = in_turns(programs, visit_seconds=0.1, seconds=config.seconds)
            for name, time in times.items():
                seeds = 1 if name == ONE else config.seeds
                symbols = seeds * batch_size * config.seq_len
                row = sizes | {"way": name, **time}
                row["chars_per_second"] = 1e3 * symbols / time["median_ms"]
                one = times[ONE]["median_ms"]
                row["speed_of_one"] = seeds * one / time["median_ms"]
                rows.append(row)
                speed, ratio = row["chars_per_second"], row["speed_of_one"]
                say(
                    f"H {hidden:4} B {batch_size:3} {name:20} {speed:9,.0f} chars/s "
                    f"{ratio:.2f}x"
                )
    of = chosen(config, "cell", "seq_len", "seeds", "vocab_size")
    return {"rows": rows, **of, **record.environment()}


def ways(
    config: Config, hidden: int, batch_size: int
) -> dict[str, Callable[[], object]]:
    """Functions that take a step: of the first seed alone, or of all."""
    cell = jt.stack(CELLS[config.cell](hidden), jt.dropout(0.2))
    model = jt.LanguageModel(cell, config.vocab_size)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(4e-3))
    step = jt.training.make_train_step(model, optimizer)
    shape = 4 * batch_size * config.seq_len
    ids = np.random.default_rng(0).integers(0, config.vocab_size, shape, np.uint8)
    streams = jt.text.Streams(ids, batch_size, config.seq_len)

    def start(seed):
        key = jax.random.key(seed)
        state = jt.training.create_state(model, optimizer, key, batch_size)
        return state, streams.batch(seed=seed, k=0)

    operands = [start(seed) for seed in range(config.seeds)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *operands)
    by_map = partial(jax.lax.map, lambda operands: step(*operands))
    return {
        ONE: _stepping(step, *operands[0]),
        "vmap": _stepping(jax.vmap(step), *stacked),
        "lax.map": _stepping(lambda *operands: by_map(operands), *stacked),
    }


def _stepping(step: Callable[..., Any], state: Any, batch: Any) -> Callable[[], object]:
    """A function that takes the next step each time, always on the same batch."""
    program = jax.jit(step, donate_argnums=0)
    now = [jax.tree.map(jnp.copy, state)]

    def run():
        now[0], _ = program(now[0], batch)
        return jax.block_until_ready(now[0])

    return run


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
