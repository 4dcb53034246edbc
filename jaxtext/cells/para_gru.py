"""ParaGRU, a GRU trained in parallel over time (Danieli et al., 2026)."""

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import diagonal, embed, glorot
from jaxtext.constructor import constructor
from jaxtext.floats import accumulation_dtype
from jaxtext.kernels import autodiff, newton
from jaxtext.kernels.products import Multiply, along, multiply
from jaxtext.types import Array, Cell, DType


@constructor
def para_gru(
    hidden: int, *, dtype: DType = jnp.float32, param_dtype: DType = jnp.float32
) -> Cell:
    """A GRU in which each unit sees only its own state.

    ::

        r = σ(x_t W_r + a_r ⊙ h_tm1 + b_r)              reset gate
        z = σ(x_t W_z + a_z ⊙ h_tm1 + b_z)              update gate
        n = tanh(x_t W_n + a_n ⊙ (r ⊙ h_tm1) + b_n)     candidate
        h_t = (1 - z) ⊙ n + z ⊙ h_tm1
        y_t = h_t

    It is `jaxtext.gru`, in the form that resets before the product, with diagonal
    recurrent matrices. Unlike `jaxtext.min_gru`, its gates see the state, so it is not
    linear in it. All steps can still be taken at once, by Newton's method:
    ``unroll(..., backend="newton")``. Units exchange what they know only through the
    layers stacked on it.

    Args:
      hidden: ``H``, the width of state and output.
      dtype: The type to compute products in, and that of the output; gates and state
        are ``promote_types(dtype, float32)``.
      param_dtype: The type of the parameters.

    Returns:
      A cell. Its parameters are ``kernel [D, 3H]``, ``recurrent_diagonal [3H]``, the
      ``a_r, a_z, a_n`` above, which start uniform in ``[-1, 1)``, and ``bias [3H]``.
      Its state is ``h [B, H]``.

    Example:
      >>> import jaxtext as jt
      >>> cell = para_gru(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> _, ys = jt.unroll(cell, params, None, jnp.ones((2, 100, 3)), backend="newton")
      >>> ys.shape
      (2, 100, 4)

    References:
      Danieli, Rodríguez, Sarabia, Suau and Zappella, "ParaRNN: unlocking parallel
      training of nonlinear RNNs for large language models", 2026, ParaGRU (their ``z``
      is one minus that here).
    """
    state_dtype = accumulation_dtype(dtype)

    def init(key, input_size):
        return {
            "kernel": glorot(key, input_size, hidden, 3, param_dtype),
            "recurrent_diagonal": diagonal(key, hidden, 3, param_dtype),
            "bias": jnp.zeros(3 * hidden, param_dtype),
        }

    def initial_state(batch_shape) -> Array:
        return jnp.zeros((*batch_shape, hidden), state_dtype)

    def inputs(params, x, multiply: Multiply = multiply):
        z = multiply((x, params["kernel"]), bias=params["bias"], dtype=dtype)
        return z.astype(state_dtype)

    def gates_of(params, h_tm1, z):
        a = along(params["recurrent_diagonal"], z).astype(state_dtype)
        a_r, a_z, a_n = jnp.split(a, 3, axis=-1)
        x_r, x_z, x_n = jnp.split(z, 3, axis=-1)
        r = jax.nn.sigmoid(x_r + a_r * h_tm1)
        z = jax.nn.sigmoid(x_z + a_z * h_tm1)
        return {"r": r, "z": z, "n": jnp.tanh(x_n + a_n * (r * h_tm1))}

    def after(params, h_tm1, z):
        _, z, n = gates_of(params, h_tm1, z).values()
        return (1 - z) * n + z * h_tm1

    def output(h):
        return h.astype(dtype)

    def gates(params, state, x, noise=None):
        del noise
        return gates_of(params, state, inputs(params, x))

    def step(params, state, x, noise=None, multiply: Multiply = multiply):
        del noise
        h = after(params, state, inputs(params, x, multiply))
        return h, output(h)

    return Cell(
        init,
        initial_state,
        step,
        backends=(
            *autodiff.backends(step, initial_state),
            *newton.backends(newton.Step(inputs, after, output)),
        ),
        embed=embed,
        gates=gates,
        output_size=hidden,
        state_size=hidden,
    )
