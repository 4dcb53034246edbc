"""ParaLSTM, an LSTM trained in parallel over time (Danieli et al., 2026)."""

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import diagonal, embed, glorot
from jaxtext.cells.lstm import LSTMState
from jaxtext.constructor import constructor
from jaxtext.floats import accumulation_dtype
from jaxtext.kernels import autodiff, newton
from jaxtext.kernels.products import Multiply, along, multiply
from jaxtext.types import Cell, DType


@constructor
def para_lstm(
    hidden: int, *, dtype: DType = jnp.float32, param_dtype: DType = jnp.float32
) -> Cell:
    """An LSTM in which each unit sees only its own states.

    ::

        f = σ(x_t W_f + a_f ⊙ h_tm1 + p_f ⊙ c_tm1 + b_f)    forget gate
        g = tanh(x_t W_g + a_g ⊙ h_tm1 + b_g)               candidate
        c_t = f ⊙ c_tm1 + (1 - f) ⊙ g
        o = σ(x_t W_o + a_o ⊙ h_tm1 + p_o ⊙ c_t + b_o)      output gate
        h_t = o ⊙ tanh(c_t)
        y_t = h_t

    It has the diagonal recurrent weights of `jaxtext.para_gru`, the coupled gates of
    `jaxtext.coupled_lstm` and the peepholes of `jaxtext.peephole_lstm`. All steps can
    be taken at once, by Newton's method: ``unroll(..., backend="newton")``. The
    derivative of a step is a matrix of two by two for each unit.

    Args:
      hidden: ``H``, the width of both states and of the output.
      dtype: The type to compute products in, and that of ``h`` and output; ``c`` and
        the gates are ``promote_types(dtype, float32)``.
      param_dtype: The type of the parameters.

    Returns:
      A cell. Its parameters are ``kernel [D, 3H]``, ``recurrent_diagonal [3H]``, the
      ``a_f, a_g, a_o`` above, which start uniform in ``[-1, 1)``, ``peephole [2H]``,
      which starts at zero, and ``bias [3H]``; the forget gate's bias starts at one. Its
      state is an `LSTMState`.

    Example:
      >>> import jaxtext as jt
      >>> cell = para_lstm(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> _, ys = jt.unroll(cell, params, None, jnp.ones((2, 100, 3)), backend="newton")
      >>> ys.shape
      (2, 100, 4)

    References:
      Danieli, Rodríguez, Sarabia, Suau and Zappella, "ParaRNN: unlocking parallel
      training of nonlinear RNNs for large language models", 2026, ParaLSTM.
    """
    cell_dtype = accumulation_dtype(dtype)

    def init(key, input_size):
        bias = jnp.zeros((3, hidden), param_dtype).at[0].set(1)
        return {
            "kernel": glorot(key, input_size, hidden, 3, param_dtype),
            "recurrent_diagonal": diagonal(key, hidden, 3, param_dtype),
            "peephole": jnp.zeros(2 * hidden, param_dtype),
            "bias": bias.reshape(-1),
        }

    def initial_state(batch_shape) -> LSTMState:
        shape = (*batch_shape, hidden)
        return LSTMState(jnp.zeros(shape, cell_dtype), jnp.zeros(shape, dtype))

    def inputs(params, x, multiply: Multiply = multiply):
        z = multiply((x, params["kernel"]), bias=params["bias"], dtype=dtype)
        return z.astype(cell_dtype)

    def gates_and_c(params, state, z):
        a, p = (
            along(params[name], z).astype(cell_dtype)
            for name in ("recurrent_diagonal", "peephole")
        )
        h_tm1 = state.h.astype(cell_dtype)
        f, g, o = jnp.split(z + a * jnp.tile(h_tm1, 3), 3, axis=-1)
        p_f, p_o = jnp.split(p, 2, axis=-1)
        f = jax.nn.sigmoid(f + p_f * state.c)
        g = jnp.tanh(g)
        c = f * state.c + (1 - f) * g
        return {"f": f, "g": g, "o": jax.nn.sigmoid(o + p_o * c)}, c

    def after(params, state, z):
        named, c = gates_and_c(params, state, z)
        return LSTMState(c, named["o"] * jnp.tanh(c))

    def output(state):
        return state.h.astype(dtype)

    def gates(params, state, x, noise=None):
        del noise
        return gates_and_c(params, state, inputs(params, x))[0]

    def step(params, state, x, noise=None, multiply: Multiply = multiply):
        del noise
        c, h = after(params, state, inputs(params, x, multiply))
        h = h.astype(dtype)
        return LSTMState(c, h), h

    return Cell(
        init,
        initial_state,
        step,
        backends=(
            *autodiff.backends(step, initial_state),
            *newton.backends(newton.Step(inputs, after, output)),
        ),
        embed=embed,
        gates=gates,
        output_size=hidden,
        state_size=LSTMState(hidden, hidden),
    )
