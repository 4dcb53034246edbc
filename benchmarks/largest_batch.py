"""The largest batch of a training step that fits on the device, with and without remat.

    python benchmarks/largest_batch.py --hidden 512 --seq-len 1024

XLA reports the memory that a compiled step needs. Two small batches give the memory of
one sequence, and that predicts the largest batch. The step then runs at this batch, and
at one that is a tenth larger, which should not fit. The last line on standard output is
one JSON object.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
from loops import one_step
from measuring import record
from measuring.command import chosen, command

from jaxtext.errors import InputError
from jaxtext.streams import say
from jaxtext.types import BackendName

STEP = 8  # batches that are tried are multiples of it


@dataclass(frozen=True)
class Config:
    """Find the largest batch that fits."""

    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    """Cell."""
    hidden: int = 512
    """Width of the layer."""
    seq_len: int = 1024
    """Characters of each sequence."""
    remat: tuple[str, ...] = ("none", "gates", "32")
    """Values of `remat`: none, gates, or a number: keep the state once in so many
    steps."""
    backend: BackendName = "auto"
    """Backend of jaxtext."""
    small: int = 64
    """The smaller of the two batches that are compiled first. The other is twice it."""
    memory_gib: float | None = None
    """Memory of the device. Default: what the device reports."""
    out: Path | None = None
    """Also write the JSON to this file, after each row."""


def device_bytes(config: Config) -> int:
    """The memory of the device.

    Raises:
      InputError: If the device does not report it.
    """
    if config.memory_gib is not None:
        return int(config.memory_gib * 2**30)
    found = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" not in found:
        raise InputError(
            "--memory-gib: expected a number: this device does not report its memory"
        )
    return found["bytes_limit"]


def needed_bytes(compiled: Any) -> int:
    """The memory of a compiled step: arguments, results and temporary buffers."""
    memory = compiled.memory_analysis()
    needed = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return needed + memory.temp_size_in_bytes - memory.alias_size_in_bytes


def search(config: Config, remat: str, limit: int) -> dict[str, Any]:
    """Predicts the largest batch, and runs it and a larger one.

    Raises:
      InputError: If the numbers do not grow with the batch.
    """
    again = {"none": None, "gates": "gates"}.get(remat, remat)
    again = int(again) if isinstance(again, str) and again.isdecimal() else again
    sizes = chosen(config, "cell", "hidden", "seq_len", "backend")

    def compiled(batch):
        return one_step.compile_step(**sizes, batch_size=batch, remat=again)

    less, more = (
        needed_bytes(compiled(batch)[0]) for batch in (config.small, 2 * config.small)
    )
    each = (more - less) / config.small
    if each <= 0:
        raise InputError(
            "--small: expected a batch that costs less than its double; "
            f"{config.small} sequences need {less:,} bytes, {2 * config.small} need "
            f"{more:,}"
        )
    largest = max(0, int((limit - (2 * less - more)) / each) // STEP * STEP)
    larger = STEP * (math.ceil(1.1 * largest / STEP) or 1)
    row = {"remat": remat, "bytes_a_sequence": each, "predicted": largest}
    row["ran"] = largest > 0 and _runs(compiled, largest)
    return row | {"too_large": larger, "too_large_ran": _runs(compiled, larger)}


def _runs(compiled, batch):
    try:
        compiled(batch)[1]()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return False
    return True


def measure(config: Config) -> dict[str, Any]:
    """Searches for each value of `remat`, and returns the result."""
    limit = device_bytes(config)
    rows = []
    result = {"rows": rows, **chosen(config, "cell", "hidden", "seq_len", "backend")}
    result |= {"memory_gib": limit / 2**30, **record.environment()}
    for remat in config.remat:
        row = search(config, remat, limit)
        rows.append(row)
        say(
            f"remat {remat}: {row['predicted']:,} sequences of {config.seq_len}, "
            f"{row['bytes_a_sequence'] / 2**20:.2f} MiB each; ran: {row['ran']}, "
            f"{row['too_large']:,}: {row['too_large_ran']}"
        )
        if config.out is not None:
            record.write(result, config.out)
    return result


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
