"""LSTM with peephole connections (Gers and Schmidhuber, 2000)."""

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import affine, embed
from jaxtext.cells.lstm import LSTMState, lstm
from jaxtext.constructor import constructor
from jaxtext.floats import accumulation_dtype
from jaxtext.kernels import autodiff
from jaxtext.kernels.products import Multiply, along, multiply
from jaxtext.types import Cell, DType


@constructor
def peephole_lstm(
    hidden: int, *, dtype: DType = jnp.float32, param_dtype: DType = jnp.float32
) -> Cell:
    """LSTM whose gates also see the cell state.

    ::

        i = σ(x_t W_i + h_tm1 U_i + p_i ⊙ c_tm1 + b_i)    input gate
        f = σ(x_t W_f + h_tm1 U_f + p_f ⊙ c_tm1 + b_f)    forget gate
        g = tanh(x_t W_g + h_tm1 U_g + b_g)               candidate
        c_t = f ⊙ c_tm1 + i ⊙ g
        o = σ(x_t W_o + h_tm1 U_o + p_o ⊙ c_t + b_o)      output gate
        h_t = o ⊙ tanh(c_t)
        y_t = h_t

    Without them, a gate sees a cell state only through ``h_tm1``, and so not while the
    output gate is closed: it could not use the cell to measure time. Each gate sees the
    cell of its own unit; the output gate sees it as it is after the step.

    Args:
      hidden: ``H``, the width of both states and of the output.
      dtype: The type to compute in, and that of ``h`` and output; ``c`` and its way to
        the gates are ``promote_types(dtype, float32)``.
      param_dtype: The type of the parameters.

    Returns:
      A cell. Its parameters are those of `jaxtext.lstm` and ``peephole [3H]``, the
      ``p_i, p_f, p_o`` above, which start at zero: the cell starts as a plain LSTM.
      Its state is an `LSTMState`.

    Example:
      >>> cell = peephole_lstm(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> state, y = cell.step(params, cell.initial_state((2,)), jnp.ones((2, 3)))
      >>> state.c.shape, y.shape
      ((2, 4), (2, 4))

    References:
      Gers and Schmidhuber, "Recurrent nets that time and count", 2000. Gers,
      Schraudolph and Schmidhuber, "Learning precise timing with LSTM recurrent
      networks", 2002.
    """
    plain = lstm(hidden, dtype=dtype, param_dtype=param_dtype)
    cell_dtype = accumulation_dtype(dtype)

    def init(key, input_size):
        peephole = jnp.zeros(3 * hidden, param_dtype)
        return {**plain.init(key, input_size), "peephole": peephole}

    def gates_and_c(params, state, x, multiply):
        z = affine(params, x, state.h, dtype, multiply)
        i, f, g, o = jnp.split(z.astype(cell_dtype), 4, axis=-1)
        peephole = along(params["peephole"], z).astype(cell_dtype)
        p_i, p_f, p_o = jnp.split(peephole, 3, axis=-1)
        i = jax.nn.sigmoid(i + p_i * state.c)
        f = jax.nn.sigmoid(f + p_f * state.c)
        g = jnp.tanh(g)
        c = f * state.c + i * g
        return {"i": i, "f": f, "g": g, "o": jax.nn.sigmoid(o + p_o * c)}, c

    def gates(params, state, x, noise=None, multiply: Multiply = multiply):
        del noise
        return gates_and_c(params, state, x, multiply)[0]

    def step(params, state, x, noise=None, multiply: Multiply = multiply):
        del noise
        named, c = gates_and_c(params, state, x, multiply)
        h = (named["o"] * jnp.tanh(c)).astype(dtype)
        return LSTMState(c, h), h

    return Cell(
        init,
        plain.initial_state,
        step,
        backends=autodiff.backends(step, plain.initial_state),
        embed=embed,
        gates=gates,
        output_size=hidden,
        state_size=plain.state_size,
    )
