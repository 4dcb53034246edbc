"""GRU with layer normalisation (Ba, Kiros and Hinton, 2016)."""

import jax.numpy as jnp

from jaxtext.cells.gru import gru
from jaxtext.cells.layer_norm import layer_norm, normalised, of_product, weights
from jaxtext.constructor import constructor
from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.gates import activations
from jaxtext.kernels.layer_norm import LAYER_NORM_GRU, centred
from jaxtext.kernels.products import along
from jaxtext.types import Cell, DType


@constructor
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
    together or over the candidate only, as in the paper. Its biases after the two
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
      >>> import jax
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
    norm_dtype = accumulation_dtype(dtype)

    def apart(z):
        """The part of the gates, and that of the candidate."""
        return jnp.split(z, [2 * hidden], axis=-1)

    def both(z, scale):
        return list(map(layer_norm, apart(z), apart(scale)))

    def normal(params):
        def of_row(z):
            z = jnp.concatenate(both(z, params["input_scale"]), axis=-1)
            return z + along(params["bias"], z).astype(norm_dtype)

        return of_row

    def inputs(params, x):
        return of_product(x, params["kernel"].astype(dtype), normal(params))

    def centre(kernel):
        return jnp.concatenate(list(map(centred, apart(kernel))), axis=-1)

    def made_of(params, xs):
        return weights(
            params,
            xs,
            dtype,
            function=normal(params),
            centre=centre,
            inner=(params["recurrent_scale"], params["recurrent_bias"]),
        ), xs

    def gates(params, z, u, state):
        del state
        x_rz, x_n = apart(z)
        h_rz, h_n = both(u, params["recurrent_scale"])
        r, z = activations(x_rz + h_rz, (True, True))
        h_n += along(params["recurrent_bias"], h_n).astype(norm_dtype)
        return {"r": r, "z": z, "n": jnp.tanh(x_n + r * h_n)}

    def core(params, z, u, state):
        _, z, n = gates(params, z, u, state).values()
        return ((1 - z) * n + z * state.astype(norm_dtype)).astype(dtype)

    scales = {"input_scale": (3 * hidden, 1.0), "recurrent_scale": (3 * hidden, 1.0)}
    return normalised(
        plain,
        scales,
        inputs,
        core,
        dtype,
        param_dtype,
        by_hand=LAYER_NORM_GRU,
        made_of=made_of,
        gates=gates,
    )
