"""Gated recurrent unit (Cho et al., 2014), in both of its forms."""

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import (
    GLOROT,
    ORTHOGONAL,
    ZEROS,
    Initializer,
    affine,
    biased,
    biases,
    embed,
    gates_apart,
    weights,
)
from jaxtext.cells.backends import backends
from jaxtext.cells.heads import in_heads
from jaxtext.constructor import constructor
from jaxtext.kernels import autodiff
from jaxtext.kernels.gru import GRU
from jaxtext.kernels.products import Multiply, multiply
from jaxtext.types import Activation, Array, Cell, DType


@constructor
@in_heads
def gru(
    hidden: int,
    *,
    heads: int = 1,
    reset_after: bool = True,
    dtype: DType = jnp.float32,
    param_dtype: DType = jnp.float32,
    use_bias: bool = True,
    activation: Activation = jnp.tanh,
    kernel_init: Initializer = GLOROT,
    recurrent_kernel_init: Initializer = ORTHOGONAL,
    bias_init: Initializer = ZEROS,
) -> Cell:
    """Gated recurrent unit: three computations where the LSTM has four.

    ::

        r = σ(x_t W_r + h_tm1 U_r + b_r)                  reset gate
        z = σ(x_t W_z + h_tm1 U_z + b_z)                  update gate
        n = tanh(x_t W_n + b_n + r ⊙ (h_tm1 U_n + b_hn))  if reset_after
        n = tanh(x_t W_n + b_n + (r ⊙ h_tm1) U_n)         otherwise
        h_t = (1 - z) ⊙ n + z ⊙ h_tm1
        y_t = h_t

    One gate both keeps and writes: it keeps a share ``z`` and writes ``1 - z``.
    The two forms are different functions of the same weights, so weights trained in
    one do not carry over to the other.

    Args:
      hidden: ``H``, the width of state and output.
      heads: ``N``, how many heads the recurrence has; it has to divide `hidden`. Each
        reads the whole input and its own ``H / N`` units of the state, so ``U`` is
        block-diagonal and takes ``1 / N`` of the work. Parameters have an axis ``N``
        in front: ``recurrent_kernel [N, H/N, 3H/N]``, and each block is drawn as a
        cell of its own.
      reset_after: Whether the reset gate acts after the recurrent product (cuDNN's
        form, and that of torch and Keras; one product a step) or before it (the
        paper's form; a second product waits for the first).
      dtype: The type to compute in, and that of state and output.
      param_dtype: The type of the parameters.
      use_bias: Whether there are biases.
      activation: An elementwise function in place of ``tanh``. Backends with a
        hand-derived backward pass support only ``jnp.tanh``.
      kernel_init: The initializer of each gate's part of ``kernel``, as in
        ``jax.nn.initializers``. Make it once and reuse it: each call of
        ``jax.nn.initializers.normal()`` makes another function, and so another cell.
      recurrent_kernel_init: The same for ``recurrent_kernel``.
      bias_init: The same for the biases.

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
    del heads  # `in_heads` makes them of what follows

    def init(key, input_size):
        params = weights(
            key,
            input_size,
            hidden,
            3,
            param_dtype,
            kernel_init=kernel_init,
            recurrent_kernel_init=recurrent_kernel_init,
        )
        if use_bias:
            bias = biases(key, hidden, 4, param_dtype, bias_init)
            params["bias"] = bias[: 3 * hidden]
            if reset_after:
                params["recurrent_bias"] = bias[3 * hidden :]
        return params

    def initial_state(batch_shape) -> Array:
        return jnp.zeros((*batch_shape, hidden), dtype)

    def gates(params, state, x, noise=None, multiply: Multiply = multiply):
        del noise
        h_tm1 = state
        if reset_after:
            xs = multiply((x, params["kernel"]), bias=params.get("bias"), dtype=dtype)
            hs = multiply((h_tm1, params["recurrent_kernel"]), dtype=dtype)
            x_rz, x_n = jnp.split(xs, [2 * hidden], axis=-1)
            h_rz, h_n = jnp.split(hs, [2 * hidden], axis=-1)
            r, z = jnp.split(jax.nn.sigmoid(x_rz + h_rz), 2, axis=-1)
            h_n = biased(params, h_n, dtype, "recurrent_bias")
            n = activation(x_n + r * h_n)
        else:
            of_rz, of_n = gates_apart(params, (2 * hidden, hidden))
            rz = jax.nn.sigmoid(affine(of_rz, x, h_tm1, dtype, multiply))
            r, z = jnp.split(rz, 2, axis=-1)
            n = activation(affine(of_n, x, r * h_tm1, dtype, multiply))
        return {"r": r, "z": z, "n": n}

    def step(params, state, x, noise=None, multiply: Multiply = multiply):
        h_tm1 = state
        _, z, n = gates(params, state, x, noise, multiply).values()
        h = (1 - z) * n + z * h_tm1
        return h, h

    return Cell(
        init,
        initial_state,
        step,
        backends=(
            backends(GRU, dtype, activation)
            if reset_after
            else autodiff.backends(step, initial_state)
        ),
        embed=embed,
        gates=gates,
        output_size=hidden,
        state_size=hidden,
    )
