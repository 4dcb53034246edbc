"""LSTM with coupled input and forget gates (Greff et al., 2017)."""

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import affine, embed, weights
from jaxtext.cells.lstm import LSTMState, lstm
from jaxtext.constructor import constructor
from jaxtext.floats import accumulation_dtype
from jaxtext.kernels import autodiff
from jaxtext.kernels.products import Multiply, multiply
from jaxtext.types import Cell, DType


@constructor
def coupled_lstm(
    hidden: int, *, dtype: DType = jnp.float32, param_dtype: DType = jnp.float32
) -> Cell:
    """LSTM that forgets as much as it writes, with three quarters of the parameters.

    ::

        i = σ(x_t W_i + h_tm1 U_i + b_i)        input gate
        g = tanh(x_t W_g + h_tm1 U_g + b_g)     candidate
        o = σ(x_t W_o + h_tm1 U_o + b_o)        output gate
        c_t = (1 - i) ⊙ c_tm1 + i ⊙ g
        h_t = o ⊙ tanh(c_t)
        y_t = h_t

    The cell state is a weighted mean of candidates and so stays within ``(-1, 1)``:
    unlike that of `jaxtext.lstm`, it cannot count.

    Args:
      hidden: ``H``, the width of both states and of the output.
      dtype: The type to compute in, and that of ``h`` and output; ``c`` is
        ``promote_types(dtype, float32)``.
      param_dtype: The type of the parameters.

    Returns:
      A cell. Its parameters are ``kernel [D, 3H]``, ``recurrent_kernel [H, 3H]`` and
      ``bias [3H]``, gates in the order ``i, g, o``; the input gate's bias starts at
      minus one, so that as much is kept as with a forget bias of one. Its state is an
      `LSTMState`.

    Example:
      >>> cell = coupled_lstm(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> state, y = cell.step(params, cell.initial_state((2,)), jnp.ones((2, 3)))
      >>> state.c.shape, y.shape
      ((2, 4), (2, 4))

    References:
      Greff, Srivastava, Koutník, Steunebrink and Schmidhuber, "LSTM: a search space
      odyssey", 2017, variant CIFG, here without peepholes.
    """
    plain = lstm(hidden, dtype=dtype, param_dtype=param_dtype)
    cell_dtype = accumulation_dtype(dtype)

    def init(key, input_size):
        bias = jnp.zeros((3, hidden), param_dtype).at[0].set(-1)
        params = weights(key, input_size, hidden, 3, param_dtype)
        return {**params, "bias": bias.reshape(-1)}

    def gates(params, state, x, noise=None, multiply: Multiply = multiply):
        del noise
        z = affine(params, x, state.h, dtype, multiply)
        i, g, o = jnp.split(z.astype(cell_dtype), 3, axis=-1)
        return {"i": jax.nn.sigmoid(i), "g": jnp.tanh(g), "o": jax.nn.sigmoid(o)}

    def step(params, state, x, noise=None, multiply: Multiply = multiply):
        i, g, o = gates(params, state, x, noise, multiply).values()
        c = (1 - i) * state.c + i * g
        h = (o * jnp.tanh(c)).astype(dtype)
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
