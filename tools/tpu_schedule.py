"""The time of one step of a recurrent layer on a TPU, read from its schedule.

    python tools/tpu_schedule.py
    python tools/tpu_schedule.py --backends scan,fused --hidden 512 --chips v6e
    python tools/tpu_schedule.py --out benchmarks/results/tpu-schedule.json

It needs ``pip install libtpu`` and no TPU. ``tools/README.md`` explains what is counted
and what is not. The last line on standard output is one JSON object; everything else
goes to standard error.

Exit status: 0 finished; 1 something did not compile; 2 bad input.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import checkout  # noqa: F401 (first)

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from measuring import record
from measuring.command import command
from measuring.workload import DIRECTIONS, of_row
from schedules.compiler import CHIPS, Layer, compiled_all
from schedules.layers import asked

from jaxtext.errors import InputError
from jaxtext.streams import say

SCAN = "scan"
Row = dict[str, Any]


@dataclass(frozen=True)
class Config:
    """Read the time of one step of a layer on a TPU from its schedule.

    Lists may be given with commas.
    """

    cells: tuple[str, ...] = ("lstm", "gru")
    """Cells: rnn, lstm, gru."""
    hidden: tuple[str, ...] = ("512", "1024")
    """Widths of the layer, and of its input."""
    heads: tuple[str, ...] = ("1",)
    """Blocks of the recurrent kernel."""
    batch: tuple[str, ...] = ("128",)
    """Sequences in a batch."""
    time: int = 128
    """Steps of each."""
    chips: tuple[str, ...] = ("v5e", "v6e")
    """Chips: v5e, v6e."""
    directions: tuple[str, ...] = DIRECTIONS
    """Directions: forward, forward_backward."""
    backends: tuple[str, ...] = ("scan", "fused")
    """Backends of jaxtext. The others are compared with scan."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Type of the computation and the inputs; parameters are float32."""
    jobs: int = 1
    """Number of layers to compile at once."""
    out: Path | None = None
    """Also write the JSON to this file. Rows of the same versions are kept."""


def measure(config: Config) -> dict[str, Any]:
    """Compiles every layer and reads its schedule, and returns the result."""
    works = asked(config, config.backends)
    versions = record.versions()
    rows = earlier(config.out, versions, works)

    def show(layer, found):
        say(f"{layer.name()}: {_told(_row(layer, found))}")

    found = compiled_all(works, schedule=True, jobs=config.jobs, show=show)
    rows += [_row(*pair) for pair in zip(works, found, strict=True)]
    return {"rows": rows, "versions": versions}


def earlier(
    path: Path | None, versions: dict[str, str], works: Sequence[Layer]
) -> list[Row]:
    """The rows of a file, if it exists, except for those of `works`.

    Raises:
      InputError: If they come from other versions.
    """
    if path is None or not path.exists():
        return []
    found = json.loads(path.read_text("utf-8"))
    if found["versions"] != versions:
        raise InputError(f"--out: {path} is of other versions; take another file")
    anew = [_asked(_row(layer, {})) for layer in works]
    return [row for row in found["rows"] if _asked(row) not in anew]


def _row(layer: Layer, found: dict[str, Any]) -> Row:
    work, chip = layer.work, CHIPS[layer.chip]
    row = {"chip": layer.chip, "backend": layer.backend, "direction": layer.direction}
    row |= work._asdict() | found
    if "steps" in found:
        total = found["steps"]["total"]
        least = max(
            total["slots"] / chip.clock, total["hbm_bytes"] / chip.bytes_per_second
        )
        row["microseconds_at_least"] = 1e6 * least
        if work.dtype == "bfloat16":
            ideal = work.flops(layer.direction) / work.time / chip.flops_per_slot
            row["fraction_of_matmul"] = ideal / total["slots"]
    return row


def _told(row):
    for failure in ("failed", "unknown"):
        if failure in row:
            return f"{failure}: {row[failure]}"
    total = row["steps"]["total"]
    return (
        f"{_slots(row, 'total')} slots a step, {_slots(row, 'loop')} in the loop; "
        f"HBM {total['hbm_bytes'] / 1024:,.0f} KiB"
    )


def _slots(row, part):
    """Slots, marked if more than a few of them may in fact be skipped."""
    share, total = row["steps"][part], row["steps"]["total"]
    most = "≤ " * (200 * share["assumed"] > total["slots"])
    return f"{most}{share['slots']:,.0f}"


def table(rows: list[Row]) -> str:
    """The table for ``tools/README.md``: slots a step, and the ratio to scan."""
    lines = [
        "| chip, direction, cell BxTxH | backend | loop | outside | slots a step "
        "| bundles | of matmul | HBM, KiB | waits | µs at least | scan / this |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    scans = {_place(row): row for row in rows if row["backend"] == SCAN}
    for row in rows:
        size = f"{row['batch']}x{row['time']}x{row['hidden']}"
        direction = row["direction"].replace("_", "+")
        head = f"{row['chip']}, {direction}, {of_row(row).called()} {size}"
        if "steps" not in row:
            lines.append(f"| {head} | {row['backend']} | {_told(row)} |" + " |" * 8)
            continue
        total = row["steps"]["total"]
        scan = scans.get(_place(row), {}).get("steps")
        fraction = row.get("fraction_of_matmul")
        cells = [
            head,
            row["backend"],
            *(_slots(row, part) for part in ("loop", "outside", "total")),
            f"{total['bundles']:,.0f}",
            "" if fraction is None else f"{fraction:.0%}",
            f"{'≥ ' * (total['unsized'] > 0)}{total['hbm_bytes'] / 1024:,.0f}",
            f"{total['waits']:.1f}",
            f"{row['microseconds_at_least']:.2f}",
            "" if scan is None else f"{scan['total']['slots'] / total['slots']:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _place(row):
    """What two rows must have in common to be compared."""
    return row["chip"], row["direction"], of_row(row)


def _asked(row):
    """What was asked for when a row was made."""
    return *_place(row), row["backend"]


def failed(result: dict[str, Any]) -> bool:
    """Whether a layer did not compile."""
    return any("failed" in row for row in result["rows"])


main = command(
    Config, measure, table=lambda result: table(result["rows"]), failed=failed
)

if __name__ == "__main__":
    sys.exit(main())
