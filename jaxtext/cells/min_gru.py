"""minGRU, a GRU that can be trained in parallel over time (Feng et al., 2024)."""

import jax
import jax.numpy as jnp

from jaxtext.cells.linear_recurrence import linear_recurrence
from jaxtext.constructor import constructor
from jaxtext.types import Cell, DType


@constructor
def min_gru(
    hidden: int, *, dtype: DType = jnp.float32, param_dtype: DType = jnp.float32
) -> Cell:
    """A GRU whose gate and candidate see only the input.

    ::

        z = σ(x_t W_z + b_z)        update gate
        n = x_t W_n + b_n           candidate
        h_t = (1 - z) ⊙ h_tm1 + z ⊙ n
        y_t = h_t

    Given the input, the state is linear in the state before. So all steps can be taken
    at once: ``unroll(..., backend="parallel")``. The gates of one layer do not see its
    state; only the layers stacked on it can depend on the past.

    This is the paper's first form, with values of either sign. The second is computed
    in logarithms. It needs positive values and so has another function for the
    candidate: it is a different function of the same weights.

    Args:
      hidden: ``H``, the width of state and output.
      dtype: The type to compute products in, and that of the output; gate and state
        are ``promote_types(dtype, float32)``.
      param_dtype: The type of the parameters.

    Returns:
      A cell. Its parameters are ``kernel [D, 2H]`` and ``bias [2H]``, in the order
      ``z, n``; there is no recurrent kernel. Its state is ``h [B, H]``.

    Example:
      >>> import jaxtext as jt
      >>> cell = min_gru(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> start, xs = cell.initial_state((2,)), jnp.ones((2, 100, 3))
      >>> _, ys = jt.unroll(cell, params, start, xs, backend="parallel")
      >>> ys.shape
      (2, 100, 4)

    References:
      Feng, Tung, Ahmed, Bengio and Hajimirsadeghi, "Were RNNs all we needed?", 2024,
      minGRU.
    """

    def gates(z, n):
        return {"z": jax.nn.sigmoid(z), "n": n}

    def coefficients(z, n):
        return jax.nn.sigmoid(-z), jax.nn.sigmoid(z) * n

    return linear_recurrence(hidden, (0, 0), gates, coefficients, dtype, param_dtype)
