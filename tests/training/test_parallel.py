"""One device and eight give the same losses, whatever the cell, dropout on."""

import jax
import numpy as np
import optax
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.training import create_state, data_parallel, make_train_step
from jaxtext.training.loop import run

CELLS = {"rnn": jt.rnn, "lstm": jt.lstm, "gru": jt.gru}
B, T, V = 8, 6, 7


def losses(cell, devices, steps=50, slices=1):
    """Losses of `steps` steps, and the last state."""
    model = jt.LanguageModel(jt.stack(CELLS[cell](6), jt.dropout(0.3)), V)
    optimizer = optax.adam(1e-2)
    ids = np.random.default_rng(0).integers(0, V, 2000).astype(np.uint8)
    streams = jt.text.Streams(ids, B, T)
    parallel = data_parallel(model, optimizer, B, devices, slices=slices)
    state = create_state(model, optimizer, jax.random.key(1), B)
    found = []
    for progress in run(
        parallel, parallel.place(state), lambda k: streams.batch(0, k), 0, steps
    ):
        found += [metrics.loss for _, metrics in progress.metrics]
    return found, progress.state, parallel


@pytest.mark.parametrize("cell", CELLS)
def test_eight_devices_are_one(cell):
    one, one_state, one_parallel = losses(cell, jax.local_devices()[:1])
    eight, eight_state, eight_parallel = losses(cell, jax.local_devices())
    assert len(one) == 50
    np.testing.assert_allclose(eight, one, rtol=1e-5)
    for leaf in jax.tree.leaves(eight_state.params):
        replicas = [np.asarray(s.data).tobytes() for s in leaf.addressable_shards]
        assert len(replicas) == 8
        assert len(set(replicas)) == 1
    collected = eight_parallel.collect(eight_state), one_parallel.collect(one_state)
    for a, b in zip(*map(jax.tree.leaves, (c.carry for c in collected)), strict=True):
        assert a.shape == (B, 6)
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_slices_are_the_same_step(one_device):
    whole, *_ = losses("lstm", one_device, steps=10)
    sliced, *_ = losses("lstm", one_device, steps=10, slices=4)
    np.testing.assert_allclose(sliced, whole, rtol=1e-5)


def test_a_batch_that_does_not_divide_is_bad_input():
    model = jt.LanguageModel(jt.gru(4), V)
    with pytest.raises(InputError, match="such as 8"):
        data_parallel(model, optax.sgd(0.1), 6)


def test_placing_keeps_what_the_caller_holds(one_device):
    model, optimizer = jt.LanguageModel(jt.gru(4), V), optax.sgd(0.1)
    parallel = data_parallel(model, optimizer, 2, one_device)
    state = create_state(model, optimizer, jax.random.key(0), 2)
    batch = jt.text.Streams(np.arange(100) % V, 2, 5).batch(0, 0)
    parallel.step(parallel.place(state), parallel.shard(batch))
    assert int(state.step) == 0
    jax.tree.map(lambda x: x + 0 if x.ndim else x, state.params)  # not deleted


def test_a_step_that_is_not_finite_changes_nothing():
    model, optimizer = jt.LanguageModel(jt.lstm(4), V), optax.adam(0.1)
    state = create_state(model, optimizer, jax.random.key(0), 2)
    batch = jt.text.Streams(np.arange(100) % V, 2, 5).batch(0, 0)
    step = jax.jit(make_train_step(model, optimizer))
    poisoned = state._replace(carry=jax.tree.map(lambda x: x * np.nan, state.carry))
    poisoned = poisoned._replace(step=poisoned.step + 7)
    batch = batch._replace(resets=np.zeros_like(batch.resets))
    after, metrics = step(poisoned, batch)
    assert not metrics.finite
    assert int(after.step) == 8
    for new, old in zip(
        jax.tree.leaves((after.params, after.opt_state)),
        jax.tree.leaves((poisoned.params, poisoned.opt_state)),
        strict=True,
    ):
        np.testing.assert_array_equal(new, old)
    # And a good one does change them.
    after, metrics = step(state, batch)
    assert metrics.finite
    assert (after.params["output"]["kernel"] != state.params["output"]["kernel"]).any()
