"""Measure the speed of recurrent cells: ours and those of other libraries.

    python benchmarks/cells.py
    python benchmarks/cells.py --cells lstm --shapes 64x100x256 --seconds 20
    python benchmarks/cells.py --out benchmarks/results/two-cores.json

``benchmarks/README.md`` explains what is measured, and how it is kept fair. The last
line on standard output is one JSON object; everything else goes to standard error.

Exit status: 0 finished; 2 bad input; 130 Ctrl-C, with the finished rows in ``--out``.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from contest import report
from contest.crew import Crew
from contest.jax_cells import JAXTEXT, LIBRARIES, own_form
from measuring import record
from measuring.timing import interleave, spread
from measuring.workload import GATES, TORCH, Workload, listed, parse_shape
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from jaxtext.errors import InputError
from jaxtext.streams import script


@dataclass(frozen=True)
class Config:
    """Measure the speed of recurrent cells: ours and those of other libraries.

    Lists may be given with commas. Libraries that are not installed are left out with a
    note.
    """

    cells: tuple[str, ...] = ("lstm", "gru")
    """Cells: rnn, lstm, gru; for jaxtext also layer_norm_lstm and so on."""
    shapes: tuple[str, ...] = (
        "16x128x128",
        "64x100x128",
        "64x100x256",
        "64x100x512",
        "32x128x1024",
        "1x1000x256",
    )
    """Shapes: BxTxH, for inputs as wide as the output, or BxTxDxH."""
    backends: tuple[str, ...] = ("scan", "auto")
    """Backends of jaxtext. Ratios are to auto if it is among them, or to the first.
    auto+masked has one step in ten masked, auto+8-heads eight heads."""
    libraries: tuple[str, ...] = (*LIBRARIES, "torch")
    """Libraries to compare with. textbook is a scan with JAX's own gradient. torchrl is
    its kernels for GPUs, and not among the defaults."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of parameters, inputs and computation."""
    resets: bool = False
    """Start a new sequence at 3 % of the steps, which jaxtext and torchrl can do."""
    graphs: tuple[str, ...] = ()
    """Measure these libraries, or jaxtext-BACKEND, a second time with XLA's loops as
    CUDA graphs. +graphs is added to the name."""
    alone: bool = False
    """Give each entry its own process. They compile at the same time, each more slowly,
    and one that crashes or hangs does not end the others."""

    seconds: float = 40.0
    """Begin no further round for a cell and shape after so many seconds."""
    rounds: int = 40
    """The most rounds for a cell and shape. At least 5 are made."""
    limit: float = 600.0
    """End a process that takes so many seconds for one answer."""
    visit_seconds: float = 0.1
    """Repeat a quick program for so long when its turn comes."""
    seed: int = 0
    """Seed of the orders of the rounds."""

    out: Path | None = None
    """Write the JSON to this file, and a chart of ratios beside it (.png). Rows of the
    same machine and versions are kept."""
    chart: bool = True
    """Draw the chart, which takes a second for each cell and shape."""


def parse(argv: Sequence[str] | None = None) -> tuple[Config, list[Workload]]:
    """Reads the command line.

    Returns:
      The configuration, and each cell with each shape.

    Raises:
      InputError: If a value is unknown.
    """
    config = tyro.cli(Config, args=argv)
    known = {"cells": list(GATES), "libraries": [*LIBRARIES, *TORCH]}
    for field, names in known.items():
        for name in listed(getattr(config, field)):
            if name not in names:
                expected = ", ".join(names)
                raise InputError(f"--{field}: expected of {expected}; got {name!r}")
    if not (config.rounds > 0 and config.seconds > 0 and config.visit_seconds > 0):
        raise InputError("--rounds, --seconds and --visit-seconds: expected > 0")
    shapes = [parse_shape(shape) for shape in listed(config.shapes)]
    how = config.dtype, config.resets
    works = [Workload(c, *s, *how) for s in shapes for c in listed(config.cells)]
    return config, works


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark and returns the exit status."""
    console = Console(stderr=True)
    if not console.is_terminal:
        console = Console(stderr=True, width=120)  # so that a log has whole tables
    config, works = parse(argv)
    result = measure(config, works, console)
    console.print(report.summary(result["rows"]), highlight=False, soft_wrap=True)
    record.print_last_line(result, config.out)
    return 0


def measure(config: Config, works: list[Workload], console: Console) -> dict[str, Any]:
    """Measures one workload after the other, and writes each to `config.out`."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    ours = [JAXTEXT + name for name in listed(config.backends)]
    names = [*ours, *listed(config.libraries)]
    with contextlib.ExitStack() as stack:
        how = {"graphs": listed(config.graphs), "alone": config.alone}
        crew = stack.enter_context(Crew(names, **how, limit=config.limit))
        about = crew.environment()
        rows, left_out = report.earlier(config.out, about, works)
        rate = crew.matmul_flops_per_second(config.dtype)
        console.print(f"large matrix product: {rate / 1e9:.0f} GFLOP/s")
        progress = Progress(
            *columns,
            console=console,
            transient=True,
            disable=not console.is_terminal,
            refresh_per_second=2,  # drawing disturbs what is measured
        )
        stack.enter_context(progress)
        result = {}
        for index, work in enumerate(works):
            task = progress.add_task(work.name(), total=config.seconds)

            def show(note, seconds=0.0, task=task, index=index, work=work):
                text = f"{index + 1}/{len(works)} {work.name()}: {note}"
                progress.update(task, description=text, completed=seconds)

            prepared = crew.prepare(work, show)
            times = _times(config, crew, prepared, show)
            for library, why in crew.left_out.items():
                note = f"{library} {why}"
                if note not in left_out:
                    console.print(f"left out: {note}", markup=False, highlight=False)
                    left_out.append(note)
            prepared = {k: p for k, p in prepared.items() if k[0] not in crew.left_out}
            rows += _rows(work, prepared, times, rate)
            crew.forget()
            progress.remove_task(task)
            result = {"rows": rows, "ratios": report.ratios(rows), **about}
            result |= {"matmul_gflops": rate / 1e9, "left_out": left_out}
            if config.out is not None:
                record.write(result, config.out)
                if config.chart:
                    report.chart(rows, config.out.with_suffix(".png"))
            console.print(report.table(rows, work))
    return result


def _times(config, crew, prepared, show):
    def visit(library, direction):
        return lambda: crew.visit(library, direction, config.visit_seconds)

    def progress(done, seconds):
        show(f"round {done + 1}", seconds)

    visits = {name: visit(*name) for name in prepared}
    return interleave(
        visits,
        rounds=config.rounds,
        seconds=config.seconds,
        seed=config.seed,
        progress=progress,
    )


def _rows(work, prepared, times, rate):
    rows = []
    for (library, direction), program in prepared.items():
        measured = spread(times[library, direction])
        ideal_ms = 1e3 * own_form(library, work).flops(direction) / rate
        rows.append(
            {"library": library, **work._asdict(), "direction": direction}
            | measured
            | {
                "compile_ms": program.compile_ms,
                "peak_mb": program.peak_mb,
                "fraction_of_matmul": ideal_ms / measured["median_ms"],
                "repetitions": len(times[library, direction]),
            }
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
