"""What data parallelism costs beyond the work, and what slices of TPUs make of it.

    python benchmarks/scaling.py --out benchmarks/results/scaling-cpu-2-cores.json
    python benchmarks/scaling.py --predict --out benchmarks/results/scaling-tpu.json

Simulated devices share the cores of one machine, so that more of them are no faster:
what is measured is the step's time on n devices over that of the same batch on one
device, by plain ``jax.jit``. All are timed in turns. Strong: the batch stays; weak:
each device has as many streams.

``--predict`` has experiments/compile_tpu.py, which needs libtpu, compile the step for
slices that are not there: a bound by the chips and the links between them, and no
measurement. The last line on standard output is one JSON object.
"""

import os

# Before JAX is imported. More threads than cores: devices that wait for one another
# starve on fewer.
_COUNT = "--xla_force_host_platform_device_count=8"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_COUNT}".strip()
os.environ["NPROC"] = "32"

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import optax
import record
import tyro
from timing import interleave, spread, visit

import jaxtext as jt

DEVICES = (1, 2, 4, 8)
STRATEGIES: tuple[Literal["pmap", "sharded"], ...] = ("pmap", "sharded")
STEPS = 10  # of one repetition
SLICES = ("1x1", "2x2", "2x4", "4x4", "8x8", "16x16")
MODEL = (
    *("--cell", "lstm", "--layers", "2", "--hidden", "1024"),
    *("--seq-len", "128", "--dtype", "bfloat16"),
)
COMPILE = Path(__file__).parents[1] / "experiments" / "compile_tpu.py"


@dataclass(frozen=True)
class Config:
    """Measure, or predict, how a training step scales."""

    hidden: int = 256
    """Width of the LSTM."""
    batch_size: int = 64
    """Streams of the whole batch (strong), and of 8 devices together (weak)."""
    seq_len: int = 32
    """Characters of each stream in a batch."""
    seconds: float = 60.0
    """How long to time, everybody together."""
    predict: bool = False
    """Predict for TPUs: 256 streams a chip (weak), or 4096 in all (strong)."""
    chips: tuple[str, ...] = ("v5e", "v6e")
    """Generations to predict for."""
    out: Path | None = None
    """Also write the JSON to this file."""


def trainer(config: Config, size: int, n: int, strategy) -> Callable[[], object]:
    """Takes `STEPS` steps at each call; strategy ``jit`` knows of one device alone."""
    model = jt.LanguageModel(jt.stack(jt.lstm(config.hidden)), 65)
    optimizer = optax.adamw(1e-3)
    ids = np.random.default_rng(0).integers(0, 65, 200_000).astype(np.uint8)
    streams = jt.text.Streams(ids, size, config.seq_len)
    batch = streams.batch(0, 1)
    state = jt.training.create_state(model, optimizer, jax.random.key(0), size)
    if strategy == "jit":
        train_step = jt.training.make_train_step(model, optimizer)
        step: Any = jax.jit(train_step, donate_argnums=0)
        shard = jax.device_put
    else:
        devices = jax.devices()[:n]
        parallel = jt.training.data_parallel(
            model, optimizer, size, devices, strategy=strategy
        )
        state, step, shard = parallel.place(state), parallel.step, parallel.shard

    now = [state]

    def run():
        metrics = None
        for _ in range(STEPS):
            before = metrics
            now[0], metrics = step(now[0], shard(batch))
            jax.block_until_ready(before)  # two steps are under way, never more
        return jax.block_until_ready(now[0])

    return run


def measure(config: Config) -> dict[str, Any]:
    """Times everybody, and returns the result."""
    each = config.batch_size // max(DEVICES)
    sizes = {"strong": lambda n: config.batch_size, "weak": lambda n: n * each}
    wanted = {
        (size(n), n, strategy)
        for size in sizes.values()
        for n in DEVICES
        for strategy in ("jit", *STRATEGIES)
    }
    wanted = {(size, 1 if how == "jit" else n, how) for size, n, how in wanted}
    trainers = {key: trainer(config, *key) for key in sorted(wanted)}
    for run in trainers.values():
        run()  # compiles
    times = interleave(
        {key: lambda run=run: visit(run, 0.3) for key, run in trainers.items()},
        rounds=1000,
        seconds=config.seconds,
    )
    found = {key: spread(values) for key, values in times.items()}
    rows = []
    for scaling, size in sizes.items():
        for n in DEVICES:
            alone = found[size(n), 1, "jit"]["median_ms"] / STEPS
            for strategy in STRATEGIES:
                one = {k: v / STEPS for k, v in found[size(n), n, strategy].items()}
                row = {"scaling": scaling, "devices": n, "strategy": strategy}
                row |= {"batch_size": size(n), "jit_one_device_ms": alone, **one}
                row["over_jit"] = one["median_ms"] / alone
                rows.append(row)
                print(
                    f"{scaling:6} {n} devices, {strategy:7} batch {size(n):3}: "
                    f"{one['median_ms']:8.2f} ms, {row['over_jit']:.2f} x one device",
                    file=sys.stderr,
                )
    names = ("hidden", "batch_size", "seq_len")
    shape = {name: getattr(config, name) for name in names}
    return {"rows": rows, **shape, **record.environment()}


def predict(config: Config) -> dict[str, Any]:
    """Compiles for each slice, and returns what bounds a step there."""
    rows, first = [], {}
    for chip in config.chips:
        for extent in SLICES:
            chips = int(np.prod([int(x) for x in extent.split("x")]))
            for scaling, size in (("weak", 256 * chips), ("strong", 4096)):
                found = compile_for(f"{chip}:{extent}", size, max(1, 16 // chips))
                if not found["fits"]:
                    continue
                limits = {k: 1e6 * v for k, v in found["bound_seconds"].items()}
                per_chip = found["bound_characters_per_second"] / chips
                best = first.setdefault((chip, scaling), per_chip)
                row = {"chip": chip, "scaling": scaling, "chips": chips}
                row |= {"batch_size": size, "slices": found["slices"]}
                row["exchanged_bytes"] = sum(c["bytes"] for c in found["collectives"])
                row |= {f"{k}_us": v for k, v in limits.items()}
                row["characters_per_second_and_chip"] = per_chip
                row["efficiency"] = per_chip / best
                rows.append(row)
                print(
                    f"{scaling:6} {chip}:{extent:5} batch {size:6}: at least "
                    f"{limits['step']:9,.0f} µs, of them links {limits['links']:4,.0f};"
                    f" efficiency {row['efficiency']:.1%}",
                    file=sys.stderr,
                )
    return {"rows": rows, "model": MODEL, "versions": record.versions()}


def compile_for(topology: str, size: int, slices: int) -> dict[str, Any]:
    """What compile_tpu.py finds of the step on a slice."""
    flags = ["--topology", topology, "--batch-size", str(size), "--slices", str(slices)]
    done = subprocess.run(
        [sys.executable, str(COMPILE), *MODEL, *flags],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main(argv: Sequence[str] | None = None) -> int:
    """Measures or predicts, and prints the result as the last line."""
    config = tyro.cli(Config, args=argv)
    result = predict(config) if config.predict else measure(config)
    record.print_last_line(result, config.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
