"""Bidirectional layers are two runs, and what cannot be asked of them is refused."""

import contracts
import jax
import jax.numpy as jnp
import pytest

import jaxtext as jt


@pytest.mark.parametrize("reverse", [False, True])
def test_bidirectional_is_two_runs(reverse):
    cell = jt.bidirectional(jt.lstm(4), jt.gru(3))
    params, state, xs = contracts.make(cell)
    options = {
        "lengths": jnp.array([4, 0, 7]),
        "resets": jnp.arange(7) % 3 == jnp.arange(3)[:, None],
    }
    final, ys = jt.unroll(cell, params, state, xs, reverse=reverse, **options)
    ahead = jt.unroll(jt.lstm(4), params[0], state[0], xs, reverse=reverse, **options)
    back = jt.unroll(jt.gru(3), params[1], state[1], xs, reverse=not reverse, **options)
    contracts.assert_close(final, (ahead[0], back[0]))
    contracts.assert_close(ys, jnp.concatenate([ahead[1], back[1]], -1))


def test_a_model_that_reads_both_ways_does_not_generate():
    model = jt.LanguageModel(jt.bidirectional(jt.gru(4)), 5)
    start, ids = model.initial_state((1,)), jnp.zeros((1, 3), int)
    variables = model.init(jax.random.key(0), start, ids)
    with pytest.raises(ValueError, match="expected a cell that reads forwards"):
        model.apply(variables, start, ids[:, 0], method="step")


@pytest.mark.parametrize("remat", [0, -1, "all", 2.5])
def test_remat_that_means_nothing_is_refused(remat):
    cell = jt.gru(2)
    params = cell.init(jax.random.key(0), 3)
    with pytest.raises(ValueError, match="remat: expected"):
        jt.unroll(cell, params, cell.initial_state(()), jnp.ones((4, 3)), remat=remat)


@pytest.mark.parametrize("drop", [jt.dropout, jt.variational_dropout])
def test_symbols_have_no_units_to_drop(drop):
    with pytest.raises(ValueError, match="expects vectors, got symbols"):
        jt.unroll(drop(0.5), (), (), jnp.array([1, 2]), key=jax.random.key(0))


@pytest.mark.parametrize("make", [jt.rnn, jt.lstm, jt.gru])
def test_parameters_may_be_bfloat16(make):
    params = make(4, param_dtype=jnp.bfloat16).init(jax.random.key(0), 3)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("bfloat16")}
