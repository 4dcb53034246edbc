"""Gated recurrent unit (Cho et al., 2014), in both of its forms."""

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import embed, glorot, input_product, orthogonal
from jaxtext.cells.backends import backends
from jaxtext.constructor import constructor
from jaxtext.kernels.gru import GRU
from jaxtext.kernels.products import along
from jaxtext.types import Array, Cell, DType


@constructor
def gru(
    hidden: int,
    *,
    reset_after: bool = True,
    dtype: DType = jnp.float32,
    param_dtype: DType = jnp.float32,
) -> Cell:
    """Gated recurrent unit: three computations where the LSTM has four.

    ::

        r = σ(x_t W_r + h_tm1 U_r + b_r)                  reset gate
        z = σ(x_t W_z + h_tm1 U_z + b_z)                  update gate
        n = tanh(x_t W_n + b_n + r ⊙ (h_tm1 U_n + b_hn))  if reset_after
        n = tanh(x_t W_n + b_n + (r ⊙ h_tm1) U_n)         otherwise
        h_t = (1 - z) ⊙ n + z ⊙ h_tm1
        y_t = h_t

    One gate both keeps and writes: what is not kept, ``1 - z``, is what is written.
    The two forms are different functions of the same weights, so weights trained in
    one do not carry over to the other.

    Args:
      hidden: ``H``, the width of state and output.
      reset_after: Whether the reset gate acts after the recurrent product (cuDNN's
        form, and that of torch and Keras; one product a step) or before it (the
        paper's form; a second product waits for the first).
      dtype: The type to compute in, and that of state and output.
      param_dtype: The type of the parameters.

    Returns:
      A cell. Its parameters are ``kernel [D, 3H]``, ``recurrent_kernel [H, 3H]`` and
      ``bias [3H]``, gates in the order ``r, z, n``, and with `reset_after` also
      ``recurrent_bias [H]``, the ``b_hn`` above. Its state is ``h [B, H]``.

    Example:
      >>> cell = gru(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> h, y = cell.step(params, cell.initial_state((2,)), jnp.ones((2, 3)))
      >>> y.shape
      (2, 4)

    References:
      Cho et al., "Learning phrase representations using RNN encoder-decoder for
      statistical machine translation", 2014, equations 5 to 8 (their ``z`` keeps, as
      here).
    """

    def init(key, input_size):
        input_key, recurrent_key = jax.random.split(key)
        params = {
            "kernel": glorot(input_key, input_size, hidden, 3, param_dtype),
            "recurrent_kernel": orthogonal(recurrent_key, hidden, 3, param_dtype),
            "bias": jnp.zeros(3 * hidden, param_dtype),
        }
        if reset_after:
            params["recurrent_bias"] = jnp.zeros(hidden, param_dtype)
        return params

    def initial_state(batch_shape) -> Array:
        return jnp.zeros((*batch_shape, hidden), dtype)

    def step(params, h_tm1, x, noise=None):
        del noise
        xs = input_product(x, params["kernel"], dtype)
        xs += along(params["bias"], xs).astype(dtype)
        x_rz, x_n = jnp.split(xs, [2 * hidden], axis=-1)
        u = params["recurrent_kernel"].astype(dtype)
        if reset_after:
            h_rz, h_n = jnp.split(h_tm1 @ u, [2 * hidden], axis=-1)
            r, z = jnp.split(jax.nn.sigmoid(x_rz + h_rz), 2, axis=-1)
            h_n += along(params["recurrent_bias"], h_n).astype(dtype)
            n = jnp.tanh(x_n + r * h_n)
        else:
            u_rz, u_n = jnp.split(u, [2 * hidden], axis=-1)
            r, z = jnp.split(jax.nn.sigmoid(x_rz + h_tm1 @ u_rz), 2, axis=-1)
            n = jnp.tanh(x_n + (r * h_tm1) @ u_n)
        h = (1 - z) * n + z * h_tm1
        return h, h

    ways = backends(GRU, dtype) if reset_after else ()
    return Cell(init, initial_state, step, backends=ways, embed=embed)
