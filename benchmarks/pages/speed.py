"""Tables of speed and memory, from what the scripts of benchmarks/ wrote."""

import json
import statistics
from pathlib import Path
from typing import Any

from contest.report import by_workload, is_jax_peer, ours, times
from measuring.jobs import CHECKOUT
from measuring.markdown import markdown

RESULTS = CHECKOUT / "benchmarks" / "results"
CELLS = "cpu-2-cores"


def read(name: str) -> dict[str, Any]:
    """A file of ``benchmarks/results/``."""
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def cells(direction: str) -> str:
    """Each cell and shape beside the best other JAX library and torch."""
    found = read(CELLS)
    heads = (direction, "jaxtext", "of matmul", "best other in JAX", "torch")
    works = by_workload(found["rows"])
    kinds = list(dict.fromkeys(work.cell for work in works))
    ordered = sorted(works, key=lambda work: kinds.index(work.cell))
    rows = [_line(work, works[work], direction) for work in ordered]
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
                line.append(f"{statistics.geometric_mean(values):.2f}")
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


def ppo() -> str:
    """Recurrent PPO with our GRU and with Flax's."""
    return agents(read("ppo-cpu-2-cores"))


def agents(found: dict[str, Any]) -> str:
    """The speed and the return of each agent, and how the speeds compare."""
    lines: list[list[str]] = []
    for name in dict.fromkeys(row["library"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["library"] == name]
        speed = statistics.median(row["steps_per_second"] for row in rows)
        returns = [row["return"] for row in rows]
        spread = f"{min(returns):.2f} to {max(returns):.2f}"
        mean = statistics.fmean(returns)
        lines.append([name, f"{speed:,.0f}", f"{mean:.3f}", spread])
    lines.append(["jaxtext / flax", f"{found['median_ratio']:.2f}", "", ""])
    heads = f"GRU {found['hidden']}", "steps/s", "return, mean", "of the seeds"
    lines.sort(key=lambda line: line[0] != "jaxtext")
    return markdown(heads, lines)


def notebook() -> str:
    """The seconds of a notebook's first cells."""
    rows = {
        row["library"]: row["seconds"] for row in read("notebook-cpu-2-cores")["rows"]
    }
    first, *_ = rows.values()
    lines = [[cell, *(f"{of[cell]:.3f}" for of in rows.values())] for cell in first]
    lines.append(["all", *(f"{sum(of.values()):.2f}" for of in rows.values())])
    return markdown(("seconds", *rows), lines)


def _line(work, found, direction):
    here = {name: row for (name, way), row in found.items() if way == direction}
    own = here[ours(here.values())]
    in_jax = (row for name, row in here.items() if is_jax_peer(name))
    best = min(in_jax, key=lambda row: row["median_ms"])
    torch = here["torch"]
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
