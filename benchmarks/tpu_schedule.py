"""How long one step of a recurrent layer takes on a TPU, read from its schedule.

    python benchmarks/tpu_schedule.py
    python benchmarks/tpu_schedule.py --backends scan,fused --hidden 512 --chips v6e
    python benchmarks/tpu_schedule.py --out benchmarks/results/tpu-schedule.json

Needs ``pip install libtpu`` and no TPU. What is counted, and what is not, is told in
``benchmarks/README.md``. The last line on standard output is one JSON object; all else
goes to standard error.

Exit status: 0 finished; 1 something did not compile; 2 bad input.
"""

import importlib.metadata
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import record
import tyro
from tpu_compile import CHIPS, CompileError, Layer, compiled, versions
from workload import DIRECTIONS, GATES, Workload

from jaxtext.errors import InputError

SCAN = "scan"
Row = dict[str, Any]


@dataclass(frozen=True)
class Config:
    """Read from its schedule how long one step of a layer takes on a TPU.

    Lists may be given with commas.
    """

    cells: tuple[str, ...] = ("lstm", "gru")
    """Cells: rnn, lstm, gru."""
    hidden: tuple[str, ...] = ("512", "1024")
    """Widths of the layer, and of its input."""
    batch: int = 128
    """Sequences side by side."""
    time: int = 128
    """Steps of each."""
    chips: tuple[str, ...] = ("v5e", "v6e")
    """Chips: v5e, v6e."""
    directions: tuple[str, ...] = DIRECTIONS
    """Directions: forward, forward_backward."""
    backends: tuple[str, ...] = ("scan", "fused")
    """Backends of jaxtext; all others are compared with scan."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Type of the computation and the inputs; parameters are float32."""
    jobs: int = 1
    """Compile so many at once."""
    out: Path | None = None
    """Also write the JSON to this file."""


def parse(argv: Sequence[str] | None = None) -> tuple[Config, list[Layer]]:
    """Reads the command line.

    Raises:
      InputError: If a value is not one that is known, or libtpu is not installed.
    """
    config = tyro.cli(Config, args=argv)
    known = {"cells": GATES, "chips": CHIPS, "directions": DIRECTIONS}
    for field, names in known.items():
        for name in _listed(getattr(config, field)):
            if name not in names:
                expected = ", ".join(names)
                raise InputError(f"--{field}: expected of {expected}; got {name!r}")
    widths = _listed(config.hidden)
    if not all(width.isdecimal() and int(width) > 0 for width in widths):
        raise InputError(f"--hidden: expected widths, got {', '.join(widths)}")
    if not (config.batch > 0 and config.time > 0 and config.jobs > 0):
        raise InputError("--batch, --time and --jobs: expected > 0")
    try:
        versions()
    except importlib.metadata.PackageNotFoundError:
        raise InputError("the schedules are libtpu's: pip install libtpu") from None
    grid = product(
        _listed(config.chips),
        _listed(config.cells),
        map(int, widths),
        _listed(config.directions),
        _listed(config.backends),
    )
    return config, [
        Layer(
            Workload(cell, config.batch, config.time, width, width, config.dtype),
            *(direction, backend, chip),
        )
        for chip, cell, width, direction, backend in grid
    ]


def measure(config: Config, layers: list[Layer]) -> dict[str, Any]:
    """Compiles one layer after the other, or `config.jobs` at once."""

    def one(layer):
        try:
            found = compiled(layer)
        except CompileError as error:
            found = {"failed": str(error)}
        row = _row(layer, found)
        print(f"{layer.name()}: {_told(row)}", file=sys.stderr, flush=True)
        return row

    with ThreadPoolExecutor(config.jobs) as pool:
        rows = list(pool.map(one, layers))
    return {"rows": rows, "versions": record.versions() | versions()}


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
    if "failed" in row or "unknown" in row:
        return f"failed: {row['failed']}" if "failed" in row else _unknown(row)
    slots = {name: share["slots"] for name, share in row["steps"].items()}
    return (
        f"{slots['total']:,.0f} slots a step, {slots['loop']:,.0f} in the loop; "
        f"HBM {row['steps']['total']['hbm_bytes'] / 1024:,.0f} KiB"
    )


def _unknown(row):
    return f"unknown: {row['unknown']}"


def table(rows: list[Row]) -> str:
    """The table for ``benchmarks/README.md``: slots a step, and scan's beside ours."""
    lines = [
        "| chip, direction, cell BxTxH | backend | loop | outside | slots a step "
        "| bundles | of matmul | HBM, KiB | waits | µs at least | scan / this |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    scans = {_place(row): row for row in rows if row["backend"] == SCAN}
    for row in rows:
        size = f"{row['batch']}x{row['time']}x{row['hidden']}"
        direction = row["direction"].replace("_", "+")
        head = f"{row['chip']}, {direction}, {row['cell']} {size}"
        if "steps" not in row:
            lines.append(f"| {head} | {row['backend']} | {_told(row)} |" + " |" * 8)
            continue
        loop, outside, total = (
            row["steps"][name] for name in ("loop", "outside", "total")
        )
        scan = scans.get(_place(row), {}).get("steps")
        fraction = row.get("fraction_of_matmul")
        cells = [
            head,
            row["backend"],
            *(f"{share['slots']:,.0f}" for share in (loop, outside, total)),
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
    """What two backends have to share to be compared."""
    return row["chip"], row["direction"], *(row[name] for name in Workload._fields)


def main(argv: Sequence[str] | None = None) -> int:
    """Compiles, and prints the result as the last line."""
    try:
        config, layers = parse(argv)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    result = measure(config, layers)
    print(table(result["rows"]), file=sys.stderr)
    record.print_last_line(result, config.out)
    return int(any("failed" in row for row in result["rows"]))


def _listed(values):
    return [name for value in values for name in value.split(",")]


if __name__ == "__main__":
    sys.exit(main())
