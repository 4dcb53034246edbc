"""Memory and time of a training step over a long sequence, with and without `remat`.

    python benchmarks/remat.py --out benchmarks/results/remat.json
    python benchmarks/remat.py --cell gru --seq-len 4096 --every 64

The step trains a language model of one layer with AdamW on random text. The baseline is
`jax.lax.scan` with JAX's own gradient (backend ``scan``). All programs are timed in
turns. The last line on standard output is one JSON object.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from loops.one_step import compile_step
from measuring import record
from measuring.command import chosen, command
from measuring.timing import in_turns

from jaxtext.streams import say
from jaxtext.types import BackendName

PLAIN = "scan, all kept"


@dataclass(frozen=True)
class Config:
    """Measure memory and time of a training step over a long sequence."""

    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    """Cell."""
    hidden: int = 256
    """Width of the layer."""
    vocab_size: int = 65
    """Number of symbols."""
    batch_size: int = 8
    """Sequences in a batch."""
    seq_len: int = 16_384
    """Characters of each sequence."""
    every: tuple[int, ...] = (64, 128, 256)
    """Values of `remat`: keep the state once in so many steps, and compute the rest
    again."""
    seconds: float = 120.0
    """Time for all programs together."""
    out: Path | None = None
    """Also write the JSON to this file."""


def measure(config: Config) -> dict[str, Any]:
    """Compiles and times each way, and returns the result."""
    ways: dict[str, tuple[BackendName, Any]] = {PLAIN: ("scan", None)}
    ways["auto, all kept"] = "auto", None
    ways["auto, gates again"] = "auto", "gates"
    ways |= {f"auto, every {k}": ("auto", k) for k in config.every}
    sizes = chosen(config, "cell", "hidden", "vocab_size", "batch_size", "seq_len")
    memory, programs = {}, {}
    for name, (backend, remat) in ways.items():
        compiled, programs[name] = compile_step(**sizes, backend=backend, remat=remat)
        memory[name] = compiled.memory_analysis().temp_size_in_bytes / 2**20
    times = in_turns(programs, visit_seconds=0.1, rounds=40, seconds=config.seconds)
    rows = []
    for name in ways:
        row = {"way": name, "temporary_mb": memory[name], **times[name]}
        row["memory_of_plain"] = memory[name] / memory[PLAIN]
        row["time_of_plain"] = row["median_ms"] / times[PLAIN]["median_ms"]
        rows.append(row)
        say(
            f"{name:18} {memory[name]:8.0f} MiB {row['median_ms']:8.0f} ms   "
            f"memory {row['memory_of_plain']:.2f}x  time {row['time_of_plain']:.2f}x"
        )
    return {"rows": rows, **sizes, **record.environment()}


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
