"""The times of each backend on a GPU as one table: what `auto` has to choose from.

    python benchmarks/gpu_table.py OUT.parts

Reads what cells.py left in a directory, and prints Markdown: for each cell, type and
shape the milliseconds of every backend and of the libraries beside them, forward and
with the gradient, and which backend is fastest.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from contestants_jax import JAXTEXT
from graphs import GRAPHS
from report import workload
from workload import DIRECTIONS

from jaxtext.streams import script


@dataclass(frozen=True)
class Config:
    """Print the times of each backend on a GPU as one table."""

    directory: tyro.conf.Positional[Path]
    """Where the results of cells.py are."""


def read(directory: Path) -> list[dict[str, Any]]:
    """The rows of all results of cells.py in a directory."""
    found = [json.loads(p.read_text("utf-8")) for p in sorted(directory.glob("*.json"))]
    rows = [row for result in found for row in result.get("rows", ())]
    return [row for row in rows if row.get("direction") in DIRECTIONS]


def table(rows: list[dict[str, Any]]) -> str:
    """The table in Markdown, a line for each cell, type, shape and direction."""
    libraries = list(dict.fromkeys(row["library"] for row in rows))
    times: dict[tuple, dict[str, float]] = {}
    for row in rows:
        key = workload(row), row["direction"]
        times.setdefault(key, {})[row["library"]] = row["median_ms"]
    heads = ["cell, B x T x D x H", "type", "direction", *libraries, "fastest backend"]
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    for (work, direction), found in times.items():
        fastest = min(filter(_may_be_chosen, found), key=found.__getitem__, default="")
        numbers = [f"{found[n]:.3f}" if n in found else "" for n in libraries]
        last = fastest.removeprefix(JAXTEXT)
        cells = [work.name(), work.dtype, direction, *numbers, last]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _may_be_chosen(library):
    """XLA's flags, and with them CUDA graphs, are the user's to set, not `auto`'s."""
    return library.startswith(JAXTEXT) and not library.endswith(GRAPHS)


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table."""
    config = tyro.cli(Config, args=argv)
    print(table(read(config.directory)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
