"""A notebook's first ten cells: the seconds that each takes, outside ``jax.jit``.

    python benchmarks/notebook.py --out benchmarks/results/notebook-cpu-2-cores.json
    python benchmarks/notebook.py --before ../before --rounds 5
    python benchmarks/notebook.py --libraries jaxtext flax

Each round is a new process for each library, in turns, without a cache of compiled
programs. The first cell imports the libraries. An LSTM of 128 units reads 8 sequences
of 64 vectors, then 80 of them; a model writes 100 symbols after 9, then after 12.
The last line on standard output is one JSON object.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import record
from measuring.command import chosen, command
from measuring.jobs import CHECKOUT

from jaxtext.errors import InputError
from jaxtext.streams import say

NOTEBOOKS = {
    "jaxtext": "notebooks.ours",
    "flax": "notebooks.with_nnx",
    "equinox": "notebooks.with_equinox",
}
BEFORE = "jaxtext, before"
_OF_THE_CACHE = (
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
)


@dataclass(frozen=True)
class Config:
    """Time a notebook's first cells."""

    libraries: tuple[str, ...] = tuple(NOTEBOOKS)
    """Which to time."""
    before: Path | None = None
    """Another checkout whose jaxtext is timed beside this one."""
    rounds: int = 3
    """How many times each notebook runs. Times are medians."""
    out: Path | None = None
    """Also write the JSON to this file."""


def in_a_process(module: str, root: Path) -> dict[str, float]:
    """The seconds of each cell in a new process, with the jaxtext of a checkout.

    Raises:
      InputError: If the notebook fails.
    """
    environment = {k: x for k, x in os.environ.items() if k not in _OF_THE_CACHE}
    environment["PYTHONPATH"] = str(root.resolve())
    words = [sys.executable, "-m", "notebooks.worker", module]
    here = Path(__file__).parent  # the first place that Python looks for modules in
    done = subprocess.run(
        words, cwd=here, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2]
        raise InputError(f"{module} with {root} failed: {said}")
    return json.loads(done.stdout)


def measure(config: Config) -> dict[str, Any]:
    """Times all notebooks in turns, and returns the result.

    Raises:
      InputError: If a library is not known, or its notebook fails.
    """
    if unknown := set(config.libraries) - set(NOTEBOOKS):
        known = ", ".join(NOTEBOOKS)
        raise InputError(f"libraries: expected {known}, got {', '.join(unknown)}")
    ways = {name: (NOTEBOOKS[name], CHECKOUT) for name in config.libraries}
    if config.before is not None:
        ways[BEFORE] = NOTEBOOKS["jaxtext"], config.before
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(config.rounds):
        for name, way in ways.items():
            rounds[name].append(in_a_process(*way))
            say(f"{sum(rounds[name][-1].values()):6.2f} s  {name}")
    rows = [
        {
            "library": name,
            "seconds": {
                cell: round(statistics.median(each[cell] for each in found), 4)
                for cell in found[0]
            },
        }
        for name, found in rounds.items()
    ]
    return {"rows": rows, **chosen(config, "rounds"), **record.environment()}


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
