"""The products that every cell is made of, and how their weights start."""

from collections.abc import Sequence
from itertools import accumulate
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax.nn import initializers

from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.products import Multiply, along, multiply, product
from jaxtext.types import Array, DType, Key, Params, Shape

Initializer: TypeAlias = initializers.Initializer

# Made once, so that cells that start by them are equal.
GLOROT = initializers.glorot_uniform()
ORTHOGONAL = initializers.orthogonal()
ZEROS = initializers.zeros


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


def affine(
    params: Params,
    x: Array,
    h_tm1: Array,
    dtype: DType,
    multiply: Multiply = multiply,
) -> Array:
    """``x_t W + h_tm1 U + b``, what all gates of a cell have in common.

    Args:
      params: ``kernel [D, F]``, ``recurrent_kernel [H, F]`` and ``bias [F]``, or no
        ``bias``.
      x: ``[B, D]`` floating point, or ``[B]`` integers in ``[0, D)``.
      h_tm1: ``[B, H]`` of `dtype`.
      dtype: The type to compute in.
      multiply: What multiplies, see `jaxtext.kernels.autodiff`.

    Returns:
      ``[B, F]`` of `dtype`.
    """
    return multiply(
        (x, params["kernel"]),
        (h_tm1, params["recurrent_kernel"]),
        bias=params.get("bias"),
        dtype=dtype,
    )


def gates_apart(params: Params, widths: Sequence[int]) -> list[dict[str, Array]]:
    """The parameters of neighbouring gates, for those that see another state.

    Args:
      params: As of `affine`.
      widths: How many of the ``F`` columns each has, from the first on.

    Returns:
      The columns of ``kernel``, ``recurrent_kernel`` and ``bias`` of each.
    """
    ends = list(accumulate(widths))[:-1]
    names = [n for n in ("kernel", "recurrent_kernel", "bias") if n in params]
    parts = [jnp.split(params[name], ends, axis=-1) for name in names]
    return [dict(zip(names, part, strict=True)) for part in zip(*parts, strict=True)]


def biased(params: Params, z: Array, dtype: DType, name: str = "bias") -> Array:
    """``z + b``, or ``z`` where the parameters have no bias of that name."""
    return z + along(params[name], z).astype(dtype) if name in params else z


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


def weights(
    key: Key,
    input_size: int,
    hidden: int,
    gates: int,
    dtype: DType,
    *,
    kernel_init: Initializer = GLOROT,
    recurrent_kernel_init: Initializer = ORTHOGONAL,
) -> dict[str, Array]:
    """``kernel [D, gates * H]`` and ``recurrent_kernel [H, gates * H]`` of a cell.

    Each gate is drawn on its own. One matrix for all gates would have another scale:
    `glorot_uniform` would divide by ``gates * H`` where a gate has ``H`` units, and one
    orthogonal ``[H, gates * H]`` matrix gives each gate singular values of about
    ``1 / sqrt(gates)`` instead of 1.

    References:
      Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of
      learning in deep linear neural networks", 2014, for the orthogonal matrices.
    """
    input_key, recurrent_key = jax.random.split(key)
    shape = hidden, hidden
    return {
        "kernel": gate_by_gate(
            kernel_init, input_key, (input_size, hidden), gates, dtype
        ),
        "recurrent_kernel": gate_by_gate(
            recurrent_kernel_init, recurrent_key, shape, gates, dtype
        ),
    }


def biases(
    key: Key, hidden: int, gates: int, dtype: DType, bias_init: Initializer
) -> Array:
    """``bias [gates * H]`` by an initializer."""
    # A key of its own: the two of `weights` are folds by 0 and 1, `lstm` has 2.
    return gate_by_gate(bias_init, jax.random.fold_in(key, 3), (hidden,), gates, dtype)


def glorot(key: Key, input_size: int, hidden: int, gates: int, dtype: DType) -> Array:
    """Kernel ``[D, gates * H]``, each gate uniform in ``±sqrt(6 / (D + H))``.

    References:
      Glorot and Bengio, "Understanding the difficulty of training deep feedforward
      neural networks", 2010, equation 16.
    """
    return gate_by_gate(GLOROT, key, (input_size, hidden), gates, dtype)


def diagonal(key: Key, hidden: int, gates: int, dtype: DType) -> Array:
    """``[gates * H]``, the diagonals of recurrent matrices, uniform in ``[-1, 1)``.

    The eigenvalues of such a matrix are its entries: none is above one.
    """
    # A key of its own: `biases` has 3.
    key = jax.random.fold_in(key, 4)
    return jax.random.uniform(key, (gates * hidden,), minval=-1).astype(dtype)


def gate_by_gate(
    draw: Initializer, key: Key, shape: Shape, gates: int, dtype: DType
) -> Array:
    """Draws an array for each gate and puts them side by side along the last axis."""
    keys = jax.random.split(key, gates)
    # In float32, since the decomposition behind `orthogonal` knows nothing smaller.
    wide = accumulation_dtype(dtype)
    drawn = jnp.concatenate([draw(k, shape, wide) for k in keys], axis=-1)
    return drawn.astype(dtype)
