"""The plain recurrent network (Elman, 1990)."""

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import affine, embed, glorot, orthogonal
from jaxtext.cells.backends import backends
from jaxtext.constructor import constructor
from jaxtext.kernels.rnn import RNN
from jaxtext.types import Array, Cell, DType


@constructor
def rnn(
    hidden: int, *, dtype: DType = jnp.float32, param_dtype: DType = jnp.float32
) -> Cell:
    """Elman's recurrent network: one tanh of input and previous state.

    ::

        h_t = tanh(x_t W + h_tm1 U + b)
        y_t = h_t

    Backpropagated through ``k`` steps, a gradient is multiplied ``k`` times by ``U``
    and by tanh's slope: it vanishes or explodes with ``k``. This is the network that
    forgets; `lstm` and `gru` are the two that were built to hold on.

    Args:
      hidden: ``H``, the width of state and output.
      dtype: The type to compute in, and that of state and output.
      param_dtype: The type of the parameters.

    Returns:
      A cell. Its parameters are ``kernel [D, H]``, ``recurrent_kernel [H, H]`` and
      ``bias [H]``; its state is ``h [B, H]``.

    Example:
      >>> cell = rnn(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> h, y = cell.step(params, cell.initial_state((2,)), jnp.ones((2, 3)))
      >>> y.shape
      (2, 4)

    References:
      Elman, "Finding structure in time", 1990.
    """

    def init(key, input_size):
        input_key, recurrent_key = jax.random.split(key)
        return {
            "kernel": glorot(input_key, input_size, hidden, 1, param_dtype),
            "recurrent_kernel": orthogonal(recurrent_key, hidden, 1, param_dtype),
            "bias": jnp.zeros(hidden, param_dtype),
        }

    def initial_state(batch_shape) -> Array:
        return jnp.zeros((*batch_shape, hidden), dtype)

    def step(params, h_tm1, x, noise=None):
        del noise
        h = jnp.tanh(affine(params, x, h_tm1, dtype))
        return h, h

    return Cell(init, initial_state, step, backends=backends(RNN, dtype), embed=embed)
