"""All steps at once are the steps one by one: outputs, gradients, long sequences."""

import contracts
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.cells.linear_recurrence import linear_scan

CELLS = {"min_gru": jt.min_gru(4), "min_lstm": jt.min_lstm(4)}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_gradients_are_those_of_the_scan(name, reverse):
    cell = CELLS[name]
    params, state, xs = contracts.make(cell)
    masks = {
        "lengths": jnp.array([4, 0, 7]),
        "resets": jnp.arange(7) % 3 == jnp.arange(3)[:, None],
    }

    @jax.value_and_grad
    def gradient(inputs, backend):
        params, state, xs = inputs
        final, ys = jt.unroll(
            cell, params, state, xs, reverse=reverse, backend=backend, **masks
        )
        return jnp.sum(jnp.sin(final)) + jnp.sum(jnp.cos(ys))

    scan = gradient((params, state, xs), "scan")
    parallel = gradient((params, state, xs), "parallel")
    contracts.assert_close(parallel, scan, 1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_long_sequences_lose_no_precision(name):
    cell = CELLS[name]
    params, _, _ = contracts.make(cell)
    xs = jax.random.normal(jax.random.key(3), (2, 3000, contracts.D))
    start = cell.initial_state((2,))
    scan = jt.unroll(cell, params, start, xs, backend="scan")
    contracts.assert_close(
        jt.unroll(cell, params, start, xs, backend="parallel"), scan, 1e-5
    )


def test_a_reset_within_padding_counts():
    """`unroll` asks for none; the masks can say it, and a step by step walk does it."""
    a, b = jnp.full((3, 1, 1), 0.5), jnp.ones((3, 1, 1))
    masks = jt.Masks(
        resets=jnp.array([[False], [True], [False]]),
        valid=jnp.array([[True], [False], [True]]),
    )
    final, hs = linear_scan(a, b, jnp.array([[4.0]]), masks)
    np.testing.assert_array_equal(hs.ravel(), [3, 0, 1])
    np.testing.assert_array_equal(final.ravel(), [1])


@pytest.mark.parametrize("bias", [-200.0, 200.0])
def test_saturated_gates_of_min_lstm_still_share(bias):
    """Both gates as good as zero: their shares are a half each, and not 0 / 0."""
    cell = jt.min_lstm(2)
    params = {"kernel": jnp.zeros((1, 6)), "bias": jnp.full(6, bias).at[4:].set(1)}

    def last(bias):
        h = cell.initial_state(())
        return cell.step({**params, "bias": bias}, h, jnp.ones(1))[1].sum()

    value, slope = jax.value_and_grad(last)(params["bias"])
    assert value == 1
    assert np.isfinite(slope).all()
