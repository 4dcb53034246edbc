"""Cells in heads are cells whose recurrent weights are zero between the heads."""

import itertools

import contracts
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.interop import to_torch

CELLS = {
    "rnn": (jt.rnn, 1),
    "lstm": (jt.lstm, 4),
    "gru": (jt.gru, 3),
    "gru, reset before": (lambda h, **how: jt.gru(h, reset_after=False, **how), 3),
}
HEADS, WIDTH = 3, 2
CASE = contracts.Case()


def dense(params, gates):
    """The same parameters without heads, with zeros between the heads."""
    hidden = HEADS * WIDTH
    kernel = jnp.zeros((contracts.D, gates * hidden))
    recurrent_kernel = jnp.zeros((hidden, gates * hidden))
    bias = jnp.zeros(gates * hidden)
    for head, gate in itertools.product(range(HEADS), range(gates)):
        rows = slice(head * WIDTH, (head + 1) * WIDTH)
        there = slice(gate * hidden + rows.start, gate * hidden + rows.stop)
        here = slice(gate * WIDTH, (gate + 1) * WIDTH)
        kernel = kernel.at[:, there].set(params["kernel"][head, :, here])
        block = params["recurrent_kernel"][head, :, here]
        recurrent_kernel = recurrent_kernel.at[rows, there].set(block)
        bias = bias.at[there].set(params["bias"][head, here])
    found = {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}
    if "recurrent_bias" in params:
        found["recurrent_bias"] = params["recurrent_bias"].reshape(-1)
    return found


@pytest.mark.parametrize("backend", ["scan", "fused"])
@pytest.mark.parametrize("name", CELLS)
def test_heads_are_blocks_of_a_dense_cell(name, backend):
    make, gates = CELLS[name]
    cell, plain = make(HEADS * WIDTH, heads=HEADS), make(HEADS * WIDTH)
    params, state, xs = contracts.make(cell, CASE)
    masks = {"lengths": CASE.lengths(), "resets": CASE.resets()}

    @jax.value_and_grad
    def in_heads(params, state, xs):
        return contracts.total(
            jt.unroll(cell, params, state, xs, backend=backend, **masks)
        )

    @jax.value_and_grad
    def in_blocks(params, state, xs):
        dense_params = dense(params, gates)
        return contracts.total(
            jt.unroll(plain, dense_params, state, xs, backend="scan", **masks)
        )

    found = jax.jit(in_heads)(params, state, xs)
    contracts.assert_close(found, jax.jit(in_blocks)(params, state, xs), 1e-5)


def test_each_head_starts_as_a_cell_of_its_own():
    params = jt.lstm(6, heads=3).init(jax.random.key(0), 5)
    shapes = jax.tree.map(jnp.shape, params)
    assert shapes == {
        "kernel": (3, 5, 8),
        "recurrent_kernel": (3, 2, 8),
        "bias": (3, 8),
    }
    np.testing.assert_array_equal(params["bias"][:, 2:4], 1)  # forget gates
    block = params["recurrent_kernel"][1, :, :2]
    np.testing.assert_allclose(block @ block.T, np.eye(2), atol=1e-6)  # orthogonal
    assert len({float(x) for x in params["kernel"][:, 0, 0]}) == 3


def test_one_head_is_the_plain_cell():
    assert jt.lstm(6, heads=1) is jt.lstm(6)
    assert repr(jt.gru(6, heads=2)) == "jt.gru(6, heads=2)"
    assert jt.gru(6, heads=2).output_size == 6


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        (4, "heads: expected a number that divides hidden, 6, got 4"),
        (0, "heads: expected a whole number of at least 1, got 0"),
        (1.5, "heads: expected a whole number of at least 1, got 1.5"),
    ],
)
def test_heads_that_cannot_be(heads, message):
    with pytest.raises(ValueError, match=message):
        jt.lstm(6, heads=heads)


def test_heads_are_not_converted():
    pytest.importorskip("torch", reason="needs the extra `peers`")
    cell = jt.lstm(6, heads=2)
    with pytest.raises(ValueError, match="expected"):
        to_torch(cell, cell.init(jax.random.key(0), 5))
