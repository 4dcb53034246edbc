"""Minimal gated unit (Zhou et al., 2016)."""

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import affine, embed, gates_apart, weights
from jaxtext.constructor import constructor
from jaxtext.kernels import autodiff
from jaxtext.kernels.products import Multiply, multiply
from jaxtext.types import Array, Cell, DType


@constructor
def minimal_gated_unit(
    hidden: int, *, dtype: DType = jnp.float32, param_dtype: DType = jnp.float32
) -> Cell:
    """A GRU with one gate for both of its two, and two thirds of the parameters.

    ::

        f = σ(x_t W_f + h_tm1 U_f + b_f)            forget gate
        n = tanh(x_t W_n + (f ⊙ h_tm1) U_n + b_n)   candidate
        h_t = (1 - f) ⊙ h_tm1 + f ⊙ n
        y_t = h_t

    Where the gate is open, the state is overwritten, and that same part of the state is
    what the candidate sees. (The paper calls it a forget gate: an open one forgets.)

    Args:
      hidden: ``H``, the width of state and output.
      dtype: The type to compute in, and that of state and output.
      param_dtype: The type of the parameters.

    Returns:
      A cell. Its parameters are ``kernel [D, 2H]``, ``recurrent_kernel [H, 2H]`` and
      ``bias [2H]``, in the order ``f, n``. Its state is ``h [B, H]``.

    Example:
      >>> cell = minimal_gated_unit(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> h, y = cell.step(params, cell.initial_state((2,)), jnp.ones((2, 3)))
      >>> y.shape
      (2, 4)

    References:
      Zhou, Wu, Zhang and Zhou, "Minimal gated unit for recurrent neural networks",
      2016.
    """

    def init(key, input_size):
        params = weights(key, input_size, hidden, 2, param_dtype)
        return {**params, "bias": jnp.zeros(2 * hidden, param_dtype)}

    def initial_state(batch_shape) -> Array:
        return jnp.zeros((*batch_shape, hidden), dtype)

    def gates(params, state, x, noise=None, multiply: Multiply = multiply):
        del noise
        of_f, of_n = gates_apart(params, (hidden, hidden))
        f = jax.nn.sigmoid(affine(of_f, x, state, dtype, multiply))
        return {"f": f, "n": jnp.tanh(affine(of_n, x, f * state, dtype, multiply))}

    def step(params, state, x, noise=None, multiply: Multiply = multiply):
        f, n = gates(params, state, x, noise, multiply).values()
        h = (1 - f) * state + f * n
        return h, h

    return Cell(
        init,
        initial_state,
        step,
        backends=autodiff.backends(step, initial_state),
        embed=embed,
        gates=gates,
        output_size=hidden,
        state_size=hidden,
    )
