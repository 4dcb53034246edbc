"""Results as ratios, as a table and as a chart."""

import json
import math
import statistics
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from measuring.pictures import save
from measuring.workload import (
    DIRECTIONS,
    FORWARD,
    FORWARD_BACKWARD,
    TORCH,
    Workload,
    of_row,
)
from rich.table import Table

from contest.jax_cells import JAXTEXT
from jaxtext.errors import InputError

Row = dict[str, Any]  # a library, a workload, a direction, and what was measured
Times: TypeAlias = dict[tuple[str, str], Row]  # (library, direction) -> its row


def earlier(
    path: Path | None, environment: dict[str, Any], works: Container[Workload]
) -> tuple[list[Row], list[str]]:
    """The rows of a file, if it exists, except for those of `works`, and its notes.

    Raises:
      InputError: If they were measured in another environment.
    """
    if path is None or not path.exists():
        return [], []
    found = json.loads(path.read_text("utf-8"))
    for name, value in environment.items():
        if found.get(name, "") != value:
            raise InputError(
                f"--out: {path} was measured with other {name}; take another file"
            )
    rows = [row for row in found["rows"] if of_row(row) not in works]
    return rows, found["left_out"]


def by_workload(rows: Iterable[Row]) -> dict[Workload, Times]:
    """The rows of each workload."""
    found: dict[Workload, Times] = {}
    for row in rows:
        found.setdefault(of_row(row), {})[row["library"], row["direction"]] = row
    return found


def ours(rows: Iterable[Row]) -> str | None:
    """The entry that the others are compared with.

    That is ``jaxtext-auto`` if it is there, or the first backend of jaxtext.
    """
    names = [row["library"] for row in rows if row["library"].startswith(JAXTEXT)]
    return JAXTEXT + "auto" if JAXTEXT + "auto" in names else next(iter(names), None)


def ratios(rows: list[Row]) -> dict[str, Any]:
    """The time of the others divided by ours: above 1, jaxtext is faster.

    Returns:
      By direction, ``vs_best_jax`` and ``vs_torch``, each with the geometric mean (or
      ``None``) and the ratio of medians by workload. ``vs_best_jax`` uses the fastest
      other JAX entry of each workload, including the textbook's scan.
    """
    return {
        direction: {
            "vs_best_jax": _versus(rows, direction, is_jax_peer),
            "vs_torch": _versus(rows, direction, lambda name: name == "torch"),
        }
        for direction in reversed(DIRECTIONS)
    }


def is_jax_peer(name: str) -> bool:
    """Whether an entry is another library on JAX."""
    return name not in TORCH and not name.startswith(JAXTEXT)


def _versus(rows, direction, is_peer):
    own, best = {}, {}
    us = ours(rows)
    for row in rows:
        if row["direction"] == direction:
            name, median = of_row(row).name(), row["median_ms"]
            if row["library"] == us:
                own[name] = median
            if is_peer(row["library"]):
                best[name] = min(median, best.get(name, math.inf))
    per_shape = {name: best[name] / own[name] for name in own if name in best}
    geomean = statistics.geometric_mean(per_shape.values()) if per_shape else None
    return {"geomean": geomean, "per_shape": per_shape}


def table(rows: list[Row], work: Workload) -> Table:
    """The results of one workload, the fastest first."""
    made = Table(title=f"{work.name()}, ms: median (10th–90th percentile)")
    headers = "library|forward|× ours|forward+backward|× ours|of matmul|compile|temp MB"
    for header in headers.split("|"):
        justify = "left" if header == "library" else "right"
        made.add_column(header, justify=justify, no_wrap=True)
    here = [row for row in rows if of_row(row) == work]
    us = ours(here)
    own = {row["direction"]: row["median_ms"] for row in here if row["library"] == us}
    by_library = {row["library"]: {} for row in here}
    for row in here:
        by_library[row["library"]][row["direction"]] = row

    def median(of_library):
        return of_library[FORWARD_BACKWARD]["median_ms"]

    for of_library in sorted(by_library.values(), key=median):
        last = of_library[FORWARD_BACKWARD]
        cells = [last["library"]]
        for direction in DIRECTIONS:
            row = of_library[direction]
            ratio = row["median_ms"] / own[direction] if own else None
            cells += [times(row), _number(ratio, 2)]
        cells.append(f"{last['fraction_of_matmul']:.0%}")
        cells += [_number(last["compile_ms"]), _number(last["peak_mb"], 1)]
        made.add_row(*cells, style="bold green" if last["library"] == us else None)
    return made


def times(row: Row) -> str:
    """Median milliseconds, and the 10th and 90th percentile."""
    low, median, high = (row[f"{name}_ms"] for name in ("p10", "median", "p90"))
    digits = 2 if median < 10 else 1 if median < 100 else 0
    return f"{median:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def _number(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"


def summary(rows: list[Row]) -> str:
    """The geometric means of `ratios` as sentences, one for each direction."""
    lines = []
    for direction, versus in ratios(rows).items():
        said = [
            f"{peer} takes {mean['geomean']:.2f} times as long as {ours(rows)}"
            for peer, mean in zip(
                ("the best JAX peer", "torch"), versus.values(), strict=True
            )
            if mean["geomean"] is not None
        ]
        if said:
            lines.append(f"{direction.replace('_', '+')}: {', '.join(said)}")
    return "\n".join(lines)


def chart(rows: list[Row], path: Path) -> None:
    """Draws the time of each library divided by ours, for each shape.

    Args:
      rows: The results, including ours.
      path: The PNG file to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    us = ours(rows)
    cells = list(dict.fromkeys(row["cell"] for row in rows))
    libraries = list(dict.fromkeys(row["library"] for row in rows))
    medians = {(of_row(r), r["library"], r["direction"]): r["median_ms"] for r in rows}
    figure, axes = plt.subplots(
        len(DIRECTIONS),
        len(cells),
        figsize=(7 * len(cells), 7),
        squeeze=False,
        sharey="row",
        layout="constrained",
        dpi=120,
    )
    bar = 0.8 / len(libraries)
    for column, cell in enumerate(cells):
        works = dict.fromkeys(of_row(r) for r in rows if r["cell"] == cell)
        for line, direction in enumerate((FORWARD_BACKWARD, FORWARD)):
            axis = axes[line, column]
            for index, library in enumerate(libraries):
                heights = [
                    medians.get((work, library, direction), math.nan)
                    / medians.get((work, us, direction), math.nan)
                    - 1
                    for work in works
                ]
                places = [x + bar * index - 0.4 for x in range(len(works))]
                color = f"C{index}" if index < 10 else "black"
                axis.bar(
                    places, heights, bar, 1, align="edge", label=library, color=color
                )
            axis.set_yscale("log", base=2)  # twice and half as long look alike
            axis.yaxis.set_major_formatter("{x:g}")
            axis.axhline(1, color="black", linewidth=0.8)
            names = [work.name().removeprefix(f"{cell} ") for work in works]
            axis.set_xticks(range(len(works)), names, rotation=15, fontsize=8)
            axis.set_title(f"{cell}, {direction.replace('_', ' + ')}")
    for line in axes:
        line[0].set_ylabel(f"time / time of {us}")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=6, fontsize=8)
    save(figure, path)
    plt.close(figure)
