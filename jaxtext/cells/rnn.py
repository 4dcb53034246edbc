"""The plain recurrent network (Elman, 1990)."""

import jax.numpy as jnp

from jaxtext.cells.affine import (
    GLOROT,
    ORTHOGONAL,
    ZEROS,
    Initializer,
    affine,
    biases,
    embed,
    weights,
)
from jaxtext.cells.backends import backends
from jaxtext.cells.heads import in_heads
from jaxtext.constructor import constructor
from jaxtext.kernels.products import Multiply, multiply
from jaxtext.kernels.rnn import RNN
from jaxtext.types import Activation, Array, Cell, DType


@constructor
@in_heads
def rnn(
    hidden: int,
    *,
    heads: int = 1,
    dtype: DType = jnp.float32,
    param_dtype: DType = jnp.float32,
    use_bias: bool = True,
    activation: Activation = jnp.tanh,
    kernel_init: Initializer = GLOROT,
    recurrent_kernel_init: Initializer = ORTHOGONAL,
    bias_init: Initializer = ZEROS,
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
      heads: ``N``, how many heads the recurrence has; it has to divide `hidden`. Each
        reads the whole input and its own ``H / N`` units of the state, so ``U`` is
        block-diagonal and takes ``1 / N`` of the work. Parameters have an axis ``N``
        in front: ``recurrent_kernel [N, H/N, H/N]``, and each block is drawn as a
        cell of its own.
      dtype: The type to compute in, and that of state and output.
      param_dtype: The type of the parameters.
      use_bias: Whether there are biases.
      activation: An elementwise function in place of ``tanh``. Backends with a
        hand-derived backward pass support only ``jnp.tanh``.
      kernel_init: The initializer of ``kernel``, as in ``jax.nn.initializers``. Make it
        once and reuse it: each call of ``jax.nn.initializers.normal()`` makes another
        function, and so another cell.
      recurrent_kernel_init: The same for ``recurrent_kernel``.
      bias_init: The same for ``bias``.

    Returns:
      A cell. Its parameters are ``kernel [D, H]``, ``recurrent_kernel [H, H]`` and
      ``bias [H]``; its state is ``h [B, H]``.

    Example:
      >>> import jax
      >>> cell = rnn(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> h, y = cell.step(params, cell.initial_state((2,)), jnp.ones((2, 3)))
      >>> y.shape
      (2, 4)

    References:
      Elman, "Finding structure in time", 1990.
    """
    del heads  # `in_heads` makes them of what follows

    def init(key, input_size):
        params = weights(
            key,
            input_size,
            hidden,
            1,
            param_dtype,
            kernel_init=kernel_init,
            recurrent_kernel_init=recurrent_kernel_init,
        )
        if use_bias:
            params["bias"] = biases(key, hidden, 1, param_dtype, bias_init)
        return params

    def initial_state(batch_shape) -> Array:
        return jnp.zeros((*batch_shape, hidden), dtype)

    def step(params, state, x, noise=None, multiply: Multiply = multiply):
        del noise
        h_tm1 = state
        h = activation(affine(params, x, h_tm1, dtype, multiply))
        return h, h

    return Cell(
        init,
        initial_state,
        step,
        backends=backends(RNN, dtype, activation),
        embed=embed,
        output_size=hidden,
        state_size=hidden,
    )
