"""minLSTM, an LSTM that can be trained in parallel over time (Feng et al., 2024)."""

import jax
import jax.numpy as jnp

from jaxtext.cells.linear_recurrence import linear_recurrence
from jaxtext.constructor import constructor
from jaxtext.types import Cell, DType


@constructor
def min_lstm(
    hidden: int, *, dtype: DType = jnp.float32, param_dtype: DType = jnp.float32
) -> Cell:
    """An LSTM whose gates see only the input, without output gate and cell state.

    ::

        f = σ(x_t W_f + b_f)        forget gate
        i = σ(x_t W_i + b_i)        input gate
        n = x_t W_n + b_n           candidate
        h_t = f / (f + i) ⊙ h_tm1 + i / (f + i) ⊙ n
        y_t = h_t

    The two gates divide the state between the old one and the candidate, so it neither
    grows nor fades with time. As with `jaxtext.min_gru`, the state is linear in the
    state before: ``unroll(..., backend="parallel")``; and this is the paper's form
    with values of either sign, not the one in logarithms.

    Args:
      hidden: ``H``, the width of state and output.
      dtype: The type to compute products in, and that of the output; gates and state
        are ``promote_types(dtype, float32)``.
      param_dtype: The type of the parameters.

    Returns:
      A cell. Its parameters are ``kernel [D, 3H]`` and ``bias [3H]``, in the order
      ``f, i, n``; the forget gate's bias starts at one. Its state is ``h [B, H]``.

    Example:
      >>> import jaxtext as jt
      >>> cell = min_lstm(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> start, xs = cell.initial_state((2,)), jnp.ones((2, 100, 3))
      >>> _, ys = jt.unroll(cell, params, start, xs, backend="parallel")
      >>> ys.shape
      (2, 100, 4)

    References:
      Feng, Tung, Ahmed, Bengio and Hajimirsadeghi, "Were RNNs all we needed?", 2024,
      minLSTM, with the gates normalised to be independent of time.
    """

    def gates(f, i, n):
        return {"f": jax.nn.sigmoid(f), "i": jax.nn.sigmoid(i), "n": n}

    def coefficients(f, i, n):
        # f / (f + i) from the logarithm of f / i: both gates may be as good as zero.
        log_ratio = jax.nn.log_sigmoid(f) - jax.nn.log_sigmoid(i)
        return jax.nn.sigmoid(log_ratio), jax.nn.sigmoid(-log_ratio) * n

    return linear_recurrence(hidden, (1, 0, 0), gates, coefficients, dtype, param_dtype)
