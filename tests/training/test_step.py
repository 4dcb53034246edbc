"""What a step does to the parameters, and what it says of itself."""

import jax
import numpy as np
import optax
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.training import create_state, make_train_step, predicting

B, T, V = 4, 5, 7
MODEL = jt.LanguageModel(jt.lstm(6), V)
STREAMS = jt.text.Streams(np.random.default_rng(0).integers(0, V, 500), B, T)


def states(steps, optimizer=None, model=MODEL, **options):
    """The states of so many steps, the first one included, and the metrics."""
    optimizer = optimizer or optax.adam(1e-2)
    step = jax.jit(make_train_step(model, optimizer, **options))
    average = bool(options.get("average_decay"))
    state = create_state(model, optimizer, jax.random.key(0), B, average=average)
    found, told = [state], []
    for k in range(steps):
        state, metrics = step(state, STREAMS.batch(0, k))
        found.append(state)
        told.append(metrics)
    return found, told


def assert_same_bits(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(*map(jax.tree.leaves, (left, right)), strict=True):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_off_is_as_if_they_were_not_there():
    without, _ = states(10)
    zero, _ = states(10, average_decay=0.0, label_smoothing=0.0)
    assert_same_bits(zero[-1], without[-1])
    assert without[-1].average == ()
    assert predicting(without[-1]) is without[-1].params


def test_each_step_has_noise_of_its_own():
    """Batch, parameters and the state that it begins with are the same in all steps."""
    model = jt.LanguageModel(jt.stack(jt.lstm(6), jt.dropout(0.5)), V)
    optimizer = optax.sgd(0.0)
    state = create_state(model, optimizer, jax.random.key(0), B)
    step, batch = jax.jit(make_train_step(model, optimizer)), STREAMS.batch(0, 0)
    assert batch.resets[:, 0].all()
    losses = set()
    for _ in range(4):
        state, metrics = step(state, batch)
        losses.add(float(metrics.loss))
    assert len(losses) == 4


def test_the_average_follows_the_parameters():
    found, _ = states(12, average_decay=0.3)
    expected = jax.tree.map(np.asarray, found[0].params)
    assert_same_bits(found[0].average, found[0].params)
    for t, state in enumerate(found[1:], 1):
        d = min(0.3, (1 + t) / (10 + t))  # 2 / 11, 3 / 12, 0.3, 0.3, ...
        expected = jax.tree.map(
            lambda a, p: d * a + (1 - d) * np.asarray(p),  # noqa: B023
            expected,
            state.params,
        )
        assert predicting(state) is state.average
        for a, b in zip(*map(jax.tree.leaves, (state.average, expected)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_no_step_depends_on_the_average():
    without, told = states(10)
    kept, told_too = states(10, average_decay=0.99)
    assert_same_bits(kept[-1]._replace(average=()), without[-1])
    assert_same_bits(told_too, told)


def test_a_skipped_step_leaves_the_average():
    optimizer = optax.adam(0.1)
    step = jax.jit(make_train_step(MODEL, optimizer, average_decay=0.9))
    (*_, state), _ = states(3, optimizer, average_decay=0.9)
    poisoned = jax.tree.map(lambda x: x * np.nan, state.carry)
    after, metrics = step(state._replace(carry=poisoned), STREAMS.batch(0, 3))
    assert metrics.skipped.in_a_row == 1
    assert_same_bits(after.average, state.average)


def test_skipped_steps_in_a_row_are_counted_from_the_last_good_one():
    optimizer, found = optax.sgd(0.1), []
    step = jax.jit(make_train_step(MODEL, optimizer))
    state = create_state(MODEL, optimizer, jax.random.key(0), B)
    start = jax.tree.map(np.asarray, state.carry)
    for k, value in enumerate([np.nan, np.nan, 0, np.nan], 1):
        carry = jax.tree.map(lambda x, value=value: x + np.float32(value), start)
        state, metrics = step(state._replace(carry=carry), STREAMS.batch(0, k))
        found.append(tuple(map(int, metrics.skipped)))
    assert found == [(1, 1), (2, 2), (0, 2), (1, 3)]


def test_the_average_of_coarse_parameters_is_fine():
    cell = jt.lstm(6, param_dtype=jax.numpy.bfloat16)
    model = jt.LanguageModel(cell, V)
    found, _ = states(2, model=model, average_decay=0.999)
    dtypes = {x.dtype for x in jax.tree.leaves(found[2].params)}
    assert jax.numpy.dtype("bfloat16") in dtypes
    averages = [state.average for state in found]
    assert {x.dtype for x in jax.tree.leaves(averages)} == {np.dtype("float32")}


def test_the_average_begins_in_buffers_of_its_own():
    """A step that consumes its state takes each for its own."""
    optimizer = optax.sgd(0.1)
    step = make_train_step(MODEL, optimizer, average_decay=0.9)
    state = create_state(MODEL, optimizer, jax.random.key(0), B, average=True)
    after, _ = jax.jit(step, donate_argnums=0)(state, STREAMS.batch(0, 0))
    assert int(after.step) == 1


@pytest.mark.parametrize(("decay", "average"), [(0.9, False), (0.0, True)])
def test_step_and_state_have_to_agree_on_the_average(decay, average):
    optimizer = optax.sgd(0.1)
    state = create_state(MODEL, optimizer, jax.random.key(0), B, average=average)
    step = make_train_step(MODEL, optimizer, average_decay=decay)
    with pytest.raises(InputError, match=rf"create_state\(average={not average}\)"):
        step(state, STREAMS.batch(0, 0))


@pytest.mark.parametrize("slices", [1, 2])
def test_smoothing_changes_the_gradient_and_not_the_loss_that_is_told(slices):
    smoothing = 0.3
    (start, after), (metrics,) = states(
        1, optax.sgd(1.0), label_smoothing=smoothing, slices=slices
    )
    batch = STREAMS.batch(0, 0)

    def log_p(params):
        _, logits = MODEL.apply({"params": params}, start.carry, batch.inputs)
        return logits - jax.scipy.special.logsumexp(logits, -1, keepdims=True)

    def objective(params):
        # Against targets that are a distribution: 1 - ε on one, ε over all.
        targets = (1 - smoothing) * np.eye(V)[batch.targets] + smoothing / V
        return -(targets * log_p(params)).sum(-1).mean()

    expected = jax.grad(objective)(start.params)
    found = jax.tree.map(lambda before, now: before - now, start.params, after.params)
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    plain = -(np.eye(V)[batch.targets] * log_p(start.params)).sum(-1).mean()
    np.testing.assert_allclose(metrics.loss, plain, rtol=1e-6)
    np.testing.assert_allclose(
        metrics.gradient_norm, optax.tree.norm(expected), rtol=1e-5
    )


@pytest.mark.parametrize("name", ["average_decay", "label_smoothing"])
@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_numbers_out_of_range_are_bad_input(name, value):
    with pytest.raises(InputError, match=f"{name}: expected a number of at least 0"):
        make_train_step(MODEL, optax.sgd(0.1), **{name: value})
