"""Where the time of a training step goes on the device: a profile of a few steps.

    python benchmarks/step_profile.py --flags="--preset shakespeare --backend fused"
    python benchmarks/step_profile.py --trace profile    # keeps it for XProf, Perfetto

The steps are those of char_gen.py with such flags. JAX's profiler records them, and
the operations that the device ran are added up by name. The last line on standard
output is one JSON object.
"""

import jaxtext.needs_experiments

import contextlib
import gzip
import json
import re
import shlex
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "experiments"))

import jax
import tyro
from measuring import record

import jaxtext as jt
from charlm.batches import build_batches, fit
from charlm.build import build_trainer
from charlm.parse import parse
from jaxtext.streams import script
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
    """How many kinds of operations to tell, those that take longest."""
    trace: Path | None = None
    """Keep what was recorded in this directory, beside what is there."""
    out: Path | None = None
    """Also write the JSON to this file."""


def record_steps(config: Config, folder: Path) -> None:
    """Takes the steps, and has JAX's profiler write to a directory.

    Raises:
      InputError: If char_gen.py would refuse the flags.
    """
    of = parse(shlex.split(config.flags))
    corpus = jt.text.load(of.corpus, limit=of.characters)
    text, _ = jt.text.split(corpus.ids, of.val_fraction)
    batches = build_batches(of, text, fit(of, len(text)))
    trainer = build_trainer(of, len(corpus.vocabulary), batches.batch_size)
    state = trainer.parallel.place(trainer.create(jax.random.key(of.seed)))
    last = WARM_UP + config.steps
    steps = run_steps(trainer.parallel, state, partial(batches.batch, 0), 0, last)
    with contextlib.ExitStack() as recording:
        for progress in steps:
            if progress.step == WARM_UP:
                jax.block_until_ready(progress.state)
                recording.enter_context(jax.profiler.trace(folder))
            if progress.step == last:
                jax.block_until_ready(progress.state)


def operations(folder: Path) -> list[tuple[str, float, float]]:
    """What the device ran: names, beginnings and durations in microseconds.

    Of several recordings in the directory the newest one counts.
    """
    paths = folder.rglob("*.trace.json.gz")
    path = max(paths, key=lambda path: path.stat().st_mtime_ns)
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    processes, threads = {}, {}
    for event in events:
        if event.get("name") == "process_name":
            processes[event["pid"]] = event["args"]["name"]
        elif event.get("name") == "thread_name":
            threads[event["pid"], event["tid"]] = event["args"]["name"]
    devices = {pid for pid, name in processes.items() if name.startswith("/device:")}

    def counts(event):
        if event.get("ph") != "X":
            return False
        if not devices:  # a CPU, whose operations are among the host's threads
            return "hlo_op" in event.get("args", {})
        # Other rows of a device tell the same again, by operation and by module.
        thread = threads.get((event["pid"], event["tid"]), "")
        return event["pid"] in devices and thread.startswith("Stream")

    return [(e["name"], e["ts"], e.get("dur", 0.0)) for e in events if counts(e)]


def added_up(config: Config, found: list[tuple[str, float, float]]) -> dict[str, Any]:
    """Time by kind of operation, and for how much of the time there was any."""
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
    """Records and adds up, and returns the result."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = config.trace or Path(scratch)
        record_steps(config, folder)
        result = added_up(config, operations(folder))
    for row in result["rows"]:
        print(
            f"{row['ms_a_step']:10.3f} ms {row['a_step']:8.1f} times  "
            f"{row['operation'][:80]}",
            file=sys.stderr,
        )
    print(
        f"a step takes {result['step_ms']:.3f} ms, in {result['busy_ms']:.3f} of which "
        f"the device is busy, {result['operations_a_step']:.0f} operations",
        file=sys.stderr,
    )
    return {**result, "flags": config.flags, **record.environment()}


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Measures, and prints the result as the last line."""
    config = tyro.cli(Config, args=argv)
    record.print_last_line(measure(config), config.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
