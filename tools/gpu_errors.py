"""Whether the backends for a GPU are correct on this device.

    python tools/gpu_errors.py --backends mosaic_gpu,cudnn --out errors.json

Each cell, backend and type has a process of `kernel_errors.py` and one of
`contract_errors.py`. Many run at once, and a crash or a hang ends only its own process.
float32 is computed twice: with the default precision of the device (TF32), and in
float32 throughout. The last line on standard output is one JSON object.

Exit status: 0 all correct; 1 a process failed, a clause is broken, or a backend is much
farther from float64 than the scan in the same type.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import checkout  # noqa: F401 (first)

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import jobs, record
from measuring.command import command
from measuring.ours import CELLS, check_backend
from measuring.workload import listed

from jaxtext.errors import InputError
from jaxtext.streams import say

FARTHER = 10.0  # times the error of the scan: more than rounding explains


@dataclass(frozen=True)
class Config:
    """Measure the errors of backends on this device."""

    backends: tuple[str, ...] = ("mosaic_gpu", "cudnn")
    """Backends of jaxtext. scan and fused are always measured as well."""
    cells: tuple[str, ...] = ("lstm", "gru", "rnn")
    """Cells."""
    modes: tuple[str, ...] = (
        "float32/highest",
        "bfloat16/default",
        "float32/default",
    )
    """TYPE/PRECISION. The default precision of float32 on a GPU is TF32."""
    shapes: tuple[str, ...] = ("16x40x65x256", "33x21x128x512", "3x50x7x100")
    """Sizes for the errors against float64: BxTxDxH."""
    hidden: int = 128
    """Width of the cells for the clauses."""
    clauses: tuple[str, ...] = ()
    """Clauses. Default: all of contract_errors.py."""
    at_once: int = 14
    """Number of processes at once."""
    limit: float = 75.0
    """Time limit of each process in seconds."""
    out: Path | None = None
    """Also write the JSON to this file, after each process."""


def commands(config: Config) -> tuple[dict[str, list[Any]], list[str]]:
    """The command of each process by its name, the most important first.

    Returns:
      The commands, and notes about backends that a cell does not have.

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
            # The loops of XLA share a process: they are not expected to crash.
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
        say(f"{name}: {done.reason or 'done'}, {done.seconds:.0f} s")
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
    """Errors that rounding does not explain, as sentences."""
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
    """The errors against float64, and everything that is wrong."""
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


def failed(result: dict[str, Any]) -> bool:
    """Whether a process failed or anything is wrong."""
    return bool(result["wrong"] or result["failed"])


main = command(Config, measure, table=table, failed=failed)

if __name__ == "__main__":
    sys.exit(main())
