"""Noise on recurrence: what is drawn once a sequence, once a step, once a call."""

from typing import NamedTuple

import contracts
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtext as jt

B, T, D = contracts.B, contracts.T, contracts.D
KEY = jax.random.key(7)
CELLS = {
    "variational_dropout": jt.stack(jt.rnn(4), jt.variational_dropout(0.5)),
    "recurrent_dropout": jt.recurrent_dropout(jt.lstm(4), 0.5),
    "zoneout": jt.zoneout(jt.gru(4), 0.5),
    "zoneout of recurrent dropout": jt.stack(
        jt.zoneout(jt.recurrent_dropout(jt.lstm(4), 0.5), 0.5), jt.dropout(0.5)
    ),
}


def copier(size):
    """A cell that shows the hidden state it was given, beside a memory that it keeps.

    Its next hidden state is the one given to it first, through the memory.
    """

    def initial_state(batch_shape):
        ones = jnp.ones((*batch_shape, size))
        return jt.LSTMState(ones, ones)

    def step(params, state, x, noise=None):
        return jt.LSTMState(state.c, state.c), state.h

    return jt.Cell(lambda key, input_size: (), initial_state, step)


@pytest.mark.parametrize("name", CELLS)
def test_noise_belongs_to_a_sequence_and_not_to_a_batch(name):
    cell = CELLS[name]
    params, state, xs = contracts.make(cell)
    together = jt.unroll(cell, params, state, xs, key=KEY)

    def alone(i, state, xs):
        key = jax.random.fold_in(KEY, i)
        return jt.unroll(cell, params, state, xs, key=key)

    contracts.assert_close(jax.vmap(alone)(jnp.arange(B), state, xs), together)
    deterministic = jt.unroll(cell, params, state, xs)
    assert not np.allclose(deterministic[1], together[1])


@pytest.mark.parametrize("name", CELLS)
def test_gradients_with_noise_are_finite(name):
    cell = CELLS[name]
    params, state, xs = contracts.make(cell)

    @jax.grad
    def gradient(params):
        return jt.unroll(cell, params, state, xs, key=KEY)[1].sum()

    for leaf in jax.tree.leaves(gradient(params)):
        assert np.isfinite(leaf).all()
        assert leaf.any()


def test_variational_dropout_has_one_mask_a_sequence():
    cell = jt.variational_dropout(0.3)
    xs = jnp.ones((400, 5, 50))
    _, ys = jt.unroll(cell, {}, (), xs, key=KEY)
    assert (ys == ys[:, :1]).all()
    assert len(np.unique(np.asarray(ys[:, 0]), axis=0)) == 400
    assert np.unique(ys).tolist() == [0, np.float32(1 / 0.7)]
    np.testing.assert_allclose(ys.mean(), 1, atol=0.02)
    assert (jt.unroll(cell, {}, (), xs)[1] == xs).all()


@pytest.mark.parametrize("drop", [jt.dropout, jt.variational_dropout])
def test_noise_belongs_to_its_step_in_both_directions(drop):
    """Nothing is carried here, so the direction makes no difference."""
    xs = jnp.ones((3, 20, 5))
    _, forwards = jt.unroll(drop(0.5), {}, (), xs, key=KEY)
    _, backwards = jt.unroll(drop(0.5), {}, (), xs, key=KEY, reverse=True)
    np.testing.assert_array_equal(forwards, backwards)


def test_variational_dropout_refuses_symbols():
    cell = jt.stack(jt.variational_dropout(0.3), jt.rnn(4))
    params = cell.init(KEY, D)
    with pytest.raises(ValueError, match="expects vectors, got symbols"):
        jt.unroll(cell, params, cell.initial_state(()), jnp.zeros(4, int), key=KEY)


def test_recurrent_dropout_is_on_the_hidden_state_alone():
    cell = jt.recurrent_dropout(copier(50), 0.3)
    start = cell.initial_state((400,))
    final, ys = jt.unroll(cell, (), start, jnp.ones((400, 5, 1)), key=KEY)
    assert (ys == ys[:, :1]).all()
    assert len(np.unique(np.asarray(ys[:, 0]), axis=0)) == 400
    assert np.unique(ys).tolist() == [0, np.float32(1 / 0.7)]
    np.testing.assert_allclose(ys.mean(), 1, atol=0.02)
    assert (final.c == 1).all()
    assert (jt.unroll(cell, (), start, jnp.ones((400, 5, 1)))[1] == 1).all()


class HiddenAlone(NamedTuple):
    h: jax.Array


@pytest.mark.parametrize(
    "cell",
    [
        jt.gru(4),
        jt.rnn(4),
        jt.with_initial_state(jt.gru(4), lambda shape: HiddenAlone(jnp.zeros(shape))),
        jt.stack(jt.lstm(4)),
        jt.residual(jt.lstm(4)),
    ],
)
def test_recurrent_dropout_refuses_what_remembers_in_its_hidden_state(cell):
    with pytest.raises(ValueError, match="hidden state h beside its memory"):
        jt.recurrent_dropout(cell, 0.5)


def counter(size):
    """A cell that counts its steps, in each unit of both states."""

    def initial_state(batch_shape):
        return jt.LSTMState(*2 * [jnp.zeros((*batch_shape, size))])

    def step(params, state, x, noise=None):
        after = jax.tree.map(lambda s: s + 1, state)
        return after, after.h

    return jt.Cell(lambda key, input_size: (), initial_state, step)


