"""Memory and time of a training step over a long sequence, and what `remat` saves.

    python benchmarks/remat.py --out benchmarks/results/remat.json
    python benchmarks/remat.py --cell gru --seq-len 4096 --every 64

The step is one of the language model: one layer, AdamW, a batch of random text. The
plain scan is `jax.lax.scan` with JAX's own gradient (backend ``scan``). All are timed
in turns. The last line on standard output is one JSON object.
"""

import jaxtext.needs_experiments

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import optax
import tyro
from measuring import record
from measuring.ours import CELLS
from measuring.timing import interleave, spread, visit

import jaxtext as jt
from jaxtext.streams import script
from jaxtext.types import BackendName

PLAIN = "scan, all kept"


@dataclass(frozen=True)
class Config:
    """Measure memory and time of a training step over a long sequence."""

    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    """Which cell."""
    hidden: int = 256
    """Width of the layer."""
    vocab_size: int = 65
    """Number of symbols."""
    batch_size: int = 8
    """Sequences side by side."""
    seq_len: int = 16_384
    """Characters of each."""
    every: tuple[int, ...] = (64, 128, 256)
    """Keep the state at every so many steps, and compute all else again."""
    seconds: float = 120.0
    """How long to time, everybody together."""
    out: Path | None = None
    """Also write the JSON to this file."""


def compile_step(config: Config, backend: BackendName, remat):
    """A compiled training step with its arguments, as a function that runs it."""
    cell = CELLS[config.cell](config.hidden)
    model = jt.LanguageModel(
        jt.stack(cell), config.vocab_size, backend=backend, remat=remat
    )
    optimizer = optax.adamw(1e-3)
    size = config.batch_size
    ids = np.random.default_rng(0).integers(
        0, config.vocab_size, 2 * size * config.seq_len, np.uint8
    )
    batch = jt.text.Streams(ids, size, config.seq_len).batch(seed=0, k=0)
    state = jt.training.create_state(model, optimizer, jax.random.key(0), size)
    step = jax.jit(jt.training.make_train_step(model, optimizer))
    compiled = step.lower(state, batch).compile()
    return compiled, lambda: jax.block_until_ready(compiled(state, batch))


def measure(config: Config) -> dict:
    """Compiles and times every way, and returns the result."""
    ways: dict[str, tuple[BackendName, Any]] = {PLAIN: ("scan", None)}
    ways["auto, all kept"] = "auto", None
    ways["auto, gates again"] = "auto", "gates"
    ways |= {f"auto, every {k}": ("auto", k) for k in config.every}
    memory, visits = {}, {}
    for name, (backend, remat) in ways.items():
        compiled, run = compile_step(config, backend, remat)
        memory[name] = _temporary_bytes(compiled) / 2**20
        visits[name] = lambda run=run: visit(run, 0.1)
        run()
    times = interleave(visits, rounds=40, seconds=config.seconds)
    plain = spread(times[PLAIN])["median_ms"]
    rows = []
    for name in ways:
        row = {"way": name, "temporary_mb": memory[name], **spread(times[name])}
        row["memory_of_plain"] = memory[name] / memory[PLAIN]
        row["time_of_plain"] = row["median_ms"] / plain
        rows.append(row)
        print(
            f"{name:18} {memory[name]:8.0f} MiB {row['median_ms']:8.0f} ms   "
            f"memory {row['memory_of_plain']:.2f}x  time {row['time_of_plain']:.2f}x",
            file=sys.stderr,
        )
    sizes = ("cell", "hidden", "vocab_size", "batch_size", "seq_len")
    sizes = {name: getattr(config, name) for name in sizes}
    return {"rows": rows, **sizes, **record.environment()}


def _temporary_bytes(compiled):
    return compiled.memory_analysis().temp_size_in_bytes


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Measures, and prints the result as the last line."""
    config = tyro.cli(Config, args=argv)
    record.print_last_line(measure(config), config.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
