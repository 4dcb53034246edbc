"""What saving costs a training run, on a disk and in buckets.

    python benchmarks/saving.py --out benchmarks/results/saving.json
    python tests/object_store.py \
        python benchmarks/saving.py --places s3://bucket/saving gs://bucket/saving

`python tests/object_store.py COMMAND` serves both buckets on this machine while the
command runs; the servers then take their time from the same processors.

The **cost** of a save is the time that some training steps take with a save beside
them, to its end, less their time without one. With a save a minute, a run is slower by
that part of a minute. **Save** and **restore** are of a larger state, with nothing
beside them: a save until it is complete, a restore until all arrays are there. A disk
comes first, then the places. All of them take turns. The last line on standard output
is one JSON object.
"""

import jaxtext.needs_experiments

import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from measuring import record
from measuring.command import chosen, command
from measuring.timing import interleave, spread, visit

import jaxtext as jt
from jaxtext.runs.checkpoint import Checkpoints
from jaxtext.streams import say

NONE, DISK = "no saving", "disk"


@dataclass(frozen=True)
class Config:
    """Measure what saving costs a training run."""

    places: tuple[str, ...] = ()
    """Workdirs beside the disk: gs://… or s3://… (checkpoints there are removed)."""
    hidden: int = 256
    """Width of the trained layer."""
    steps: int = 100
    """Training steps beside a save."""
    large_hidden: int = 3400
    """Width of the layer whose state is saved and restored: 47 M parameters."""
    rounds: int = 7
    """How many times each is timed, in turns."""
    out: Path | None = None
    """Also write the JSON to this file."""


def measure(config: Config) -> dict[str, Any]:
    """Times saving in each place, and returns the result."""
    with tempfile.TemporaryDirectory() as folder:
        places = {DISK: folder, **{x.partition(":")[0]: x for x in config.places}}
        rows = [*training(config, places), *alone(config, places)]
    of = chosen(config, "hidden", "steps", "large_hidden", "rounds")
    return {"rows": rows, **of, **record.environment()}


def training(config: Config, places: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The time of training steps without a save, and with one in each place."""
    batch_size, seq_len = 32, 64
    run, state = learner(config.hidden, batch_size, seq_len)

    def steps(checkpoints=None):
        if checkpoints is not None:
            checkpoints.save_latest(state(), {})
        for _ in range(config.steps):
            run()
        jax.block_until_ready(state())
        if checkpoints is not None:
            checkpoints.finish()

    with opened(places, "small") as writers:
        ways = {NONE: steps, **{k: partial(steps, x) for k, x in writers.items()}}
        for way in ways.values():
            way()
        times = timed(ways, config.rounds)
    without = times[NONE]["median_ms"]
    for name, time in times.items():
        cost = time["median_ms"] - without
        row = {"what": "training", "place": name, **time, "cost_ms": cost}
        row["percent_each_minute"] = cost / 60_000 * 100
        say(f"{name:10} {cost:8,.0f} ms a save, {row['percent_each_minute']:.2f} %")
        yield row


def alone(config: Config, places: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The time of saving and of restoring a large state, in each place."""
    _, state = learner(config.large_hidden, 1, 1, train=False)
    large = state()
    parameters = sum(x.size for x in jax.tree.leaves(large.params))
    numbers = itertools.count(1)

    def save(checkpoints):
        step = jnp.asarray(next(numbers), large.step.dtype)
        checkpoints.save_latest(large._replace(step=step), {})
        checkpoints.finish()

    def restore(checkpoints):
        jax.block_until_ready(checkpoints.restore_latest(large).arrays.params)

    with opened(places, "large") as writers:
        ways: dict[Any, Callable[[], object]] = {}
        for name, checkpoints in writers.items():
            save(checkpoints)
            ways |= {
                ("save", name): partial(save, checkpoints),
                ("restore", name): partial(restore, checkpoints),
            }
        for (what, name), time in timed(ways, config.rounds).items():
            seconds = time["median_ms"] / 1e3
            say(f"{name:10} {what} of {parameters:,} parameters: {seconds:.2f} s")
            yield {"what": what, "place": name, "parameters": parameters, **time}


def learner(
    hidden: int, batch_size: int, seq_len: int, *, train: bool = True
) -> tuple[Callable[[], None], Callable[[], Any]]:
    """A function that takes a training step, and one that returns the state then."""
    model = jt.LanguageModel(jt.lstm(hidden), vocab_size=65)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(4e-3))
    now = [jt.training.create_state(model, optimizer, jax.random.key(0), batch_size)]
    if not train:
        return lambda: None, lambda: now[0]
    ids = np.random.default_rng(0).integers(0, 65, 4 * batch_size * seq_len, np.uint8)
    batch = jt.text.Streams(ids, batch_size, seq_len).batch(seed=0, k=0)
    program = jax.jit(jt.training.make_train_step(model, optimizer), donate_argnums=0)
    now[0] = jax.tree.map(jnp.copy, now[0])

    def step():
        now[0], _ = program(now[0], batch)

    return step, lambda: now[0]


@contextmanager
def opened(places: dict[str, str], name: str) -> Iterator[dict[str, Checkpoints]]:
    """The checkpoints of a run of that name in each place."""
    writers = {at: Checkpoints(f"{place}/{name}") for at, place in places.items()}
    yield writers
    for checkpoints in writers.values():
        checkpoints.finish()
        checkpoints.forget_after(-1)


def timed(
    ways: dict[Any, Callable[[], object]], rounds: int
) -> dict[Any, dict[str, float]]:
    """The spread of the times of each, taken in turns."""
    visits = {name: partial(visit, way, 0.0) for name, way in ways.items()}
    times = interleave(visits, rounds=rounds, seconds=float("inf"))
    return {name: spread(found) for name, found in times.items()}


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
