"""The speed of one commit beside another: the same programs by two checkouts, in turn.

    git worktree add /tmp/before main
    python benchmarks/commits.py /tmp/before --out benchmarks/results/before-after.json

Two versions of jaxtext cannot share a process, so each has its own, with the packages
of this one. They take turns, round by round. The result is the median of the rounds'
ratios: above 1, this checkout is slower. The last line on standard output is one JSON
object; everything else goes to standard error.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any, Literal

import tyro
from measuring import record
from measuring.command import command
from measuring.jobs import CHECKOUT
from measuring.workload import parse_shape

from jaxtext.streams import say

WORKER = Path(__file__).with_name("commit_worker.py")


@dataclass(frozen=True)
class Config:
    """Compare the speed of this checkout with that of another."""

    before: tyro.conf.Positional[Path]
    """The other checkout. Ratios are to it."""
    cells: tuple[str, ...] = ("lstm", "gru")
    """Names of the cells' constructors."""
    shapes: tuple[str, ...] = ("16x128x128", "64x100x128", "64x100x256", "1x1000x256")
    """Shapes of the cells, as for cells.py."""
    programs: tuple[Literal["forward", "gradient", "symbols"], ...] = (
        "forward",
        "gradient",
        "symbols",
    )
    """The forward pass, the gradient, or the gradient with symbols as inputs."""
    rounds: int = 15
    """Number of rounds: turns of each checkout."""
    seconds: float = 0.12
    """Length of a turn."""
    out: Path | None = None
    """Also write the JSON to this file."""


@contextlib.contextmanager
def worker(checkout: Path) -> Iterator[Callable[[list[Any], int], float]]:
    """Starts a process that times a checkout: ``(program, runs) -> seconds a run``."""
    process = subprocess.Popen(
        [sys.executable, str(WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(checkout.absolute())},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    given, said = process.stdin, process.stdout

    def ask(program, runs):
        print(json.dumps([program, runs]), file=given, flush=True)
        return float(said.readline())

    with process:
        yield ask
        given.close()


def measure(config: Config) -> dict[str, Any]:
    """Times all programs in turns, and returns the result."""
    rows = []
    with worker(config.before) as before, worker(CHECKOUT) as after:
        for cell in config.cells:
            for shape in map(parse_shape, config.shapes):
                for kind in config.programs:
                    row = _compare([cell, *shape, kind], before, after, config)
                    what, ratio, ms = row["what"], row["ratio"], row["before_ms"]
                    say(f"{what}: {ratio:.3f} of {ms:.2f} ms")
                    rows.append(row)
    mean = geometric_mean(row["ratio"] for row in rows)
    return {"rows": rows, "geometric_mean": mean, **record.environment()}


def _compare(program, before, after, config):
    both = before, after
    for ask in both:
        ask(program, 1)  # compiles
    runs = max(1, int(config.seconds / max(ask(program, 1) for ask in both)))
    times = []
    for number in range(config.rounds):
        turn = reversed(both) if number % 2 else both
        seconds = {ask: ask(program, runs) for ask in turn}
        times.append([seconds[before], seconds[after]])
    return {
        "what": " ".join(map(str, program)),
        "ratio": median(new / old for old, new in times),
        "before_ms": 1e3 * median(old for old, _ in times),
        "rounds_ms": [[1e3 * x for x in pair] for pair in times],
    }


def told(result: dict[str, Any]) -> str:
    """The result in words."""
    return f"geometric mean {result['geometric_mean']:.3f}"


main = command(Config, measure, table=told)

if __name__ == "__main__":
    sys.exit(main())