def test_zoneout_keeps_each_part_at_its_own_rate():
    cell = jt.zoneout(counter(50), jt.LSTMState(c=0.6, h=0.1))
    start, xs = cell.initial_state((200,)), jnp.ones((200, 10, 1))
    final, ys = jt.unroll(cell, (), start, xs, key=KEY)
    np.testing.assert_allclose(final.c.mean(), 10 * 0.4, atol=0.05)
    np.testing.assert_allclose(final.h.mean(), 10 * 0.9, atol=0.05)
    assert (ys[:, -1] == final.h).all()
    kept = jnp.diff(ys, axis=1, prepend=0) == 0  # anew at each step and sequence
    np.testing.assert_allclose(kept.mean((0, 2)), 0.1, atol=0.02)
    np.testing.assert_allclose(kept.mean((1, 2)), 0.1, atol=0.08)
    c_kept = final.c - final.c.mean()
    h_kept = final.h - final.h.mean()
    assert abs((c_kept * h_kept).mean()) < 0.05  # and apart for c and h


def test_zoneout_without_a_key_is_its_expectation():
    cell = jt.zoneout(counter(3), jt.LSTMState(c=0.6, h=0.1))
    final, ys = jt.unroll(cell, {}, cell.initial_state(()), jnp.ones((10, 1)))
    np.testing.assert_allclose(final.c, 10 * 0.4, rtol=1e-6)
    np.testing.assert_allclose(ys[:, 0], 0.9 * np.arange(1, 11), rtol=1e-6)


def test_zoneout_of_nothing_is_the_cell():
    cell = jt.lstm(4)
    params, state, xs = contracts.make(cell)
    plain = jt.unroll(cell, params, state, xs)
    never = jt.zoneout(cell, 0.0)
    contracts.assert_close(jt.unroll(never, params, state, xs, key=KEY), plain)
    contracts.assert_close(jt.unroll(never, params, state, xs), plain)


@pytest.mark.parametrize(
    "cell", [jt.stack(jt.lstm(4)), jt.residual(jt.gru(4)), jt.bidirectional(jt.gru(4))]
)
def test_zoneout_refuses_cells_whose_output_is_not_their_state(cell):
    with pytest.raises(ValueError, match="around each cell of a stack"):
        jt.zoneout(cell, 0.5)


@pytest.mark.parametrize(
    "cell",
    [
        jt.zoneout(jt.recurrent_dropout(jt.lstm(4), 0.5), 0.0),
        jt.recurrent_dropout(jt.zoneout(jt.lstm(4), 0.5), 0.0),
        jt.mogrifier(jt.zoneout(jt.lstm(4), 0.5)),
    ],
    ids=["zoneout", "recurrent_dropout", "mogrifier"],
)
def test_the_noise_of_the_cell_within_gets_there(cell):
    params, state, xs = contracts.make(cell)
    _, ys = jt.unroll(cell, params, state, xs, key=KEY)
    assert not np.allclose(ys, jt.unroll(cell, params, state, xs)[1])


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_rates_that_are_none_are_refused(rate):
    made = [
        lambda: jt.variational_dropout(rate),
        lambda: jt.recurrent_dropout(jt.lstm(2), rate),
        lambda: jt.zoneout(jt.lstm(2), jt.LSTMState(c=0.5, h=rate)),
        lambda: jt.weight_drop(jt.rnn(2).init(KEY, 3), rate, KEY),
    ]
    for make in made:
        with pytest.raises(ValueError, match="rate: expected a number of at least 0"):
            make()


def test_weight_drop_drops_recurrent_weights_alone():
    model = jt.LanguageModel(jt.stack(jt.gru(40), jt.gru(40)), 5)
    ids = jnp.zeros((1, 2), int)
    params = model.init(KEY, model.initial_state((1,)), ids)
    dropped = jt.weight_drop(params, 0.3, KEY)
    assert jax.tree.structure(dropped) == jax.tree.structure(params)
    masks = []
    for layer in ("0", "1"):
        old, new = (p["params"]["recurrent"][layer] for p in (params, dropped))
        before, after = old.pop("recurrent_kernel"), new.pop("recurrent_kernel")
        np.testing.assert_allclose((after == 0).mean(), 0.3, atol=0.03)
        kept = after != 0
        np.testing.assert_allclose(after[kept], before[kept] / 0.7, rtol=1e-6)
        masks.append(kept)
    assert (masks[0] != masks[1]).any()
    contracts.assert_close(dropped, params)


def test_weight_drop_without_a_key_and_without_anything_to_drop():
    params = jt.gru(4).init(KEY, 3)
    assert jt.weight_drop(params, 0.5, None) is params
    other = jax.tree.leaves(jt.weight_drop(params, 0.5, jax.random.key(8)))
    again = jax.tree.leaves(jt.weight_drop(params, 0.5, jax.random.key(9)))
    assert any((a != b).any() for a, b in zip(other, again, strict=True))
    with pytest.raises(ValueError, match="recurrent_kernel, got"):
        jt.weight_drop(jt.min_gru(4).init(KEY, 3), 0.5, KEY)


def test_weight_drop_takes_the_gradient_to_the_whole_kernel():
    cell = jt.rnn(4)
    params, state, xs = contracts.make(cell)

    @jax.grad
    def gradient(params):
        dropped = jt.weight_drop(params, 0.5, KEY)
        return jt.unroll(cell, dropped, state, xs)[1].sum()

    kernel = "recurrent_kernel"
    dropped = jt.weight_drop(params, 0.5, KEY)[kernel] == 0
    assert ((gradient(params)[kernel] == 0) == dropped).all()
