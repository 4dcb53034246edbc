"""Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import affine, embed, glorot, orthogonal
from jaxtext.cells.backends import backends
from jaxtext.constructor import constructor
from jaxtext.kernels.cudnn import CUDNN
from jaxtext.kernels.lstm import LSTM
from jaxtext.types import Array, Cell, DType


class LSTMState(NamedTuple):
    """State of an LSTM: the cell state, at least float32, and the hidden state."""

    c: Array
    h: Array


@constructor
def lstm(
    hidden: int,
    *,
    dtype: DType = jnp.float32,
    param_dtype: DType = jnp.float32,
    chrono: int | None = None,
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

    The cell state is carried by a sum, not by a product with a matrix: while ``f`` is
    near one, what is in it, and the gradient to it, outlasts hundreds of steps.

    Args:
      hidden: ``H``, the width of both states and of the output.
      dtype: The type to compute in, and that of ``h`` and output; ``c`` is
        ``promote_types(dtype, float32)``, as it adds up small terms over many steps.
      param_dtype: The type of the parameters.
      chrono: How many steps there are to remember, if that is known, 3 or more: units
        then begin with memories of all lengths up to that many, about ``1 + u`` steps,
        by ``b_f = log u`` and ``b_i = -b_f`` of a ``u`` drawn uniformly from
        ``[1, chrono - 1]``.

    Returns:
      A cell. Its parameters are ``kernel [D, 4H]``, ``recurrent_kernel [H, 4H]`` and
      ``bias [4H]``, gates in the order ``i, f, g, o``; without `chrono` the forget
      gate's bias starts at one (and is then a parameter like the others). Its state is
      an `LSTMState` of ``c [B, H]`` and ``h [B, H]``.

    Raises:
      ValueError: If `chrono` is less than 3.

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
    cell_dtype = jnp.promote_types(dtype, jnp.float32)

    def init(key, input_size):
        input_key, recurrent_key = jax.random.split(key)
        bias = jnp.zeros((4, hidden), param_dtype).at[1].set(1)
        if chrono is not None:
            # Not one of the two keys above, which are folds by 0 and 1.
            u_key = jax.random.fold_in(key, 2)
            u = jax.random.uniform(u_key, (hidden,), minval=1, maxval=chrono - 1)
            forget = jnp.log(u).astype(param_dtype)
            bias = bias.at[0].set(-forget).at[1].set(forget)
        return {
            "kernel": glorot(input_key, input_size, hidden, 4, param_dtype),
            "recurrent_kernel": orthogonal(recurrent_key, hidden, 4, param_dtype),
            "bias": bias.reshape(-1),
        }

    def initial_state(batch_shape) -> LSTMState:
        shape = (*batch_shape, hidden)
        return LSTMState(jnp.zeros(shape, cell_dtype), jnp.zeros(shape, dtype))

    def step(params, state, x, noise=None):
        del noise
        z = affine(params, x, state.h, dtype)
        i, f, g, o = jnp.split(z.astype(cell_dtype), 4, axis=-1)
        c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = (jax.nn.sigmoid(o) * jnp.tanh(c)).astype(dtype)
        return LSTMState(c, h), h

    ways = backends(LSTM, dtype, cudnn=CUDNN)
    return Cell(init, initial_state, step, backends=ways, embed=embed)
