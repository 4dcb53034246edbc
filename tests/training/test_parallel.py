"""One device and eight give the same losses, whatever the cell, dropout on."""

import jax
import numpy as np
import optax
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.training import create_state, data_parallel, make_train_step
from jaxtext.training.loop import run

STRATEGIES = ["pmap", "sharded"]
CELLS = {"rnn": jt.rnn, "lstm": jt.lstm, "gru": jt.gru}
B, T, V = 8, 6, 7


def losses(cell, devices, steps=50, slices=1, strategy="pmap", frequent=(), **options):
    """Losses of `steps` steps, and the last state."""
    layers = jt.stack(CELLS[cell](6), jt.dropout(0.3))
    model = jt.LanguageModel(layers, V, frequent=frequent)
    optimizer = optax.adam(1e-2)
    ids = np.random.default_rng(0).integers(0, V, 2000).astype(np.uint8)
    streams = jt.text.Streams(ids, B, T)
    parallel = data_parallel(
        model, optimizer, B, devices, slices=slices, strategy=strategy, **options
    )
    average = "average_decay" in options
    state = create_state(model, optimizer, jax.random.key(1), B, average=average)
    found = []
    for progress in run(
        parallel, parallel.place(state), lambda k: streams.batch(0, k), 0, steps
    ):
        found += [metrics.loss for _, metrics in progress.metrics]
    return found, progress.state, parallel


@pytest.mark.everyday("strategy", "cell")
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("cell", CELLS)
def test_eight_devices_are_one(cell, strategy):
    one, one_state, one_parallel = losses(cell, jax.local_devices()[:1])
    eight, eight_state, eight_parallel = losses(
        cell, jax.local_devices(), strategy=strategy
    )
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


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_eight_devices_average_and_smooth_as_one(strategy):
    options = {"average_decay": 0.9, "label_smoothing": 0.1}
    one, one_state, one_parallel = losses(
        "lstm", jax.local_devices()[:1], steps=20, **options
    )
    eight, state, parallel = losses(
        "lstm", jax.local_devices(), steps=20, strategy=strategy, **options
    )
    np.testing.assert_allclose(eight, one, rtol=1e-5)
    averages = parallel.params(state), one_parallel.params(one_state)
    for a, b in zip(*map(jax.tree.leaves, averages), strict=True):
        assert len(a.devices()) == 1
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    pairs = zip(
        *map(jax.tree.leaves, (averages[0], state.average, state.params)), strict=True
    )
    for given, average, raw in pairs:
        np.testing.assert_array_equal(given, average)
        assert not np.array_equal(given, raw)
        replicas = {np.asarray(s.data).tobytes() for s in average.addressable_shards}
        assert len(average.addressable_shards) == 8
        assert len(replicas) == 1
    plain, *_ = losses("lstm", jax.local_devices()[:1], steps=20, average_decay=0.9)
    assert plain[0] == one[0]  # before the first update
    assert plain[1:] != one[1:]


@pytest.mark.everyday("strategy")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_devices_and_slices_share_an_adaptive_softmax(strategy):
    options = {"steps": 20, "frequent": (3, 1)}
    one, *_ = losses("lstm", jax.local_devices()[:1], **options)
    four = jax.local_devices()[:4]
    divided, *_ = losses("lstm", four, slices=2, strategy=strategy, **options)
    np.testing.assert_allclose(divided, one, rtol=1e-5)
    plain, *_ = losses("lstm", jax.local_devices()[:1], steps=20)
    assert not np.allclose(plain, one, rtol=1e-5)


@pytest.mark.everyday("strategy", "devices")
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("devices", [1, 2])
def test_slices_are_the_same_step(devices, strategy):
    whole, *_ = losses("lstm", jax.local_devices()[:1], steps=10)
    sliced, *_ = losses(
        "lstm", jax.local_devices()[:devices], steps=10, slices=4, strategy=strategy
    )
    np.testing.assert_allclose(sliced, whole, rtol=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_lowered_from_shapes_is_the_step_that_runs(strategy):
    model, optimizer = jt.LanguageModel(jt.gru(4), V), optax.sgd(0.1)
    parallel = data_parallel(model, optimizer, B, strategy=strategy)
    state = create_state(model, optimizer, jax.random.key(0), B)
    batch = jt.text.Streams(np.arange(100) % V, B, 5).batch(0, 0)
    compiled = parallel.lower(*jax.eval_shape(lambda *x: x, state, batch)).compile()
    placed = parallel.place(state), parallel.shard(batch)
    _, metrics = compiled(*placed)
    _, expected = parallel.step(parallel.place(state), parallel.shard(batch))
    assert metrics.loss == expected.loss


def test_sharded_carry_has_no_device_axis():
    model, optimizer = jt.LanguageModel(jt.gru(4), V), optax.sgd(0.1)
    parallel = data_parallel(model, optimizer, B, strategy="sharded")
    placed = parallel.place(create_state(model, optimizer, jax.random.key(0), B))
    batch = parallel.shard(jt.text.Streams(np.arange(100) % V, B, 5).batch(0, 0))
    assert batch.inputs.shape == (B, 5)
    after, _ = parallel.step(placed, batch)
    assert after.carry.shape == (B, 4)
    assert [s.data.shape for s in after.carry.addressable_shards] == [(1, 4)] * 8
    assert all(x.is_deleted() for x in jax.tree.leaves(placed.carry))  # donated


def test_a_strategy_that_is_not_known_is_bad_input():
    model = jt.LanguageModel(jt.gru(4), V)
    with pytest.raises(InputError, match="pmap or sharded, got 'jit'"):
        data_parallel(model, optax.sgd(0.1), B, strategy="jit")


def test_a_batch_that_does_not_divide_is_bad_input():
    model = jt.LanguageModel(jt.gru(4), V)
    with pytest.raises(InputError, match="such as 8"):
        data_parallel(model, optax.sgd(0.1), 6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_placing_keeps_what_the_caller_holds(one_device, strategy):
    model, optimizer = jt.LanguageModel(jt.gru(4), V), optax.sgd(0.1)
    parallel = data_parallel(model, optimizer, 2, one_device, strategy=strategy)
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
    assert metrics.skipped == after.skipped == (1, 1)
    assert int(after.step) == 8
    after, metrics = step(after, batch)
    assert metrics.skipped == (2, 2)
    for new, old in zip(
        jax.tree.leaves((after.params, after.opt_state)),
        jax.tree.leaves((poisoned.params, poisoned.opt_state)),
        strict=True,
    ):
        np.testing.assert_array_equal(new, old)
    # And a good one does change them.
    after, metrics = step(state._replace(skipped=after.skipped), batch)
    assert metrics.skipped == (0, 2)
    assert (after.params["output"]["kernel"] != state.params["output"]["kernel"]).any()


def test_parameters_that_would_not_be_finite_are_no_step_either():
    """Loss and gradient may be finite where the update is not."""
    model, optimizer = jt.LanguageModel(jt.lstm(4), V), optax.sgd(1e38)
    state = create_state(model, optimizer, jax.random.key(0), 2)
    batch = jt.text.Streams(np.arange(100) % V, 2, 5).batch(0, 0)
    after, metrics = jax.jit(make_train_step(model, optimizer))(state, batch)
    assert np.isfinite([metrics.loss, metrics.gradient_norm]).all()
    assert metrics.skipped.in_a_row == 1
    for new, old in zip(
        *map(jax.tree.leaves, (after.params, state.params)), strict=True
    ):
        np.testing.assert_array_equal(new, old)
