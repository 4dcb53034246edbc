"""GRU with layer normalisation (Ba, Kiros and Hinton, 2016)."""

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import embed, input_product
from jaxtext.cells.gru import gru
from jaxtext.cells.layer_norm import layer_norm
from jaxtext.types import Cell, DType


def layer_norm_gru(
    hidden: int, *, dtype: DType = jnp.float32, param_dtype: DType = jnp.float32
) -> Cell:
    """GRU whose input and recurrent products are normalised, each on its own.

    ::

        r, z = σ(LN(x_t W_rz; α_x) + LN(h_tm1 U_rz; α_h) + b_rz)
        n = tanh(LN(x_t W_n; α_xn) + b_n + r ⊙ (LN(h_tm1 U_n; α_hn) + b_hn))
        h_t = (1 - z) ⊙ n + z ⊙ h_tm1
        y_t = h_t

    The reset gate acts after the recurrent product, and each ``LN`` is over both gates
    together or over the candidate alone, as in the paper. Its biases after the two
    ``LN`` of the gates are one ``b_rz`` here, and its ``z`` is ``1 - z`` here, which
    keeps as that of `jaxtext.gru` does.

    Args:
      hidden: ``H``, the width of state and output.
      dtype: The type to compute in, and that of state and output; what is normalised
        is ``promote_types(dtype, float32)``.
      param_dtype: The type of the parameters.

    Returns:
      A cell. Its parameters are those of `jaxtext.gru` with the reset after, and
      ``input_scale [3H]`` and ``recurrent_scale [3H]``, the ``α`` above in the order
      ``r, z, n``. Its state is ``h [B, H]``.

    Example:
      >>> cell = layer_norm_gru(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> h, y = cell.step(params, cell.initial_state((2,)), jnp.ones((2, 3)))
      >>> y.shape
      (2, 4)

    References:
      Ba, Kiros and Hinton, "Layer normalization", 2016, the GRU of the supplementary
      material.
    """
    plain = gru(hidden, dtype=dtype, param_dtype=param_dtype)
    norm_dtype = jnp.promote_types(dtype, jnp.float32)

    def init(key, input_size):
        return {
            **plain.init(key, input_size),
            "input_scale": jnp.ones(3 * hidden, param_dtype),
            "recurrent_scale": jnp.ones(3 * hidden, param_dtype),
        }

    def normalised(product, scale):
        """Gates and candidate, each with statistics of its own."""
        parts = (jnp.split(a, [2 * hidden], axis=-1) for a in (product, scale))
        return [layer_norm(x, s) for x, s in zip(*parts, strict=True)]

    def step(params, h_tm1, x, noise=None):
        del noise
        from_x = input_product(x, params["kernel"], dtype)
        from_h = h_tm1 @ params["recurrent_kernel"].astype(dtype)
        x_rz, x_n = normalised(from_x, params["input_scale"])
        h_rz, h_n = normalised(from_h, params["recurrent_scale"])
        b_rz, b_n = jnp.split(params["bias"].astype(norm_dtype), [2 * hidden])
        b_hn = params["recurrent_bias"].astype(norm_dtype)
        r, z = jnp.split(jax.nn.sigmoid(x_rz + h_rz + b_rz), 2, axis=-1)
        n = jnp.tanh(x_n + b_n + r * (h_n + b_hn))
        h = ((1 - z) * n + z * h_tm1).astype(dtype)
        return h, h

    return Cell(init, plain.initial_state, step, embed=embed)
