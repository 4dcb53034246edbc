"""The cost of saving: throughput with and without it, and times of a large state."""

import shutil
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxtext as jt
from campaign.tally import Setting
from jaxtext.runs.checkpoint import Checkpoints
from jaxtext.runs.storage import manifest
from jaxtext.training.loop import run as run_steps
from jaxtext.training.state import TrainState, create_state


def throughput(setting: Setting, seconds: float, rounds: int) -> dict[str, Any]:
    """Speed of char_gen.py's default model, with a save in each turn and without.

    The cost of a save is the training time that it takes: training waits for a copy,
    and then competes with the threads that write. By default a run saves once a minute.

    Args:
      setting: The settings of the campaign.
      seconds: Length of a turn.
      rounds: Number of turns of each kind.
    """
    batch_size, vocab_size = 16, 100
    cell = jt.stack(jt.lstm(256), jt.dropout(0.2))
    model = jt.LanguageModel(cell, vocab_size)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(4e-3))
    devices = jax.local_devices()[:1]
    parallel = jt.training.data_parallel(model, optimizer, batch_size, devices)
    ids = np.random.default_rng(0).integers(0, vocab_size, 1_000_000, np.uint8)
    streams = jt.text.Streams(ids, batch_size, 32)
    state = create_state(model, optimizer, jax.random.key(0), batch_size)
    state = parallel.place(state)
    workdir = setting.scratch / "throughput"
    checkpoints = Checkpoints(workdir)
    step, stalls = 0, []
    speeds: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(-2, 2 * rounds):  # the first two are not counted
        saving = turn % 2 == 1
        begin, first = time.monotonic(), step
        if saving:
            checkpoints.save_latest(parallel.collect(state), {})
            stalls.append(time.monotonic() - begin)
        for progress in run_steps(
            parallel, state, lambda k: streams.batch(0, k), step, step + 10**9
        ):
            step, state = progress.step, progress.state
            if time.monotonic() - begin > seconds:
                break
        jax.block_until_ready(state)
        taken = time.monotonic() - begin
        checkpoints.finish()
        if turn >= 0:
            speeds[saving].append((step - first) / taken)
    shutil.rmtree(workdir)
    off, on = (float(np.median(speeds[saving])) for saving in (False, True))
    lost = seconds * (1 - on / off)
    return {
        "steps_per_second_without": off,
        "steps_per_second_with": on,
        "seconds_a_turn": seconds,
        "turns": rounds,
        "training_stands_still_ms": 1e3 * float(np.median(stalls)),
        "seconds_lost_a_save": lost,
        "percent_at_one_save_a_minute": 100 * lost / 60,
    }


def large_state(setting: Setting, hidden: int, rounds: int) -> dict[str, Any]:
    """Times to save, verify and restore an LSTM of this width, with Adam's state."""
    model = jt.LanguageModel(jt.lstm(hidden), 100)
    state = _filled(create_state(model, optax.adam(1e-3), jax.random.key(0), 16))
    workdir = setting.scratch / "large"
    times: dict[str, list[float]] = {}
    for k in range(rounds):
        state = state._replace(step=state.step + 1)
        checkpoints = Checkpoints(workdir)
        begin = time.monotonic()
        checkpoints.save_latest(state, {})
        returned = time.monotonic()
        checkpoints.finish()
        saved = time.monotonic()
        path = workdir / "checkpoints" / "latest" / str(k + 1)
        manifest.verify(path, f"latest {k + 1}")
        verified = time.monotonic()
        found = checkpoints.restore_latest(jax.eval_shape(lambda s: s, state))
        restored = time.monotonic()
        assert found
        if not _equal(found.arrays, state):
            raise RuntimeError("what was restored is not what was saved")
        for name, seconds in (
            ("training stands still", returned - begin),
            ("save", saved - begin),
            ("verify", verified - saved),
            ("verify and restore", restored - verified),
        ):
            times.setdefault(name, []).append(seconds)
    size = _bytes_below(workdir / "checkpoints" / "latest" / str(rounds))
    shutil.rmtree(workdir)
    return {
        "parameters": sum(x.size for x in jax.tree.leaves(state.params)),
        "checkpoint_mb": size / 2**20,
        "seconds": {name: float(np.median(each)) for name, each in times.items()},
    }


def _filled(state: TrainState) -> TrainState:
    """A state with random numbers: zeros would be compressed to nothing."""
    draw = np.random.default_rng(0)

    def fill(x):
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        return jnp.asarray(draw.standard_normal(x.shape, x.dtype))

    return jax.tree.map(fill, state)


def _equal(one: TrainState, other: TrainState) -> bool:
    one, other = (s._replace(key=jax.random.key_data(s.key)) for s in (one, other))
    same = jax.tree.map(np.array_equal, one, other)
    return all(jax.tree.leaves(same))


def _bytes_below(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
