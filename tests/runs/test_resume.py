"""Killed after any step and gone on from what was saved: bit for bit the same."""

import jax
import numpy as np
import optax
import pytest

import jaxtext as jt
from jaxtext.runs.checkpoint import Checkpoints
from jaxtext.training import create_state, data_parallel
from jaxtext.training.loop import run

CELLS = {"rnn": jt.rnn, "lstm": jt.lstm, "gru": jt.gru}
B, T, V, STEPS = 8, 6, 7, 11
IDS = np.random.default_rng(0).integers(0, V, 400).astype(np.uint8)


# Batches of two lengths, states that are reset, an average, smoothed targets.
ALL = {"seq_len": (T, 3, T), "resets": 0.2, "average_decay": 0.9, "smoothing": 0.1}


def training(
    cell, devices, strategy, *, seq_len=T, resets=0.0, average_decay=0.0, smoothing=0.0
):
    """A compiled step, a state to begin with, and batches of more than one epoch."""
    model = jt.LanguageModel(jt.stack(CELLS[cell](6), jt.dropout(0.3)), V)
    optimizer = optax.adamw(optax.cosine_decay_schedule(1e-2, STEPS))
    streams = jt.text.Streams(IDS, B, seq_len, resets)
    assert streams.batches_per_epoch < STEPS
    parallel = data_parallel(
        model,
        optimizer,
        B,
        jax.local_devices()[:devices],
        average_decay=average_decay,
        label_smoothing=smoothing,
        strategy=strategy,
    )
    average = average_decay > 0
    state = create_state(model, optimizer, jax.random.key(1), B, average=average)
    return parallel, state, lambda k: streams.batch(0, k)


def take_steps(parallel, state, batch, start, at_each=None):
    """Takes the steps from `start` to the last, and returns the state collected."""
    placed = parallel.place(state)
    for progress in run(parallel, placed, batch, start, STEPS):
        placed = progress.state
        if at_each is not None:
            at_each(progress.step, parallel.collect(placed))
    return parallel.collect(placed)


def contents(state):
    state = state._replace(key=jax.random.key_data(state.key))
    return {
        jax.tree_util.keystr(path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def save(workdir, state):
    checkpoints = Checkpoints(workdir)
    checkpoints.save_latest(state, {})
    checkpoints.finish()


@pytest.mark.everyday("cell", "devices", "strategy", "options")
@pytest.mark.parametrize("options", [{}, ALL], ids=["plain", "all"])
@pytest.mark.parametrize("strategy", ["pmap", "sharded"])
@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("cell", CELLS)
def test_killed_after_any_step(cell, devices, strategy, options, tmp_path):
    parallel, start, batch = training(cell, devices, strategy, **options)
    whole = take_steps(
        parallel, start, batch, 0, lambda k, state: save(tmp_path / str(k), state)
    )
    for k in range(1, STEPS):
        # Of what was, the directory alone is left.
        found = Checkpoints(tmp_path / str(k)).restore_latest(start)
        assert found.step == k
        resumed = contents(take_steps(parallel, found.arrays, batch, k))
        for name, value in contents(whole).items():
            assert value.tobytes() == resumed[name].tobytes(), (k, name)


@pytest.mark.parametrize("way", [(1, "pmap", 8, "sharded"), (8, "pmap", 2, "pmap")])
def test_going_on_with_other_devices_is_equal_within_rounding(way, tmp_path):
    before, first, after, then = way
    parallel, start, batch = training("lstm", before, first)
    whole = take_steps(
        parallel, start, batch, 0, lambda k, s: k == 5 and save(tmp_path, s)
    )
    parallel, start, batch = training("lstm", after, then)
    found = Checkpoints(tmp_path).restore_latest(start)
    resumed = contents(take_steps(parallel, found.arrays, batch, 5))
    for name, value in contents(whole).items():
        np.testing.assert_allclose(resumed[name], value, rtol=1e-3, atol=1e-5)
