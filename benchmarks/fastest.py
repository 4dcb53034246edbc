"""Which backend is the fastest: a table, and the rows for jaxtext/evidence.py.

    python benchmarks/fastest.py OUT.parts
    python benchmarks/fastest.py benchmarks/results/h200/*.json

It reads results of cells.py. The table has the milliseconds of every backend and
library, for each cell, type, shape and direction. Each row for `jaxtext.evidence.TABLE`
has the backends that beat the scan in both directions by more than the times vary, with
the fastest first, by the time with the gradient. A file that cannot be read is left out
with a note.

Exit status: 0 done; 1 a file was left out; 2 a wrong command line.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from contest.jax_cells import JAXTEXT
from contest.report import Row, Times, by_workload
from measuring.graphs import GRAPHS
from measuring.markdown import markdown
from measuring.workload import DIRECTIONS, FORWARD_BACKWARD

from jaxtext.streams import say, script

SCAN = JAXTEXT + "scan"


@dataclass(frozen=True)
class Config:
    """Print which backend is the fastest."""

    results: tyro.conf.Positional[tuple[Path, ...]]
    """Results of cells.py: files, or directories that contain them."""


def read(paths: Sequence[Path]) -> tuple[dict[Path, dict[str, Any]], dict[Path, str]]:
    """Reads the results of cells.py among files and in directories.

    Returns:
      The results, and the reasons why files could not be read.
    """
    files = [
        f for p in paths for f in (sorted(p.glob("*.json")) if p.is_dir() else [p])
    ]
    found, left_out = {}, {}
    for file in files:
        try:
            result = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            left_out[file] = str(error)
            continue
        if "ratios" in result:
            found[file] = result
    return found, left_out


def table(rows: Sequence[Row]) -> str:
    """The milliseconds as Markdown, a line for each workload and direction."""
    libraries = list(dict.fromkeys(row["library"] for row in rows))
    lines = []
    for work, times in by_workload(rows).items():
        for direction in DIRECTIONS:
            found = [times.get((library, direction)) for library in libraries]
            numbers = [
                "" if row is None else f"{row['median_ms']:.3f}" for row in found
            ]
            lines.append([work.name(), work.dtype, direction, *numbers])
    heads = ("cell, B x T x D x H", "type", "direction")
    return markdown([*heads, *libraries], lines)


def beats_scan(times: Times, library: str) -> bool:
    """Whether a library was faster than the scan, by more than the times vary."""
    return all(
        (library, d) in times and times[library, d]["p90_ms"] < times[SCAN, d]["p10_ms"]
        for d in DIRECTIONS
    )


def evidence(path: Path, result: dict[str, Any]) -> list[str]:
    """Rows for `jaxtext.evidence.TABLE`, as Python."""
    hardware = result["hardware"]
    lines = []
    for work, times in by_workload(result["rows"]).items():
        if (SCAN, FORWARD_BACKWARD) not in times:
            continue
        names = [
            name
            for name in dict.fromkeys(name for name, _ in times)
            # `auto` cannot set XLA's flags, which CUDA graphs need.
            if name.startswith(JAXTEXT) and not name.endswith(GRAPHS)
            if name != JAXTEXT + "auto" and beats_scan(times, name)
        ]
        medians = {n: times[n, FORWARD_BACKWARD]["median_ms"] for n in [*names, SCAN]}
        names.sort(key=medians.__getitem__)
        told = ", ".join(
            f"{name.removeprefix(JAXTEXT)} {medians[name]:.2f}"
            for name in [*names, SCAN]
        )
        backends = tuple(name.removeprefix(JAXTEXT) for name in names or [SCAN])
        said = f"{told} ms with the gradient on {hardware['device']} ({path})"
        platform = hardware["backend"]
        key = work.cell, work.dtype, work.resets, (work.hidden, work.batch)
        lines.append(f"Row({', '.join(map(repr, (platform, backends, said, *key)))}),")
    return lines


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table and the rows."""
    results, left_out = read(tyro.cli(Config, args=argv).results)
    for path, why in left_out.items():
        say(f"left out: {path}: {why}")
    rows = [row for result in results.values() for row in result["rows"]]
    print(table(rows), "For jaxtext/evidence.py:\n", sep="\n")
    for path, result in results.items():
        print(*evidence(path, result), sep="\n")
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
