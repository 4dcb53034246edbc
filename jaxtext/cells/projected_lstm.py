"""LSTM with a recurrent projection (Sak, Senior and Beaufays, 2014)."""

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import embed, glorot
from jaxtext.cells.lstm import LSTMState, lstm, lstm_gates
from jaxtext.constructor import constructor
from jaxtext.errors import InputError
from jaxtext.kernels import autodiff
from jaxtext.kernels.products import Multiply, multiply
from jaxtext.types import Cell, DType


@constructor
def projected_lstm(
    hidden: int,
    projection: int,
    *,
    dtype: DType = jnp.float32,
    param_dtype: DType = jnp.float32,
) -> Cell:
    """LSTM whose output is projected to fewer units before it is fed back.

    ::

        i, f, g, o = x_t W + h_tm1 U + b
        c_t = σ(f) ⊙ c_tm1 + σ(i) ⊙ tanh(g)
        h_t = (σ(o) ⊙ tanh(c_t)) W_h
        y_t = h_t

    The recurrent product and the output have ``projection`` units instead of
    ``hidden``. So a large memory takes the parameters and the time of a smaller one.

    Args:
      hidden: ``H``, the width of the cell state.
      projection: ``P``, the width of ``h`` and output, at most ``H``.
      dtype: The type to compute in, and that of ``h`` and output; ``c`` is
        ``promote_types(dtype, float32)``.
      param_dtype: The type of the parameters.

    Returns:
      A cell. Its parameters are ``kernel [D, 4H]``, ``recurrent_kernel [P, 4H]``,
      ``bias [4H]``, gates in the order ``i, f, g, o``, and ``projection [H, P]``, the
      ``W_h`` above. Its state is an `LSTMState` of ``c [B, H]`` and ``h [B, P]``.

    Raises:
      ValueError: If `projection` is not between 1 and `hidden`.

    Example:
      >>> cell = projected_lstm(8, 3)
      >>> params = cell.init(jax.random.key(0), 5)
      >>> state, y = cell.step(params, cell.initial_state((2,)), jnp.ones((2, 5)))
      >>> state.c.shape, y.shape
      ((2, 8), (2, 3))

    References:
      Sak, Senior and Beaufays, "Long short-term memory recurrent neural network
      architectures for large scale acoustic modeling", 2014, the recurrent projection,
      without peepholes and without the projection that is not fed back.
    """
    if projection > hidden:
        raise InputError(
            f"projection: expected at most hidden = {hidden}, got {projection}"
        )
    plain = lstm(hidden, dtype=dtype, param_dtype=param_dtype)

    def init(key, input_size):
        plain_key, projection_key = jax.random.split(key)
        params = plain.init(plain_key, input_size)
        # The rows of an orthogonal matrix keep the length of what they multiply.
        params["recurrent_kernel"] = params["recurrent_kernel"][:projection]
        w_h = glorot(projection_key, hidden, projection, 1, param_dtype)
        return {**params, "projection": w_h}

    def initial_state(batch_shape) -> LSTMState:
        c, h = plain.initial_state(batch_shape)
        return LSTMState(c, h[..., :projection])

    def gates(params, state, x, noise=None, multiply: Multiply = multiply):
        del noise
        return lstm_gates(params, state, x, dtype, multiply=multiply)

    def step(params, state, x, noise=None, multiply: Multiply = multiply):
        i, f, g, o = gates(params, state, x, noise, multiply).values()
        c = f * state.c + i * g
        read = (o * jnp.tanh(c)).astype(dtype)
        h = multiply((read, params["projection"]), dtype=dtype)
        return LSTMState(c, h), h

    return Cell(
        init,
        initial_state,
        step,
        backends=autodiff.backends(step, initial_state),
        embed=embed,
        gates=gates,
        output_size=projection,
        state_size=LSTMState(hidden, projection),
    )
