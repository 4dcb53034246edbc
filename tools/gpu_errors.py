"""Whether the backends for a GPU are right on it: errors against float64, and clauses.

    python tools/gpu_errors.py --backends mosaic_gpu,cudnn --out errors.json

For each cell, backend and type there is a process of `kernel_errors.py` and one of
`contract_errors.py`, many side by side, so that one that crashes or hangs takes nothing
else away. float32 is computed twice, with products as the device does them by default
(TF32) and in float32 throughout. The last line on standard output is one JSON object.

Exit status: 0 all right; 1 a process failed, a clause is broken, or a backend is much
farther from float64 than the scan in the same type.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import checkout  # noqa: F401 (first)

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from measuring import jobs, record
from measuring.ours import CELLS, check_backend
from measuring.workload import listed

from jaxtext.errors import InputError
from jaxtext.streams import script

FARTHER = 10.0  # times as far from float64 as the scan is: no matter of rounding


@dataclass(frozen=True)
class Config:
    """Measure the errors of backends on this device."""

    backends: tuple[str, ...] = ("mosaic_gpu", "cudnn")
    """Backends of jaxtext. Those that are XLA's loops, scan and fused, come along."""
    cells: tuple[str, ...] = ("lstm", "gru", "rnn")
    """Cells."""
    modes: tuple[str, ...] = (
        "float32/highest",
        "bfloat16/default",
        "float32/default",
    )
    """TYPE/PRODUCTS: products of float32 by default are TF32 on a GPU."""
    shapes: tuple[str, ...] = ("16x40x65x256", "33x21x128x512", "3x50x7x100")
    """Sizes, BxTxDxH, for the errors against float64."""
    hidden: int = 128
    """Width of the cell that clauses are held to."""
    clauses: tuple[str, ...] = ()
    """Which clauses. Default: all that contract_errors.py has."""
    at_once: int = 14
    """How many processes side by side."""
    limit: float = 75.0
    """Seconds that each process may take."""
    out: Path | None = None
    """Also write the JSON to this file, which grows on the way."""


def commands(config: Config) -> tuple[dict[str, list[Any]], list[str]]:
    """The command of each process by its name, those worth most first.

    Returns:
      The commands; and notes of cells that have no such backend, for which there are
      none.

    Raises:
      InputError: If a cell is not known.
    """
    cells, left_out = {}, []
    for cell in listed(config.cells):
        if cell not in CELLS:
            expected = ", ".join(CELLS)
            raise InputError(f"--cells: expected of {expected}; got {cell!r}")
        cells[cell] = []
        for backend in listed(config.backends):
            try:
                check_backend(CELLS[cell](config.hidden), backend)
            except InputError as error:
                left_out.append(f"{backend} ({cell}): {error}")
            else:
                cells[cell].append(backend)
    clauses = ["--clauses", *listed(config.clauses)] if config.clauses else []
    found = {}
    for mode in listed(config.modes):
        dtype, precision = mode.split("/")
        for cell, backends in cells.items():
            # XLA's loops will not crash, and share a process.
            for backend in ("scan,fused", *backends):
                found[f"float64 {cell} {backend} {dtype} {precision}"] = [
                    *("tools/kernel_errors.py", "--cells", cell),
                    *("--backends", *backend.split(",")),
                    *("--dtypes", dtype, "--precision", precision, "--draws", 0),
                    *("--shapes", *listed(config.shapes), "--masks", "all", "none"),
                ]
            for backend in backends:
                found[f"clauses {cell} {backend} {dtype} {precision}"] = [
                    *("tools/contract_errors.py", "--cells", cell),
                    *("--backends", backend),
                    *("--dtype", dtype, "--precision", precision),
                    *("--hidden", config.hidden, *clauses),
                ]
    return found, left_out


def measure(config: Config) -> dict[str, Any]:
    """Runs all processes, and returns the result."""
    to_run, left_out = commands(config)
    errors, clauses, failed, seconds = [], [], {}, {}
    result = {"errors": errors, "clauses": clauses, "left_out": left_out}
    result |= {"failed": failed, "seconds": seconds, "wrong": []}
    result |= record.environment()
    running = jobs.side_by_side(
        to_run,
        config.at_once,
        seconds=config.limit,
        log=config.out and config.out.with_suffix(".log"),
    )
    for name, done in running:
        seconds[name] = round(done.seconds, 1)
        print(f"{name}: {done.reason or 'done'}, {done.seconds:.0f} s", file=sys.stderr)
        if done.result is None:
            failed[name] = done.reason
        elif name.startswith("clauses"):
            clauses += done.result["rows"]
        else:
            precision = {"precision": done.result["precision"]}
            errors += [row | precision for row in done.result["rows"]]
            left_out += done.result["left_out"]
        result["wrong"] = wrong(errors, clauses)
        if config.out is not None:
            record.write(result, config.out)
    return result


def wrong(errors: list[dict], clauses: list[dict]) -> list[str]:
    """What cannot be put down to rounding, in words."""
    found = []
    kind = "cell", "dtype", "precision"
    scan = {tuple(row[k] for k in kind): row for row in errors if _is_scan(row)}
    for row in errors:
        base = scan.get(tuple(row[k] for k in kind))
        for what in ("values", "gradients"):
            if base is not None and row[what] > FARTHER * max(base[what], 1e-7):
                of = " ".join((row["backend"], *(row[k] for k in kind)))
                found.append(f"{of}: {what} {row[what]:.1e}, scan {base[what]:.1e}")
    for row in clauses:
        if row["outcome"] == "broken":
            of = " ".join(row[k] for k in ("backend", *kind, "clause"))
            error = "" if row["error"] is None else f" {row['error']:.1e},"
            found.append(f"{of}:{error} {row['why']}")
    return found


def table(result: dict[str, Any]) -> str:
    """The errors against float64, and what is wrong."""
    lines = ["cell  type      products  backend     compared  values   gradients"]
    for row in sorted(result["errors"], key=lambda r: (r["cell"], r["dtype"])):
        lines.append(
            f"{row['cell']:6}{row['dtype']:10}{row['precision']:10}{row['backend']:12}"
            f"{row['compared']:8}  {row['values']:.1e}  {row['gradients']:.1e}"
        )
    kept = sum(row["outcome"] == "kept" for row in result["clauses"])
    lines.append(f"clauses kept: {kept} of {len(result['clauses'])}")
    lines += [f"wrong: {note}" for note in result["wrong"]]
    lines += [f"failed: {name}: {why}" for name, why in result["failed"].items()]
    return "\n".join(lines)


def _is_scan(row):
    return row["backend"] == "scan"


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Measures, and prints the result as the last line."""
    config = tyro.cli(Config, args=argv)
    result = measure(config)
    print(table(result), file=sys.stderr)
    record.print_last_line(result, config.out)
    return 1 if result["wrong"] or result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
