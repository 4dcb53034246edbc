"""The products that every cell is made of, and how their weights start."""

import jax
import jax.numpy as jnp
from jax.nn import initializers

from jaxtext.kernels.products import along, product
from jaxtext.types import Array, DType, Key, Params


def input_product(x: Array, kernel: Array, dtype: DType) -> Array:
    """Input times kernel, where integers stand for one-hot rows.

    ``one_hot(x) @ kernel`` is the row ``kernel[x]``: both are the same function, and
    the look-up neither builds the one-hot matrix nor multiplies by its zeros.

    Args:
      x: ``[B, D]`` floating point, or ``[B]`` integers in ``[0, D)``.
      kernel: ``[D, F]``.
      dtype: The type to compute in.

    Returns:
      ``[B, F]`` of `dtype`.

    Example:
      >>> kernel = jnp.arange(6.0).reshape(3, 2)
      >>> input_product(jnp.array([2]), kernel, jnp.float32)
      Array([[4., 5.]], dtype=float32)
      >>> input_product(jnp.array([[0.0, 0.0, 1.0]]), kernel, jnp.float32)
      Array([[4., 5.]], dtype=float32)
    """
    return product(x, jnp.asarray(kernel, dtype))


def affine(params: Params, x: Array, h_tm1: Array, dtype: DType) -> Array:
    """``x_t W + h_tm1 U + b``, what all gates of a cell have in common.

    Args:
      params: ``kernel [D, F]``, ``recurrent_kernel [H, F]`` and ``bias [F]``.
      x: ``[B, D]`` floating point, or ``[B]`` integers in ``[0, D)``.
      h_tm1: ``[B, H]`` of `dtype`.
      dtype: The type to compute in.

    Returns:
      ``[B, F]`` of `dtype`.
    """
    z = input_product(x, params["kernel"], dtype)
    z += h_tm1 @ params["recurrent_kernel"].astype(dtype)
    return z + along(params["bias"], z).astype(dtype)


def embed(params: Params, vectors: Array) -> Params:
    """Parameters of the same cell over symbols that each stand for a vector.

    ::

        E[s] W = (E W)[s]

    so there are as many products as symbols, and not one for each place in a text.

    Args:
      params: With ``kernel [D, F]``, which is all that the cell's input meets.
      vectors: ``E [V, D]``.

    Returns:
      The same with ``kernel [V, F]``.
    """
    return {**params, "kernel": vectors @ params["kernel"]}


def glorot(key: Key, input_size: int, hidden: int, gates: int, dtype: DType) -> Array:
    """Input kernel ``[D, gates * H]``, each gate drawn on its own.

    Uniform in ``±sqrt(6 / (D + H))``. Drawing the gates as one matrix would take
    ``gates * H`` for the width that a gate's input is spread over.

    References:
      Glorot and Bengio, "Understanding the difficulty of training deep feedforward
      neural networks", 2010, equation 16.
    """
    draw = initializers.glorot_uniform()
    return _gate_by_gate(draw, key, (input_size, hidden), gates, dtype)


def orthogonal(key: Key, hidden: int, gates: int, dtype: DType) -> Array:
    """Recurrent kernel ``[H, gates * H]``, each gate an orthogonal matrix.

    One orthogonal ``[H, gates * H]`` matrix would give each gate singular values of
    about ``1 / sqrt(gates)`` in place of 1.

    References:
      Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of
      learning in deep linear neural networks", 2014.
    """
    draw = initializers.orthogonal()
    return _gate_by_gate(draw, key, (hidden, hidden), gates, dtype)


def _gate_by_gate(draw, key, shape, gates, dtype):
    keys = jax.random.split(key, gates)
    # In float32, since the decomposition behind `orthogonal` knows nothing smaller.
    wide = jnp.promote_types(dtype, jnp.float32)
    drawn = jnp.concatenate([draw(k, shape, wide) for k in keys], axis=1)
    return drawn.astype(dtype)
