"""Our cells in nnx's RNN and in our own, against nnx's cells with their weights."""

import exactness
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exactness import B, D, H, T
from flax import nnx

import jaxtext as jt
from jaxtext.interop import from_nnx
from jaxtext.interop.nnx_modules import NNXRNN, NNXCell

LENGTHS = jnp.array([4, T])


def pair():
    """nnx's cell, and ours with the same weights."""
    theirs = nnx.LSTMCell(D, H, rngs=nnx.Rngs(0))
    nnx.update(theirs, exactness.noisy(nnx.state(theirs, nnx.Param)))
    cell, params = from_nnx(theirs)
    ours = NNXCell(cell, D, rngs=nnx.Rngs(1))
    for name, x in params.items():
        ours.params[name][...] = x
    return theirs, ours


@pytest.mark.everyday("rnn seq_lengths", "time_major", "reverse keep_order")
@pytest.mark.parametrize("rnn", [nnx.RNN, NNXRNN])
@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize(
    ("reverse", "keep_order"), [(False, False), (True, False), (True, True)]
)
@pytest.mark.parametrize("seq_lengths", [None, LENGTHS])
def test_call_of_nnx(rnn, time_major, reverse, keep_order, seq_lengths):
    theirs, cell = pair()
    xs, lengths = exactness.inputs(), jnp.full(B, T)
    valid = jnp.arange(T) < (lengths if seq_lengths is None else seq_lengths)[:, None]
    if time_major:
        xs, valid = xs.swapaxes(0, 1), valid.T
    options = {
        "seq_lengths": seq_lengths,
        "return_carry": True,
        "time_major": time_major,
        "reverse": reverse,
        "keep_order": keep_order,
    }
    expected, ys = nnx.RNN(theirs)(xs, **options)
    final, outputs = rnn(cell)(xs, **options)
    np.testing.assert_allclose(final.c, expected[0], 0, 3e-6)
    np.testing.assert_allclose(final.h, expected[1], 0, 3e-6)
    ys, valid = ys * valid[..., None], valid[..., None] if rnn is nnx.RNN else 1
    np.testing.assert_allclose(outputs * valid, ys, 0, 3e-6)


@pytest.mark.parametrize("rnn", [nnx.RNN, NNXRNN])
def test_within_nnxs_bidirectional(rnn):
    theirs, cell = pair()
    xs = exactness.inputs()
    expected = nnx.Bidirectional(nnx.RNN(theirs), nnx.RNN(nnx.clone(theirs)))(xs)
    ys = nnx.Bidirectional(rnn(cell), rnn(nnx.clone(cell)))(xs)
    np.testing.assert_allclose(ys, expected, 0, 3e-6)


def test_attributes_stand_for_arguments():
    _, cell = pair()
    xs = exactness.inputs()
    options = {"time_major": True, "return_carry": True, "reverse": True}
    options |= {"keep_order": True}
    a, b = NNXRNN(cell, **options)(xs), NNXRNN(cell)(xs, **options)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_length_0_ends_in_the_carry_it_started_from():
    _, cell = pair()
    start = (jnp.full((B, H), 0.5), jnp.full((B, H), 0.25))
    final, ys = NNXRNN(cell, return_carry=True)(
        exactness.inputs(), initial_carry=start, seq_lengths=jnp.array([0, T])
    )
    np.testing.assert_array_equal(final.c[0], start[0][0])
    assert not ys[0].any()


def test_trains_with_nnxs_optimizer():
    module = NNXRNN(NNXCell(jt.stack(jt.lstm(4), jt.gru(3)), D, rngs=nnx.Rngs(0)))
    optimizer = nnx.Optimizer(module, optax.adam(0.1), wrt=nnx.Param)
    xs = exactness.inputs()

    @nnx.jit
    def train_step(module, optimizer):
        def loss(module):
            return jnp.mean((module(xs) - 0.5) ** 2)

        value, gradient = nnx.value_and_grad(loss)(module)
        optimizer.update(module, gradient)
        return value

    losses = [float(train_step(module, optimizer)) for _ in range(10)]
    assert losses[-1] < losses[0] / 2


def test_noise_comes_from_the_stream_dropout():
    cell = NNXCell(jt.stack(jt.gru(4), jt.dropout(0.5)), D, rngs=nnx.Rngs(0))
    module, xs = NNXRNN(cell), exactness.inputs()
    assert module(xs, rngs=nnx.Rngs(carry=1)).all()
    assert not module(xs, rngs=nnx.Rngs(dropout=1)).all()


def test_a_cell_without_a_step_is_for_nnxrnn():
    cell = NNXCell(jt.bidirectional(jt.gru(4)), D, rngs=nnx.Rngs(0))
    assert NNXRNN(cell)(exactness.inputs()).shape == (B, T, 8)
    with pytest.raises(ValueError, match="run it with NNXRNN"):
        nnx.RNN(cell)(exactness.inputs())
