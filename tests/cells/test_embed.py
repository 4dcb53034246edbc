"""Cells over symbols that stand for vectors: each symbol's products made once."""

import jax
import numpy as np
import pytest

import jaxtext as jt

V, D, H = 5, 3, 4
CELLS = {
    "rnn": jt.rnn(H),
    "lstm": jt.lstm(H),
    "gru": jt.gru(H),
    "gru, reset before": jt.gru(H, reset_after=False),
    "layer_norm_rnn": jt.layer_norm_rnn(H),
    "layer_norm_lstm": jt.layer_norm_lstm(H),
    "layer_norm_gru": jt.layer_norm_gru(H),
    "coupled_lstm": jt.coupled_lstm(H),
    "peephole_lstm": jt.peephole_lstm(H),
    "projected_lstm": jt.projected_lstm(H, 2),
    "minimal_gated_unit": jt.minimal_gated_unit(H),
    "min_gru": jt.min_gru(H),
    "para_gru": jt.para_gru(H),
    "para_lstm": jt.para_lstm(H),
    "min_lstm": jt.min_lstm(H),
    "zoneout": jt.zoneout(jt.lstm(H), jt.LSTMState(c=0.5, h=0.1)),
    "recurrent_dropout": jt.recurrent_dropout(jt.lstm(H), 0.5),
    "stack": jt.stack(jt.gru(H), jt.dropout(0.5), jt.residual(jt.lstm(H))),
}


@pytest.mark.parametrize("name", CELLS)
def test_symbols_are_read_as_their_vectors(name):
    cell = CELLS[name]
    assert cell.embed is not None
    keys = jax.random.split(jax.random.key(0), 4)
    params = cell.init(keys[0], D)
    # Biases, gains and whatever else begins as nothing or one.
    params = jax.tree.map(lambda x: x + 0.1, params)
    vectors = jax.random.normal(keys[1], (V, D))
    ids = jax.random.randint(keys[2], (2, 6), 0, V)
    start = cell.initial_state((2,))

    def looked_up(params, vectors):
        xs = vectors[ids]
        return jt.unroll(cell, params, start, xs, key=keys[3], backend="scan")

    def embedded(params, vectors):
        params = cell.embed(params, vectors)
        return jt.unroll(cell, params, start, ids, key=keys[3], backend="scan")

    def gradient(run):
        def loss(params, vectors):
            return (run(params, vectors)[1] ** 2).sum()

        return jax.jit(jax.grad(loss, (0, 1)))(params, vectors)

    def alike(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

    jax.tree.map(alike, embedded(params, vectors), looked_up(params, vectors))
    jax.tree.map(alike, gradient(embedded), gradient(looked_up))


@pytest.mark.parametrize(
    "cell",
    [
        jt.residual(jt.lstm(H)),
        jt.mogrifier(jt.lstm(H), 2),
        jt.variational_dropout(0.5),
        jt.stack(jt.dropout(0.5), jt.lstm(H)),
        jt.bidirectional(jt.lstm(H)),
    ],
)
def test_what_does_more_with_its_input_does_not_say_so(cell):
    assert cell.embed is None
