"""What data parallelism costs, and an upper bound on its speed on slices of TPUs.

    python benchmarks/scaling.py --out benchmarks/results/scaling-cpu-2-cores.json
    python benchmarks/scaling.py --predict --out benchmarks/results/scaling-tpu.json

Simulated devices share the cores of one machine, so more of them are not faster. What
is measured is the time of a step on n devices, divided by that of the same batch on one
device with plain ``jax.jit``. All programs are timed in turns. With strong scaling the
batch stays the same; with weak scaling each device has the same number of streams.

``--predict`` runs experiments/compile_tpu.py, which needs libtpu. It compiles the step
for slices that this machine does not have. The result is an upper bound on speed, from
the chips and the links between them, not a measurement. The last line on standard
output is one JSON object.
"""

import os

# Before JAX is imported. Devices that wait for one another need a thread each, even if
# there are fewer cores.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault("NPROC", "32")

import jaxtext.needs_experiments

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import optax
from measuring import record
from measuring.command import chosen, command
from measuring.timing import in_turns

import jaxtext as jt
from jaxtext.streams import say

STRATEGIES: tuple[Literal["pmap", "sharded"], ...] = ("pmap", "sharded")
STEPS = 5  # of one repetition
MODEL = (
    *("--cell", "lstm", "--layers", "2", "--hidden", "1024"),
    *("--seq-len", "128", "--dtype", "bfloat16"),
)
AT_ONCE = 256  # streams of a chip; with more, it accumulates gradients
COMPILE = Path(__file__).parents[1] / "experiments" / "compile_tpu.py"


@dataclass(frozen=True)
class Config:
    """Measure, or predict, how a training step scales."""

    hidden: int = 256
    """Width of the LSTM."""
    batch_size: int = 64
    """Streams of the whole batch (strong scaling), or of 8 devices together (weak)."""
    seq_len: int = 32
    """Characters of each stream in a batch."""
    devices: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of simulated devices, at most 8."""
    seconds: float = 120.0
    """Time for all programs together."""
    visit_seconds: float = 0.5
    """Time for a program when its turn comes."""
    predict: bool = False
    """Predict for TPUs, with 256 streams a chip (weak) and 4096 in all (strong)."""
    chip: str = "v5e"
    """Generation to predict for."""
    extents: tuple[str, ...] = ("2x2", "4x4", "16x16")
    """Slices to predict for."""
    out: Path | None = None
    """Also write the JSON to this file."""


def trainer(config: Config, size: int, n: int, strategy) -> Callable[[], object]:
    """A function that takes `STEPS` steps. Strategy ``jit`` uses one device only."""
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
    """Times all programs, and returns the result."""
    load, _, _ = os.getloadavg()  # from other processes: nothing has run here yet
    each = config.batch_size // max(config.devices)
    sizes = {"strong": lambda n: config.batch_size, "weak": lambda n: n * each}
    wanted = {
        (size(n), n, strategy)
        for size in sizes.values()
        for n in config.devices
        for strategy in ("jit", *STRATEGIES)
    }
    wanted = {(size, 1 if how == "jit" else n, how) for size, n, how in wanted}
    trainers = {key: trainer(config, *key) for key in sorted(wanted)}
    found = in_turns(
        trainers, visit_seconds=config.visit_seconds, seconds=config.seconds
    )
    rows = []
    for scaling, size in sizes.items():
        for n in config.devices:
            alone = found[size(n), 1, "jit"]["median_ms"] / STEPS
            for strategy in STRATEGIES:
                one = {k: v / STEPS for k, v in found[size(n), n, strategy].items()}
                row = {"scaling": scaling, "devices": n, "strategy": strategy}
                row |= {"batch_size": size(n), "jit_one_device_ms": alone, **one}
                row["over_jit"] = one["median_ms"] / alone
                rows.append(row)
                say(
                    f"{scaling:6} {n} devices, {strategy:7} batch {size(n):3}: "
                    f"{one['median_ms']:8.2f} ms, {row['over_jit']:.2f} x one device"
                )
    shape = chosen(config, "hidden", "batch_size", "seq_len")
    return {"rows": rows, **shape, "load_before": load, **record.environment()}


def predict(config: Config) -> dict[str, Any]:
    """Compiles for each slice, and returns the bounds on a step there."""
    rows = []
    for scaling in ("weak", "strong"):
        for extent in config.extents:
            chips = prod(int(x) for x in extent.split("x"))
            size = AT_ONCE * chips if scaling == "weak" else 4096
            found = compile_for(f"{config.chip}:{extent}", size, chips)
            limits = {f"{k}_us": 1e6 * v for k, v in found["bound_seconds"].items()}
            row = {"scaling": scaling, "chip": config.chip, "chips": chips}
            row |= {name: found[name] for name in ("batch_size", "slices", "backends")}
            row |= {"collectives": found["collectives"], **limits}
            row["characters_per_second"] = found["bound_characters_per_second"]
            # Not a bound: slower work makes it larger, slower links make it smaller.
            row["efficiency"] = 1 - row["links_us"] / row["step_us"]
            rows.append(row)
            say(
                f"{scaling:6} {config.chip}:{extent:5} batch {size:6}: at least "
                f"{row['step_us']:9,.0f} µs, of them links {row['links_us']:4,.0f}; "
                f"{row['efficiency']:.1%} of it is work"
            )
    return {"rows": rows, "model": MODEL, "versions": record.versions()}


@cache
def compile_for(topology: str, size: int, chips: int) -> dict[str, Any]:
    """What compile_tpu.py reports about the step on a slice."""
    slices = max(1, size // chips // AT_ONCE)
    flags = ["--topology", topology, "--batch-size", str(size), "--slices", str(slices)]
    # The compiler for TPUs would read the flags that are meant for CPUs.
    own = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, str(COMPILE), *MODEL, *flags],
        check=False,
        capture_output=True,
        text=True,
        env=own,
    )
    if done.returncode != 0:
        raise SystemExit(f"{topology}, batch {size}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure_or_predict(config: Config) -> dict[str, Any]:
    """What the flags ask for."""
    return predict(config) if config.predict else measure(config)


main = command(Config, measure_or_predict)

if __name__ == "__main__":
    sys.exit(main())
