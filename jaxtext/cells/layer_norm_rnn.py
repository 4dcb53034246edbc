"""Plain recurrent network with layer normalisation (Ba, Kiros and Hinton, 2016)."""

import jax.numpy as jnp

from jaxtext.cells.layer_norm import layer_norm, normalised
from jaxtext.cells.rnn import rnn
from jaxtext.constructor import constructor
from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.gates import Weights
from jaxtext.kernels.layer_norm import LAYER_NORM_RNN, centred
from jaxtext.kernels.products import along, product
from jaxtext.types import Cell, DType


@constructor
def layer_norm_rnn(
    hidden: int, *, dtype: DType = jnp.float32, param_dtype: DType = jnp.float32
) -> Cell:
    """Elman's recurrent network, what goes into its tanh being normalised.

    ::

        h_t = tanh(LN(x_t W + h_tm1 U; α) + b)
        y_t = h_t

    Large weights no longer make gradients explode. Gradients can still vanish.

    Args:
      hidden: ``H``, the width of state and output.
      dtype: The type to compute in, and that of state and output; what is normalised
        is ``promote_types(dtype, float32)``.
      param_dtype: The type of the parameters.

    Returns:
      A cell. Its parameters are those of `jaxtext.rnn` and ``scale [H]``, the ``α``
      above. Its state is ``h [B, H]``.

    Example:
      >>> import jax
      >>> cell = layer_norm_rnn(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> h, y = cell.step(params, cell.initial_state((2,)), jnp.ones((2, 3)))
      >>> y.shape
      (2, 4)

    References:
      Ba, Kiros and Hinton, "Layer normalization", 2016, equation 4.
    """
    plain = rnn(hidden, dtype=dtype, param_dtype=param_dtype)
    norm_dtype = accumulation_dtype(dtype)

    def inputs(params, x):
        return product(x, params["kernel"].astype(dtype))

    def core(params, z, u, state):
        del state
        total = layer_norm(z + u, params["scale"])
        total += along(params["bias"], total).astype(norm_dtype)
        return jnp.tanh(total).astype(dtype)

    def made_of(params, xs):
        kernel = centred(params["kernel"]).astype(dtype)
        recurrent = centred(params["recurrent_kernel"])
        inner = params["scale"], params["bias"]
        return Weights(kernel, recurrent, None, inner), xs

    return normalised(
        plain,
        {"scale": (hidden, 1.0)},
        inputs,
        core,
        dtype,
        param_dtype,
        by_hand=LAYER_NORM_RNN,
        made_of=made_of,
    )
