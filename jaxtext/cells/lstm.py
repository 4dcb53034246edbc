"""Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import (
    GLOROT,
    ORTHOGONAL,
    Initializer,
    affine,
    biases,
    embed,
    weights,
)
from jaxtext.cells.backends import backends
from jaxtext.cells.heads import in_heads
from jaxtext.constructor import constructor
from jaxtext.errors import InputError
from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.cudnn import CUDNN
from jaxtext.kernels.lstm import LSTM
from jaxtext.kernels.products import Multiply, multiply
from jaxtext.types import Activation, Array, Cell, DType, Params


class LSTMState(NamedTuple):
    """State of an LSTM: the cell state, at least float32, and the hidden state.

    Attributes:
      c: The cell state, ``[B, H]``.
      h: The hidden state, ``[B, H]``, which is also the output.
    """

    c: Any
    h: Any


@constructor
@in_heads
def lstm(
    hidden: int,
    *,
    heads: int = 1,
    dtype: DType = jnp.float32,
    param_dtype: DType = jnp.float32,
    chrono: int | None = None,
    use_bias: bool = True,
    activation: Activation = jnp.tanh,
    kernel_init: Initializer = GLOROT,
    recurrent_kernel_init: Initializer = ORTHOGONAL,
    bias_init: Initializer | None = None,
) -> Cell:
    """Long short-term memory with a forget gate.

    ::

        i = σ(x_t W_i + h_tm1 U_i + b_i)        update (input) gate
        f = σ(x_t W_f + h_tm1 U_f + b_f)        forget gate
        g = tanh(x_t W_g + h_tm1 U_g + b_g)     candidate
        o = σ(x_t W_o + h_tm1 U_o + b_o)        output gate
        c_t = f ⊙ c_tm1 + i ⊙ g
        h_t = o ⊙ tanh(c_t)
        y_t = h_t

    The cell state is carried by a sum, not by a product with a matrix. While ``f`` is
    near one, its content and the gradient by it last for hundreds of steps.

    Args:
      hidden: ``H``, the width of both states and of the output.
      heads: ``N``, how many heads the recurrence has; it has to divide `hidden`. Each
        reads the whole input and its own ``H / N`` units of the state, so ``U`` is
        block-diagonal and takes ``1 / N`` of the work. Parameters have an axis ``N``
        in front: ``recurrent_kernel [N, H/N, 4H/N]``, and each block is drawn as a
        cell of its own.
      dtype: The type to compute in, and that of ``h`` and output; ``c`` is
        ``promote_types(dtype, float32)``, as it adds up small terms over many steps.
      param_dtype: The type of the parameters.
      chrono: The number of steps to remember, 3 or more, if you know it. Units then
        start with memories of all lengths up to that, about ``1 + u`` steps each:
        ``b_f = log u`` and ``b_i = -b_f``, with ``u`` drawn uniformly from
        ``[1, chrono - 1]``.
      use_bias: Whether there are biases.
      activation: An elementwise function in place of ``tanh``. Backends with a
        hand-derived backward pass support only ``jnp.tanh``.
      kernel_init: The initializer of each gate's part of ``kernel``, as in
        ``jax.nn.initializers``. Make it once and reuse it: each call of
        ``jax.nn.initializers.normal()`` makes another function, and so another cell.
      recurrent_kernel_init: The same for ``recurrent_kernel``.
      bias_init: The same for ``bias``. ``None``: one for the forget gate and zero for
        the others, or as `chrono` says.

    Returns:
      A cell. Its parameters are ``kernel [D, 4H]``, ``recurrent_kernel [H, 4H]`` and
      ``bias [4H]``, gates in the order ``i, f, g, o``. Its state is an
      `LSTMState` of ``c [B, H]`` and ``h [B, H]``.

    Raises:
      ValueError: If `chrono` is less than 3, or given with `bias_init` or without
        biases.

    Example:
      >>> cell = lstm(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> state, y = cell.step(params, cell.initial_state((2,)), jnp.ones((2, 3)))
      >>> state.c.shape, y.shape
      ((2, 4), (2, 4))

    References:
      Hochreiter and Schmidhuber, "Long short-term memory", 1997. Gers, Schmidhuber
      and Cummins, "Learning to forget: continual prediction with LSTM", 2000. Forget
      bias of one: Jozefowicz, Zaremba and Sutskever, "An empirical exploration of
      recurrent network architectures", 2015. `chrono`: Tallec and Ollivier, "Can
      recurrent neural networks warp time?", 2018, equation 16.
    """
    del heads  # `in_heads` makes them of what follows
    if chrono is not None and (bias_init is not None or not use_bias):
        raise InputError(
            "chrono: it says how biases start; leave out bias_init and use_bias=False"
        )
    cell_dtype = accumulation_dtype(dtype)

    def bias(key):
        if bias_init is not None:
            return biases(key, hidden, 4, param_dtype, bias_init)
        start = jnp.zeros((4, hidden), param_dtype).at[1].set(1)
        if chrono is not None:
            # Not one of the two keys of `weights`, which are folds by 0 and 1.
            u_key = jax.random.fold_in(key, 2)
            u = jax.random.uniform(u_key, (hidden,), minval=1, maxval=chrono - 1)
            forget = jnp.log(u).astype(param_dtype)
            start = start.at[0].set(-forget).at[1].set(forget)
        return start.reshape(-1)

    def init(key, input_size):
        params = weights(
            key,
            input_size,
            hidden,
            4,
            param_dtype,
            kernel_init=kernel_init,
            recurrent_kernel_init=recurrent_kernel_init,
        )
        return {**params, "bias": bias(key)} if use_bias else params

    def initial_state(batch_shape) -> LSTMState:
        shape = (*batch_shape, hidden)
        return LSTMState(jnp.zeros(shape, cell_dtype), jnp.zeros(shape, dtype))

    def gates(params, state, x, noise=None, multiply: Multiply = multiply):
        del noise
        return lstm_gates(params, state, x, dtype, activation, multiply)

    def step(params, state, x, noise=None, multiply: Multiply = multiply):
        i, f, g, o = gates(params, state, x, noise, multiply).values()
        c = f * state.c + i * g
        h = (o * activation(c)).astype(dtype)
        return LSTMState(c, h), h

    return Cell(
        init,
        initial_state,
        step,
        backends=backends(LSTM, dtype, activation, cudnn=CUDNN),
        embed=embed,
        gates=gates,
        output_size=hidden,
        state_size=LSTMState(hidden, hidden),
    )


def lstm_gates(
    params: Params,
    state: LSTMState,
    x: Array,
    dtype: DType,
    activation: Activation = jnp.tanh,
    multiply: Multiply = multiply,
) -> dict[str, Array]:
    """``i, f, g, o`` of one step, in the type of the cell state."""
    cell_dtype = accumulation_dtype(dtype)
    z = affine(params, x, state.h, dtype, multiply)
    i, f, g, o = jnp.split(z.astype(cell_dtype), 4, axis=-1)
    return {
        "i": jax.nn.sigmoid(i),
        "f": jax.nn.sigmoid(f),
        "g": activation(g),
        "o": jax.nn.sigmoid(o),
    }
