"""LSTM with layer normalisation (Ba, Kiros and Hinton, 2016)."""

import jax.numpy as jnp

from jaxtext.cells.affine import embed
from jaxtext.cells.layer_norm import layer_norm, of_product
from jaxtext.cells.lstm import LSTMState, lstm
from jaxtext.constructor import constructor
from jaxtext.kernels import one_product
from jaxtext.kernels.gates import activations
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

    Neither how large the input is nor how large the weights have grown reaches the
    gates, and the two products stay in balance. What is carried, ``c_t``, is not
    normalised: only what is read from it. Each ``LN`` of a product is over all four
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
    cell_dtype = jnp.promote_types(dtype, jnp.float32)

    def init(key, input_size):
        return {
            **plain.init(key, input_size),
            "input_scale": jnp.ones(4 * hidden, param_dtype),
            "recurrent_scale": jnp.ones(4 * hidden, param_dtype),
            "cell_scale": jnp.ones(hidden, param_dtype),
            "cell_bias": jnp.zeros(hidden, param_dtype),
        }

    def inputs(params, x):
        def normalised(z):
            z = layer_norm(z, params["input_scale"])
            return z + along(params["bias"], z).astype(cell_dtype)

        return of_product(x, params["kernel"].astype(dtype), normalised)

    def core(params, z, u, state):
        z += layer_norm(u, params["recurrent_scale"])
        i, f, g, o = activations(z, (True, True, False, True))
        c = f * state.c + i * g
        read = layer_norm(c, params["cell_scale"])
        read += along(params["cell_bias"], read).astype(cell_dtype)
        h = (o * jnp.tanh(read)).astype(dtype)
        return LSTMState(c, h)

    def step(params, state, x, noise=None):
        del noise
        u = state.h @ params["recurrent_kernel"].astype(dtype)
        state = core(params, inputs(params, x), u, state)
        return state, state.h

    own = "recurrent_scale", "cell_scale", "cell_bias"
    ways = (one_product.backend(core, inputs, own, dtype),)
    return Cell(init, plain.initial_state, step, backends=ways, embed=embed)
