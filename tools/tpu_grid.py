"""Whether recurrent layers of many sizes compile for TPUs, and with which kernels.

    python tools/tpu_grid.py
    python tools/tpu_grid.py --chips v6e --hidden 512,1024 --batch 128 --jobs 4

It needs ``pip install libtpu`` and no TPU. The last line on standard output is one JSON
object; everything else goes to standard error.

Exit status: 0 everything compiles; 1 something does not; 2 bad input.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import checkout  # noqa: F401 (first)

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from measuring import record
from measuring.command import command
from measuring.workload import DIRECTIONS, of_row
from schedules.compiler import compiled_all
from schedules.layers import asked

from jaxtext.streams import say
from jaxtext.types import BackendName

KERNEL, FALLBACK, FAILED = "kernel", "fallback", "failed"


@dataclass(frozen=True)
class Config:
    """Compile recurrent layers of many sizes for TPUs.

    Lists may be given with commas.
    """

    cells: tuple[str, ...] = ("lstm", "gru")
    """Cells: rnn, lstm, gru."""
    hidden: tuple[str, ...] = ("128", "256", "512", "1024", "2048")
    """Widths of the layer, and of its input."""
    heads: tuple[str, ...] = ("1",)
    """Blocks of the recurrent kernel."""
    batch: tuple[str, ...] = ("8", "32", "128", "512")
    """Sequences in a batch."""
    time: int = 128
    """Steps of each."""
    chips: tuple[str, ...] = ("v5e", "v6e")
    """Chips: v5e, v6e."""
    directions: tuple[str, ...] = DIRECTIONS
    """Directions: forward, forward_backward."""
    backend: BackendName = "auto"
    """Backend of jaxtext."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Type of the computation and the inputs; parameters are float32."""
    jobs: int = 1
    """Number of layers to compile at once."""
    out: Path | None = None
    """Also write the JSON to this file."""


def outcome(found: dict[str, Any]) -> tuple[str, str]:
    """The outcome of a layer, and the reason.

    Returns:
      ``kernel``, and the Pallas kernels in it; ``fallback``, and why there is none; or
      ``failed``, and how.
    """
    if FAILED in found:
        return FAILED, found[FAILED]
    if found["pallas_kernels"]:
        return KERNEL, ", ".join(found["pallas_kernels"])
    return FALLBACK, found["reason"]


def measure(config: Config) -> dict[str, Any]:
    """Compiles every layer, and returns the outcomes."""
    works = asked(config, [config.backend])

    def show(layer, found):
        say(f"{layer.name()}: {': '.join(outcome(found))}")

    results = compiled_all(works, schedule=False, jobs=config.jobs, show=show)
    rows = []
    for layer, found in zip(works, results, strict=True):
        became, why = outcome(found)
        row: dict[str, Any] = {
            "chip": layer.chip,
            "direction": layer.direction,
            "outcome": became,
        }
        row |= layer.work._asdict() | {"backend": layer.backend, "why": why}
        row["temporary_bytes"] = found.get("temporary_bytes")
        rows.append(row)
    counts = Counter(row["outcome"] for row in rows)
    return {"rows": rows, "outcomes": counts, "versions": record.versions()}


def table(rows: list[dict[str, Any]]) -> str:
    """The outcome of each size: a line for each width, a column for each batch."""
    batches = sorted({row["batch"] for row in rows})
    lines = [
        f"| chip, direction, cell, hidden | {' | '.join(map(str, batches))} |",
        f"| --- |{' --- |' * len(batches)}",
    ]
    places: dict[tuple, dict[int, str]] = {}
    for row in rows:
        called = of_row(row).called()
        place = row["chip"], row["direction"], called, row["hidden"]
        places.setdefault(place, {})[row["batch"]] = row["outcome"]
    for place, outcomes in places.items():
        cells = [outcomes.get(batch, "") for batch in batches]
        lines.append(f"| {', '.join(map(str, place))} | {' | '.join(cells)} |")
    return "\n".join(lines)


main = command(
    Config,
    measure,
    table=lambda result: table(result["rows"]),
    failed=lambda result: result["outcomes"][FAILED] > 0,
)

if __name__ == "__main__":
    sys.exit(main())
