"""LSTM with layer normalisation (Ba, Kiros and Hinton, 2016)."""

import jax.numpy as jnp

from jaxtext.cells.layer_norm import layer_norm, normalised, of_product, weights
from jaxtext.cells.lstm import LSTMState, lstm
from jaxtext.constructor import constructor
from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.gates import activations
from jaxtext.kernels.layer_norm import LAYER_NORM_LSTM, centred
from jaxtext.kernels.products import along
from jaxtext.types import Cell, DType


@constructor
def layer_norm_lstm(
    hidden: int, *, dtype: DType = jnp.float32, param_dtype: DType = jnp.float32
) -> Cell:
    """LSTM whose products and cell state are normalised, each on its own.

    ::

        i, f, g, o = LN(x_t W; α_x) + LN(h_tm1 U; α_h) + b
        c_t = σ(f) ⊙ c_tm1 + σ(i) ⊙ tanh(g)
        h_t = σ(o) ⊙ tanh(LN(c_t; α_c) + b_c)
        y_t = h_t

    The gates do not depend on how large the input or the weights are, and the two
    products stay in balance. The cell state ``c_t`` is carried as it is; only what is
    read from it is normalised. Each ``LN`` of a product is over all four
    gates together, as in the paper, whose biases after both are part of ``b`` here.

    Args:
      hidden: ``H``, the width of both states and of the output.
      dtype: The type to compute in, and that of ``h`` and output; ``c`` and what is
        normalised are ``promote_types(dtype, float32)``.
      param_dtype: The type of the parameters.

    Returns:
      A cell. Its parameters are those of `jaxtext.lstm` and ``input_scale [4H]``,
      ``recurrent_scale [4H]``, ``cell_scale [H]`` and ``cell_bias [H]``, the ``α_x``,
      ``α_h``, ``α_c`` and ``b_c`` above. Its state is an `LSTMState`.

    Example:
      >>> import jax
      >>> cell = layer_norm_lstm(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> state, y = cell.step(params, cell.initial_state((2,)), jnp.ones((2, 3)))
      >>> state.c.shape, y.shape
      ((2, 4), (2, 4))

    References:
      Ba, Kiros and Hinton, "Layer normalization", 2016, the LSTM of the supplementary
      material.
    """
    plain = lstm(hidden, dtype=dtype, param_dtype=param_dtype)
    cell_dtype = accumulation_dtype(dtype)

    def normal(params):
        def of_row(z):
            z = layer_norm(z, params["input_scale"])
            return z + along(params["bias"], z).astype(cell_dtype)

        return of_row

    def inputs(params, x):
        return of_product(x, params["kernel"].astype(dtype), normal(params))

    def made_of(params, xs):
        cell = params["cell_scale"], params["cell_bias"]
        return weights(
            params,
            xs,
            dtype,
            function=normal(params),
            centre=centred,
            inner=(params["recurrent_scale"], cell),
        ), xs

    def gates(params, z, u, state):
        del state
        z += layer_norm(u, params["recurrent_scale"])
        return dict(zip("ifgo", activations(z, (True, True, False, True)), strict=True))

    def core(params, z, u, state):
        i, f, g, o = gates(params, z, u, state).values()
        c = f * state.c + i * g
        read = layer_norm(c, params["cell_scale"])
        read += along(params["cell_bias"], read).astype(cell_dtype)
        return LSTMState(c, (o * jnp.tanh(read)).astype(dtype))

    extra = {
        "input_scale": (4 * hidden, 1.0),
        "recurrent_scale": (4 * hidden, 1.0),
        "cell_scale": (hidden, 1.0),
        "cell_bias": (hidden, 0.0),
    }
    return normalised(
        plain,
        extra,
        inputs,
        core,
        dtype,
        param_dtype,
        by_hand=LAYER_NORM_LSTM,
        made_of=made_of,
        gates=gates,
    )
