"""Where the time of a training step goes on the device: a profile of a few steps.

    python benchmarks/step_profile.py --flags="--preset shakespeare --backend fused"
    python benchmarks/step_profile.py --trace profile    # keeps it for XProf, Perfetto

JAX's profiler records training steps of char_gen.py with these flags. The operations
that the device ran are added up by name. The last line on standard output is one JSON
object.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import contextlib
import re
import shlex
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from loops.experiment import training
from measuring import record
from measuring.command import command
from measuring.trace import operations

from jaxtext.streams import say
from jaxtext.training.loop import run as run_steps

WARM_UP = 5  # steps; the first one compiles


@dataclass(frozen=True)
class Config:
    """Profile training steps."""

    flags: str = "--preset shakespeare"
    """Flags of char_gen.py, quoted as in a shell."""
    steps: int = 10
    """How many steps to record."""
    most: int = 25
    """How many kinds of operations to report: those that take longest."""
    trace: Path | None = None
    """Keep the recording in this directory, beside earlier ones."""
    out: Path | None = None
    """Also write the JSON to this file."""


def record_steps(config: Config, folder: Path) -> None:
    """Takes the steps while JAX's profiler writes to a directory.

    Raises:
      InputError: If char_gen.py would refuse the flags.
    """
    of, last = training(shlex.split(config.flags)), WARM_UP + config.steps
    steps = run_steps(of.parallel, of.parallel.place(of.state), of.batch, 0, last)
    with contextlib.ExitStack() as recording:
        for progress in steps:
            if progress.step == WARM_UP:
                jax.block_until_ready(progress.state)
                recording.enter_context(jax.profiler.trace(folder))
            if progress.step == last:
                jax.block_until_ready(progress.state)


def added_up(config: Config, found: list[tuple[str, float, float]]) -> dict[str, Any]:
    """Adds up the time of each kind of operation, and the time with any at all."""
    totals, counts = defaultdict(float), defaultdict(int)
    for name, _, duration in found:
        kind = re.sub(r"[._]\d+$", "", name)
        totals[kind] += duration
        counts[kind] += 1
    busy, end = 0.0, -1.0
    for _, begin, duration in sorted(found, key=lambda each: each[1]):
        busy += max(0.0, begin + duration - max(begin, end))
        end = max(end, begin + duration)
    span = end - min((begin for _, begin, _ in found), default=end)
    rows = [
        {
            "operation": kind,
            "ms_a_step": totals[kind] / 1e3 / config.steps,
            "a_step": counts[kind] / config.steps,
        }
        for kind in sorted(totals, key=lambda kind: -totals[kind])[: config.most]
    ]
    return {
        "rows": rows,
        "step_ms": span / 1e3 / config.steps,
        "busy_ms": busy / 1e3 / config.steps,
        "operations_a_step": len(found) / config.steps,
    }


def measure(config: Config) -> dict[str, Any]:
    """Records the steps and adds up their operations, and returns the result."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = config.trace or Path(scratch)
        record_steps(config, folder)
        result = added_up(config, operations(folder))
    for row in result["rows"]:
        say(
            f"{row['ms_a_step']:10.3f} ms {row['a_step']:8.1f} times  "
            f"{row['operation'][:80]}"
        )
    say(
        f"a step takes {result['step_ms']:.3f} ms; the device is busy for "
        f"{result['busy_ms']:.3f} ms of it, with {result['operations_a_step']:.0f} "
        "operations"
    )
    return {**result, "flags": config.flags, **record.environment()}


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
