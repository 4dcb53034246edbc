"""The speed of one JAX beside another: cells and training steps in environments.

    python benchmarks/versions.py OLD/bin/python NEW/bin/python \
        --out benchmarks/results/versions-cpu-2-cores.json

Two versions of JAX cannot share a process. So cells.py and train.py run in each
environment in turn, round after round, and the medians of the rounds are compared. The
last line on standard output is one JSON object; everything else goes to standard error.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import tyro
from measuring import record
from measuring.command import command
from measuring.jobs import CHECKOUT

from jaxtext.streams import say


@dataclass(frozen=True)
class Config:
    """Compare the speed of jaxtext in several environments."""

    pythons: tyro.conf.Positional[tuple[Path, ...]]
    """The Python of each environment. Ratios are to the first one."""
    shapes: tuple[str, ...] = ("64x100x128", "64x100x512", "1x1000x256")
    """Shapes of the cells, as for cells.py."""
    rounds: int = 3
    """Number of rounds."""
    seconds: float = 3.0
    """Time for each workload in a round."""
    out: Path | None = None
    """Also write the JSON to this file."""


def measure(config: Config) -> dict[str, Any]:
    """Runs both scripts in turns, and returns the result."""
    commands = (
        (
            "benchmarks/cells.py",
            "--backends",
            "auto",
            "--libraries",
            "--shapes",
            *config.shapes,
        ),
        ("benchmarks/train.py", "--cells", "lstm", "gru"),
    )
    times: dict[str, list[list[float]]] = {}
    versions: list[dict[str, str]] = [{} for _ in config.pythons]
    for number in range(config.rounds):
        for place, python in enumerate(config.pythons):
            say(f"round {number + 1}: {python}")
            for program, *flags in commands:
                words = [
                    python,
                    CHECKOUT / program,
                    *flags,
                    "--seconds",
                    config.seconds,
                ]
                done = subprocess.run(
                    list(map(str, words)),
                    check=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
                result = json.loads(done.stdout.splitlines()[-1])
                versions[place] = result["versions"]
                for name, milliseconds in _times(program, result):
                    found = times.setdefault(name, [[] for _ in config.pythons])
                    found[place].append(milliseconds)
    rows = []
    for name, found in times.items():
        medians = [median(each) for each in found]
        ratios = [each / medians[0] for each in medians]
        rows.append({"what": name, "ms": medians, "ratios": ratios, "rounds": found})
    return {"rows": rows, "environments": versions, **record.environment()}


def _times(program, result):
    for row in result["rows"]:
        if program.endswith("cells.py"):
            sizes = "x".join(str(row[axis]) for axis in ("batch", "time", "hidden"))
            yield f"{row['cell']} {sizes} {row['direction']}", row["median_ms"]
        elif row["library"] == "jaxtext":
            yield f"{row['cell']} training step", row["median_ms"]


def table(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    heads = [f"JAX {found['jax']}, ms" for found in result["environments"]]
    lines = [f"| | {' | '.join(heads)} | ratio |", "| --- " * (len(heads) + 2) + "|"]
    for row in result["rows"]:
        times = " | ".join(f"{ms:.2f}" for ms in row["ms"])
        lines.append(f"| {row['what']} | {times} | {row['ratios'][-1]:.2f} |")
    return "\n".join(lines)


main = command(Config, measure, table=table)

if __name__ == "__main__":
    sys.exit(main())
