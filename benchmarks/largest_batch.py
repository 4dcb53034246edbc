"""The largest batch of a training step that fits on the device, with and without remat.

    python benchmarks/largest_batch.py --hidden 512 --seq-len 1024

XLA says what a compiled step needs before it runs. Two small batches give what a
sequence costs, that gives the largest batch, and the step is run at it and at one at
least a tenth larger, which should not fit. The last line on standard output is one JSON
object.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import remat as steps
import tyro
from measuring import record

from jaxtext.errors import InputError
from jaxtext.streams import script
from jaxtext.types import BackendName

STEP = 8  # what is tried is a multiple of it


@dataclass(frozen=True)
class Config:
    """Find the largest batch that fits."""

    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    """Which cell."""
    hidden: int = 512
    """Width of the layer."""
    seq_len: int = 1024
    """Characters of each sequence."""
    remat: tuple[str, ...] = ("none", "gates", "32")
    """What is computed again: none, gates, or all but the state at every so many
    steps."""
    backend: BackendName = "auto"
    """Backend of jaxtext."""
    small: int = 64
    """The smaller one of the batches that are compiled first; the other is twice it."""
    memory_gib: float | None = None
    """Memory of the device. Default: what it says itself."""
    out: Path | None = None
    """Also write the JSON to this file, which grows on the way."""


def device_bytes(config: Config) -> int:
    """The memory that there is.

    Raises:
      InputError: If the device does not say.
    """
    if config.memory_gib is not None:
        return int(config.memory_gib * 2**30)
    found = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" not in found:
        raise InputError("--memory-gib: expected a number, for this device says none")
    return found["bytes_limit"]


def needed_bytes(compiled: Any) -> int:
    """What a compiled step needs: arguments, results and what it keeps meanwhile."""
    memory = compiled.memory_analysis()
    needed = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return needed + memory.temp_size_in_bytes - memory.alias_size_in_bytes


def search(config: Config, remat: str, limit: int) -> dict[str, Any]:
    """The largest batch by XLA's numbers, and whether it, and a larger one, ran.

    Raises:
      InputError: If the numbers do not grow with the batch.
    """
    again = {"none": None, "gates": "gates"}.get(remat, remat)
    again = int(again) if isinstance(again, str) and again.isdecimal() else again
    base = steps.Config(config.cell, config.hidden, seq_len=config.seq_len)

    def compiled(batch):
        return steps.compile_step(
            replace(base, batch_size=batch), config.backend, again
        )

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
    """Searches for each way, and returns the result."""
    limit = device_bytes(config)
    rows = []
    names = ("cell", "hidden", "seq_len", "backend")
    result = {"rows": rows, **{name: getattr(config, name) for name in names}}
    result |= {"memory_gib": limit / 2**30, **record.environment()}
    for remat in config.remat:
        row = search(config, remat, limit)
        rows.append(row)
        print(
            f"remat {remat}: {row['predicted']:,} sequences of {config.seq_len}, "
            f"{row['bytes_a_sequence'] / 2**20:.2f} MiB each; ran: {row['ran']}, "
            f"{row['too_large']:,}: {row['too_large_ran']}",
            file=sys.stderr,
            flush=True,
        )
        if config.out is not None:
            record.write(result, config.out)
    return result


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Measures, and prints the result as the last line."""
    config = tyro.cli(Config, args=argv)
    record.print_last_line(measure(config), config.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
