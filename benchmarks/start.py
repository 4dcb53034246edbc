"""How long a run takes to start: seconds from its process to the loss of a first step.

    python benchmarks/start.py --out benchmarks/results/start.json
    python benchmarks/start.py --roots . ../before

Each run of ``char_gen.py`` is a process of its own in a new directory, and is stopped
once it has told a loss. Its text is in the cache. *Cold* runs compile all programs.
*Warm* runs are what a second start is: a run before them has filled the cache that the
checkout keeps by default, if it keeps one. With several checkouts, their runs take
turns. The last line on standard output is one JSON object.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import record
from measuring.command import chosen, command

from jaxtext.errors import InputError
from jaxtext.streams import say

OWN = Path(__file__).parents[1]
MARKS = {"corpus ": "read", "planned: ": "planned", "training ": "first_step"}


@dataclass(frozen=True)
class Config:
    """Time the start of a run."""

    presets: tuple[str, ...] = ("modern", "cpu-3min")
    """Presets of char_gen.py."""
    corpus: str = "stdlib"
    """Text to train on, as for char_gen.py."""
    roots: tuple[Path, ...] = (OWN,)
    """Checkouts whose char_gen.py is started. Default: this one."""
    rounds: int = 5
    """How many times each is started."""
    out: Path | None = None
    """Also write the JSON to this file."""


def started(
    root: Path, flags: Sequence[str], cache: Path, warm: bool
) -> dict[str, float]:
    """Starts a run and stops it: the seconds at which it said what `MARKS` lists.

    Args:
      root: The checkout.
      flags: Those of the run.
      cache: In the place of the user's cache directory.
      warm: Whether compiled programs may be read from it.

    Raises:
      InputError: If the run ends before its first step.
    """
    root = root.resolve()
    of_jax = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
    environment = {k: x for k, x in os.environ.items() if k not in of_jax}
    environment |= {"PYTHONPATH": str(root), "JAXTEXT_CACHE": str(cache)}
    environment["JAX_ENABLE_COMPILATION_CACHE"] = str(warm).lower()
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        words = [str(root / "experiments" / "char_gen.py"), *flags]
        words = [sys.executable, *words, "--workdir", str(Path(folder) / "run")]
        begin, pipe = time.perf_counter(), subprocess.PIPE
        with subprocess.Popen(
            words, env=environment, stderr=pipe, stdout=pipe, text=True
        ) as process:
            said = []
            for line in process.stderr or ():
                said.append(line)
                for words, mark in MARKS.items():
                    if line.startswith(words):
                        found.setdefault(mark, time.perf_counter() - begin)
                if "first_step" in found:
                    break
            process.kill()
    if "first_step" not in found:
        raise InputError(f"{' '.join(flags)} trained nothing: {''.join(said)}")
    return found


def measure(config: Config) -> dict[str, Any]:
    """Times all starts in turns, and returns the result.

    Raises:
      InputError: If a run ends before its first step.
    """
    rows = []
    with tempfile.TemporaryDirectory() as caches:
        ways = [
            (preset, root, Path(caches, str(n)), warm)
            for preset in config.presets
            for warm in (False, True)
            for n, root in enumerate(config.roots)
        ]

        def once(preset, root, cache, warm):
            flags = "--preset", preset, "--corpus", config.corpus
            return started(root, flags, cache, warm)

        for way in ways:
            once(*way)  # the text and the programs are in their caches from now on
        times: list[list[dict[str, float]]] = [[] for _ in ways]
        for _ in range(config.rounds):
            for way, into in zip(ways, times, strict=True):
                into.append(once(*way))
    for (preset, root, _, warm), found in zip(ways, times, strict=True):
        median = {
            f"{mark}_seconds": statistics.median(each[mark] for each in found)
            for mark in MARKS.values()
        }
        where = "." if root == OWN else str(root)
        rows.append({"preset": preset, "root": where, "warm": warm})
        rows[-1] |= median
        kind = "warm" if warm else "cold"
        say(f"{median['first_step_seconds']:6.2f} s  {kind}  {preset}  {where}")
    return {"rows": rows, **chosen(config, "corpus", "rounds"), **record.environment()}


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
