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
    ahead = jt.unroll(
        jt.lstm(4), params["forward"], state[0], xs, reverse=reverse, **options
    )
    back = jt.unroll(
        jt.gru(3), params["backward"], state[1], xs, reverse=not reverse, **options
    )
    contracts.assert_close(final, (ahead[0], back[0]))
    contracts.assert_close(ys, jnp.concatenate([ahead[1], back[1]], -1))


def test_a_model_that_reads_both_ways_does_not_generate():
    model = jt.LanguageModel(jt.bidirectional(jt.gru(4)), 5)
    start, ids = model.initial_state((1,)), jnp.zeros((1, 3), int)
    variables = model.init(jax.random.key(0), start, ids)
    with pytest.raises(ValueError, match="expected one with a step, to generate with"):
        model.apply(variables, start, ids[:, 0], method="step")


@pytest.mark.parametrize("remat", [0, -1, "all", 2.5, True])
def test_remat_that_means_nothing_is_refused(remat):
    cell = jt.gru(2)
    params = cell.init(jax.random.key(0), 3)
    with pytest.raises(ValueError, match="remat: expected"):
        jt.unroll(cell, params, cell.initial_state(()), jnp.ones((4, 3)), remat=remat)


@pytest.mark.parametrize("drop", [jt.dropout, jt.variational_dropout])
def test_symbols_have_no_units_to_drop(drop):
    with pytest.raises(ValueError, match="expects vectors, got symbols"):
        jt.unroll(drop(0.5), {}, (), jnp.array([1, 2]), key=jax.random.key(0))


@pytest.mark.parametrize("make", [jt.rnn, jt.lstm, jt.gru])
def test_parameters_may_be_bfloat16(make):
    params = make(4, param_dtype=jnp.bfloat16).init(jax.random.key(0), 3)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("bfloat16")}


def test_a_backend_that_is_unknown_is_named():
    cell = jt.gru(2)
    params = cell.init(jax.random.key(0), 3)
    with pytest.raises(ValueError, match=r"fused, .*newton, got 'fusd'"):
        jt.unroll(
            cell, params, cell.initial_state(()), jnp.ones((4, 3)), backend="fusd"
        )


@pytest.mark.parametrize("backend", ["scan", "fused"])
@pytest.mark.parametrize("remat", [None, 2])
def test_a_batch_of_none(backend, remat):
    cell = jt.lstm(2)
    params = cell.init(jax.random.key(0), 3)
    start = cell.initial_state((0,))
    final, ys = jt.unroll(
        cell, params, start, jnp.ones((0, 5, 3)), backend=backend, remat=remat
    )
    assert ys.shape == (0, 5, 2)
    assert final.c.shape == (0, 2)


@pytest.mark.parametrize("backend", ["scan", "fused"])
def test_parameters_may_be_numpy(backend):
    cell = jt.lstm(2)
    params = cell.init(jax.random.key(0), 3)
    ids = jnp.array([0, 2, 1])
    start = cell.initial_state(())
    expected = jt.unroll(cell, params, start, ids, backend=backend)
    found = jt.unroll(cell, jax.device_get(params), start, ids, backend=backend)
    contracts.assert_close(found, expected)


def test_old_keys_and_lists_will_do():
    cell = jt.stack(jt.gru(2), jt.dropout(0.5))
    params = cell.init(jax.random.key(0), 3)
    start, xs = cell.initial_state((2,)), jnp.ones((2, 4, 3))
    keys = jax.random.key(1), jax.random.PRNGKey(1)
    new, old = (
        jt.unroll(cell, params, start, xs, key=key, lengths=[4, 1]) for key in keys
    )
    contracts.assert_close(new, old)


def test_a_model_takes_old_keys_for_its_streams():
    model = jt.LanguageModel(jt.stack(jt.gru(4), jt.dropout(0.5)), 5)
    start, ids = model.initial_state((2,)), jnp.zeros((2, 3), int)
    variables = model.init(jax.random.key(0), start, ids)
    new, old = (
        model.apply(variables, start, ids, streams=jnp.arange(2), rngs={"dropout": key})
        for key in (jax.random.key(1), jax.random.PRNGKey(1))
    )
    contracts.assert_close(new, old)


def test_a_mogrifier_of_no_rounds_is_its_cell():
    cell = jt.mogrifier(jt.lstm(3), rounds=0)
    params, start = cell.init(jax.random.key(0), 4), cell.initial_state((4,))
    ids = jnp.arange(4)
    plain = jt.lstm(3).step(params["cell"], start, ids)
    contracts.assert_close(cell.step(params, start, ids), plain)
    with pytest.raises(ValueError, match="whole number of at least 0"):
        jt.mogrifier(jt.lstm(3), rounds=-1)


def test_a_reset_stops_nan_in_every_backend():
    cell = jt.min_gru(2)
    params = cell.init(jax.random.key(0), 3)
    xs = jnp.ones((5, 3)).at[1].set(jnp.nan)
    resets = jnp.arange(5) == 2
    found = [
        jt.unroll(cell, params, cell.initial_state(()), xs, resets=resets, backend=b)
        for b in ("scan", "parallel")
    ]
    assert jnp.isfinite(found[0][1][2:]).all()
    contracts.assert_close(*found)


def test_zoneout_takes_rates_as_arrays():
    cell = jt.lstm(3, dtype=jnp.bfloat16)
    rates = jt.LSTMState(c=jnp.float32(0.5), h=jnp.float32(0.05))
    cell = jt.zoneout(cell, rates)
    params, start = cell.init(jax.random.key(0), 4), cell.initial_state((2,))
    final, _ = jt.unroll(cell, params, start, jnp.ones((2, 3, 4)))
    assert final.h.dtype == jnp.bfloat16
