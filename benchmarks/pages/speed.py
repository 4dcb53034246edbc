"""Tables of speed and memory, from what the scripts of benchmarks/ wrote."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contest.report import Row, ours, times, workload
from measuring.markdown import markdown
from measuring.workload import TORCH

RESULTS = Path(__file__).parents[1] / "results"
CELLS = "cpu-2-cores"


def read(name: str) -> dict[str, Any]:
    """A file of ``benchmarks/results/``."""
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def cells(direction: str) -> str:
    """Each cell and shape beside the best other JAX library and torch."""
    found = read(CELLS)
    heads = (direction, "jaxtext", "of matmul", "best other in JAX", "torch")
    rows = [_line(here, direction) for here in _by_workload(found["rows"])]
    versus = found["ratios"][direction]
    means = (f"{versus[of]['geomean']:.2f}" for of in ("vs_best_jax", "vs_torch"))
    rows.append(["geometric mean", "", "", "", "", *means])
    return markdown((*heads, "best JAX / ours", "torch / ours"), rows)


def means() -> str:
    """Geometric means of the shapes, by cell and direction."""
    found = read(CELLS)
    rows = []
    for of, what in (
        ("vs_best_jax", "the fastest other JAX library"),
        ("vs_torch", "PyTorch"),
    ):
        line = [what]
        for direction in ("forward_backward", "forward"):
            ratios = found["ratios"][direction][of]["per_shape"]
            for cell in ("lstm", "gru"):
                values = [x for name, x in ratios.items() if name.split()[0] == cell]
                line.append(f"{math.exp(sum(map(math.log, values)) / len(values)):.2f}")
        rows.append(line)
    heads = [
        "LSTM, with gradient",
        "GRU, with gradient",
        "LSTM, forward",
        "GRU, forward",
    ]
    return markdown(["time, compared with jaxtext's", *heads], rows)


def training() -> str:
    """The training step of the language model, beside Flax."""
    heads = ("training", "jaxtext, chars/s", "Flax", "ratio")
    files = ("train-384-cpu-2-cores", "train-cpu-2-cores")
    return markdown(heads, [line for name in files for line in _steps(read(name))])


def remat() -> str:
    """Memory and time of a step over a long sequence."""
    rows = [
        [
            row["way"],
            f"{row['temporary_mb']:,.0f} MiB",
            f"{row['median_ms'] / 1000:.2f} s",
        ]
        for row in read("remat-cpu-2-cores")["rows"]
    ]
    heads = ("one step of LSTM 256, batch 8, T 16,384", "temporary memory", "time")
    return markdown(heads, rows)


def sampling() -> str:
    """The characters a second that a network writes."""
    found = read("sample-cpu-2-cores")
    rows = [
        [row["cell"], str(row["batch"]), f"{row['chars_per_second']:,.0f}"]
        for row in found["rows"]
    ]
    return markdown((f"cell, H {found['hidden']}", "texts at once", "chars/s"), rows)


def _by_workload(rows: list[Row]) -> Iterator[list[Row]]:
    works = dict.fromkeys(map(workload, rows))
    kinds = list(dict.fromkeys(work.cell for work in works))
    for work in sorted(works, key=lambda work: kinds.index(work.cell)):
        yield [row for row in rows if workload(row) == work]


def _line(rows, direction):
    here = {row["library"]: row for row in rows if row["direction"] == direction}
    own = here[ours(rows)]
    in_jax = [
        row
        for name, row in here.items()
        if name not in TORCH and not name.startswith("jaxtext")
    ]
    best = min(in_jax, key=lambda row: row["median_ms"])
    torch = here["torch"]
    work = workload(own)
    return [
        f"{work.cell} {work.batch}x{work.time}x{work.hidden}",
        times(own),
        f"{own['fraction_of_matmul']:.0%}",
        f"{times(best)} {best['library']}",
        times(torch),
        *(f"{row['median_ms'] / own['median_ms']:.2f}" for row in (best, torch)),
    ]


def _steps(found):
    by_cell: dict[str, dict[str, float]] = {}
    for row in found["rows"]:
        by_cell.setdefault(row["cell"], {})[row["library"]] = row["chars_per_second"]
    shape = f"batch {found['batch_size']}, T {found['seq_len']}"
    for cell, speeds in by_cell.items():
        us, flax = speeds["jaxtext"], speeds["flax"]
        name = f"{cell} {found['hidden']}, {shape}, {Path(found['corpus']).stem}"
        yield [name, f"{us:,.0f}", f"{flax:,.0f}", f"{us / flax:.2f}"]
