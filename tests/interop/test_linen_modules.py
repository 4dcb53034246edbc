"""Our cells in linen's RNN and in our own, against linen's cells with their weights."""

import exactness
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exactness import B, H, T
from flax import linen as nn

import jaxtext as jt
from jaxtext.interop import from_linen
from jaxtext.interop.linen_modules import LinenCell, LinenRNN

LENGTHS = jnp.array([4, T])


def pair():
    """Linen's cell with its variables, and ours with the same weights."""
    theirs = nn.RNN(nn.LSTMCell(H))
    variables = theirs.init(jax.random.key(0), exactness.inputs())
    variables = exactness.noisy(variables)
    cell, params = from_linen(theirs, variables)
    return (nn.LSTMCell(H), variables), (
        LinenCell(cell),
        {"params": {"cell": {"recurrent": params}}},
    )


@pytest.mark.everyday("rnn seq_lengths", "time_major", "reverse keep_order")
@pytest.mark.parametrize("rnn", [nn.RNN, LinenRNN])
@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize(
    ("reverse", "keep_order"), [(False, False), (True, False), (True, True)]
)
@pytest.mark.parametrize("seq_lengths", [None, LENGTHS])
def test_call_of_linen(rnn, time_major, reverse, keep_order, seq_lengths):
    (theirs, their_variables), (cell, variables) = pair()
    xs, lengths = exactness.inputs(), jnp.full(B, T)
    valid = jnp.arange(T) < (lengths if seq_lengths is None else seq_lengths)[:, None]
    if time_major:
        xs, valid = xs.swapaxes(0, 1), valid.T
    carry = jax.random.normal(jax.random.key(3), (2, B, H))
    options = {
        "initial_carry": (carry[0], carry[1]),
        "seq_lengths": seq_lengths,
        "return_carry": True,
        "time_major": time_major,
        "reverse": reverse,
        "keep_order": keep_order,
    }
    expected, ys = nn.RNN(theirs).apply(their_variables, xs, **options)
    if rnn is nn.RNN:  # which carries on with the structure that it is given
        options["initial_carry"] = jt.LSTMState(carry[0], carry[1])
    final, outputs = rnn(cell).apply(variables, xs, **options)
    np.testing.assert_allclose(final.c, expected[0], 0, 3e-6)
    np.testing.assert_allclose(final.h, expected[1], 0, 3e-6)
    ys, valid = ys * valid[..., None], valid[..., None] if rnn is nn.RNN else 1
    np.testing.assert_allclose(outputs * valid, ys, 0, 3e-6)


def test_attributes_stand_for_arguments():
    _, (cell, variables) = pair()
    xs = exactness.inputs()
    options = {"time_major": True, "return_carry": True, "reverse": True}
    options |= {"keep_order": True}
    a = LinenRNN(cell, **options).apply(variables, xs)
    b = LinenRNN(cell).apply(variables, xs, **options)
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("rnn", [nn.RNN, LinenRNN])
def test_within_linens_bidirectional(rnn):
    (theirs, one), (cell, two) = pair()

    def both(variables):
        own = variables["params"]
        return {"params": {"forward_rnn": own, "backward_rnn": own}}

    xs = exactness.inputs()
    module = nn.Bidirectional(nn.RNN(theirs), nn.RNN(theirs.copy()))
    expected = module.apply(both(one), xs)
    ys = nn.Bidirectional(rnn(cell), rnn(cell.copy())).apply(both(two), xs)
    np.testing.assert_allclose(ys, expected, 0, 3e-6)


def test_either_stands_for_the_other():
    module, xs = LinenCell(jt.stack(jt.gru(4), jt.rnn(3))), exactness.inputs()
    variables = LinenRNN(module).init(jax.random.key(0), xs)
    again = nn.RNN(module).init(jax.random.key(0), xs)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, again)
    np.testing.assert_allclose(
        LinenRNN(module).apply(variables, xs),
        nn.RNN(module).apply(variables, xs),
        0,
        3e-6,
    )


def test_length_0_ends_in_the_carry_it_started_from():
    _, (cell, variables) = pair()
    start = jt.LSTMState(jnp.full((B, H), 0.5), jnp.full((B, H), 0.25))
    final, ys = LinenRNN(cell, return_carry=True).apply(
        variables,
        exactness.inputs(),
        initial_carry=start,
        seq_lengths=jnp.array([0, T]),
    )
    np.testing.assert_array_equal(final.c[0], start.c[0])
    assert not ys[0].any()


@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_over_two_batch_axes(reverse):
    _, (cell, variables) = pair()
    module = LinenRNN(cell, return_carry=True, reverse=reverse)
    xs = exactness.inputs()
    flat = module.apply(variables, xs, seq_lengths=LENGTHS)
    nested = module.apply(
        variables, xs.reshape(B, 1, T, -1), seq_lengths=LENGTHS[:, None]
    )
    squeezed = jax.tree.map(lambda x: x.squeeze(1), nested)
    jax.tree.map(np.testing.assert_array_equal, squeezed, flat)


def test_bfloat16_stays_bfloat16():
    module = nn.RNN(LinenCell(jt.rnn(H, dtype=jnp.bfloat16)))
    xs = exactness.inputs(jnp.bfloat16)
    ys, _ = module.init_with_output(jax.random.key(0), xs)
    assert ys.dtype == jnp.bfloat16


def test_noise_comes_from_the_stream_dropout():
    module = LinenRNN(LinenCell(jt.stack(jt.gru(4), jt.dropout(0.5))))
    xs = exactness.inputs()
    variables = module.init(jax.random.key(0), xs)
    plain = module.apply(variables, xs)
    noisy = module.apply(variables, xs, rngs={"dropout": jax.random.key(1)})
    assert plain.all()
    assert not noisy.all()


def test_a_cell_without_a_step_is_for_linenrnn():
    cell, xs = LinenCell(jt.bidirectional(jt.gru(4))), exactness.inputs()
    ys, _ = LinenRNN(cell).init_with_output(jax.random.key(0), xs)
    assert ys.shape == (B, T, 8)
    with pytest.raises(ValueError, match="run it with LinenRNN"):
        nn.RNN(cell).init(jax.random.key(0), xs)


def test_symbols_are_refused():
    with pytest.raises(ValueError, match="floating-point inputs"):
        LinenRNN(LinenCell(jt.gru(4))).init(jax.random.key(0), jnp.ones((2, 3, 4), int))
