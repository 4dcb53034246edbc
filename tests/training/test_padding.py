"""Padded documents: what the padding holds, and how much there is, changes nothing."""

import functools

import jax
import numpy as np
import optax
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.text import pad_documents
from jaxtext.training import (
    create_state,
    data_parallel,
    evaluate_batches,
    gradient_rms,
    make_train_step,
    objective,
)

B, V = 8, 7
MODEL = jt.LanguageModel(jt.stack(jt.lstm(6), jt.gru(5)), V)
RATE = 1.0
OPTIMIZER = optax.sgd(RATE)
STATE = create_state(MODEL, OPTIMIZER, jax.random.key(0), B)
# Of very different lengths: one has nothing to predict, and one has no symbol at all.
SIZES = 9, 2, 1, 4, 3, 0, 7, 2
RANDOM = np.random.default_rng(0)
DOCUMENTS = [RANDOM.integers(0, V, n) for n in SIZES]
BATCH = pad_documents(DOCUMENTS)
SMOOTHING = 0.2


@functools.cache
def step_of(slices=1):
    step = make_train_step(MODEL, OPTIMIZER, slices=slices, label_smoothing=SMOOTHING)
    return jax.jit(step)


def gradient(before, after):
    return jax.tree.map(lambda a, b: (a - b) / RATE, before.params, after.params)


def assert_close(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True):
        # Gradients are differences of parameters: two units in the last place of these.
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=2.5e-7)


def log_p(params, document):
    """``log p`` of all symbols in the place of each but the first."""
    _, logits = MODEL.apply({"params": params}, None, document[None, :-1])
    return jax.nn.log_softmax(logits[0])


def mean_loss(params, smoothing=0.0):
    """The definition, document by document, without padding."""
    total, count = 0.0, 0
    for document in DOCUMENTS:
        if len(document) > 1:
            said, count = log_p(params, document), count + len(document) - 1
            targets = (1 - smoothing) * np.eye(V)[document[1:]] + smoothing / V
            total -= (targets * said).sum()
    return total / count


def filled(batch, seed):
    """The batch with other integers in its padding, which need not be symbols."""
    numbers = np.random.default_rng(seed).integers(-99, 99, (3, *batch.inputs.shape))
    padding = np.arange(batch.inputs.shape[1]) >= batch.lengths[:, None]
    inputs, targets, resets = (
        np.where(padding, new, old) for new, old in zip(numbers, batch[:3], strict=True)
    )
    return batch._replace(inputs=inputs, targets=targets, resets=resets > 0)


def test_the_loss_is_the_mean_over_valid_targets():
    after, metrics = step_of()(STATE, BATCH)
    np.testing.assert_allclose(metrics.loss, mean_loss(STATE.params), rtol=1e-5)
    assert_close(gradient(STATE, after), jax.grad(mean_loss)(STATE.params, SMOOTHING))


@pytest.mark.parametrize("seed", [1, 2])
def test_padding_may_hold_anything(seed):
    expected = step_of()(STATE, BATCH)
    after, metrics = step_of()(STATE, filled(BATCH, seed))
    assert metrics == expected[1]
    found = after.params, after.carry
    expected = expected[0].params, expected[0].carry
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_losses_in_the_padding_are_finite():
    """Otherwise ``jax_debug_nans`` would stop a step that is not compiled."""
    batch = filled(BATCH, 1)
    _, losses = objective.read(MODEL, STATE.params, STATE.carry, batch)
    assert np.isfinite(losses).all()


def test_the_width_of_the_padding_changes_nothing():
    expected, told = step_of()(STATE, BATCH)
    after, metrics = step_of()(STATE, pad_documents(DOCUMENTS, length=13))
    np.testing.assert_allclose(metrics.loss, told.loss, rtol=1e-6)
    assert_close(gradient(STATE, after), gradient(STATE, expected))
    assert_close(after.carry, expected.carry)


def test_slices_of_a_padded_batch_are_the_same_step():
    expected, told = step_of()(STATE, BATCH)
    after, metrics = step_of(slices=4)(STATE, BATCH)
    np.testing.assert_allclose(metrics.loss, told.loss, rtol=1e-6)
    assert_close(gradient(STATE, after), gradient(STATE, expected))


@pytest.mark.parametrize("strategy", ["pmap", "sharded"])
def test_eight_devices_weigh_symbols_as_one_does(strategy):
    """Each has another number of them, and two have none."""
    expected, told = step_of()(STATE, BATCH)
    parallel = data_parallel(
        MODEL, OPTIMIZER, B, label_smoothing=SMOOTHING, strategy=strategy
    )
    after, metrics = parallel.step(parallel.place(STATE), parallel.shard(BATCH))
    np.testing.assert_allclose(metrics.loss, told.loss, rtol=1e-6)
    after = parallel.collect(after)
    assert_close(gradient(STATE, after), gradient(STATE, expected))
    assert_close(after.carry, expected.carry)


def test_a_batch_without_a_target_is_skipped():
    after, metrics = step_of()(STATE, BATCH._replace(lengths=0 * BATCH.lengths))
    assert int(metrics.skipped.in_all) == 1
    assert_close(after.params, STATE.params)


def test_evaluation_counts_each_symbol_once():
    expected = float(mean_loss(STATE.params))
    for batches in (
        [BATCH],
        [filled(BATCH, 1)],
        [pad_documents(DOCUMENTS, length=13)],
        [pad_documents(DOCUMENTS[:3]), pad_documents(DOCUMENTS[3:])],
    ):
        found = evaluate_batches(MODEL, STATE.params, batches)
        assert found == pytest.approx(expected, 1e-5)


def test_batches_without_lengths_are_evaluated_whole():
    streams = jt.text.Streams(np.arange(200) % V, 2, 5)
    batch = streams.batch(seed=0, k=0)
    whole = batch._replace(lengths=np.array([5, 5]))
    found = evaluate_batches(MODEL, STATE.params, [batch])
    assert found == pytest.approx(evaluate_batches(MODEL, STATE.params, [whole]), 1e-6)


@pytest.mark.parametrize("batches", [[], [pad_documents([[3], []])]])
def test_nothing_to_predict_is_bad_input(batches):
    with pytest.raises(InputError, match="at least one symbol to predict"):
        evaluate_batches(MODEL, STATE.params, batches)


def test_gradient_statistics_leave_the_padding_out():
    expected = jax.tree.map(abs, jax.grad(mean_loss)(STATE.params))
    assert_close(gradient_rms(MODEL, STATE.params, [filled(BATCH, 1)]), expected)
