"""Writes the tables of the pages from the files of results.

    python benchmarks/tables.py            # or: make tables
    python benchmarks/tables.py --check    # names the pages that are not up to date

A table stands between two comments, ``<!-- table: NAME -->`` and ``<!-- end of table
-->``. Everything else in a page stays as it is.

Exit status: 0 done, or all up to date; 1 with --check, if a page is not; 2 bad input.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import tyro
from measuring.jobs import CHECKOUT
from pages import marks, speed, text

from jaxtext.streams import say, script

PAGES = ("README.md", "RESULTS.md", "benchmarks/README.md")
TABLES: dict[str, Callable[[], str]] = {
    "cells, with gradient": partial(speed.cells, "forward_backward"),
    "cells, forward": partial(speed.cells, "forward"),
    "cells, means": speed.means,
    "training": speed.training,
    "remat": speed.remat,
    "sampling": speed.sampling,
    "notebook": speed.notebook,
    "ppo": speed.ppo,
    "text": text.best,
    "cpu-3min": partial(
        text.study,
        "cpu-3min",
        *("seeds", "parameters", "passes", "best, cold-256", "best, carried"),
        *("last, cold-256", "last, carried", "train", "wall, s", "chars/s"),
    ),
    "two layers of each": partial(
        text.study,
        "cells",
        *("seeds", "parameters", "passes", "last, cold-256", "last, carried", "train"),
        "chars/s",
    ),
    "names": partial(
        text.study,
        "names",
        *("seeds", "parameters", "passes", "last, a symbol", "best, a symbol"),
        *("train", "chars/s"),
    ),
    "ablation": partial(
        text.study,
        "ablation",
        *("seeds", "parameters", "last, cold-256", "difference", "last, carried"),
        "train",
    ),
    "shakespeare": partial(
        text.study,
        "shakespeare",
        *("seeds", "parameters", "passes", "best, cold-256", "best, carried"),
        *("last, cold-256", "last, carried", "dynamic, carried", "train"),
    ),
}


@dataclass(frozen=True)
class Config:
    """Write the tables of the pages from the files of results."""

    check: bool = False
    """Write nothing; name the pages that are not up to date."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Fills the pages, and returns the exit status."""
    config = tyro.cli(Config, args=argv)
    stale = 0
    for name in PAGES:
        path = CHECKOUT / name
        page = path.read_text("utf-8")
        filled = marks.fill(page, TABLES)
        if filled == page:
            continue
        stale += 1
        if config.check:
            say(f"{name} is not up to date: run make tables")
        else:
            path.write_text(filled, "utf-8")
            say(f"wrote the tables of {name}")
    return int(config.check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
