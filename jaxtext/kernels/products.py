"""The input product and its gradients, where integers stand for one-hot rows."""

from typing import Protocol

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxtext.types import Array, DType


def is_symbols(x: Array) -> bool:
    """Whether inputs are integers that stand for one-hot rows."""
    return jnp.issubdtype(x.dtype, jnp.integer)


def one_hot(x: Array, width: int, dtype: DType) -> Array:
    """The rows that symbols stand for, ``[…, D]``.

    Widened first: JAX counts in the symbols' own type, and 8 bits end at 255.
    """
    return jax.nn.one_hot(x.astype(jnp.int32), width, dtype=dtype)


def product(x: Array, kernel: Array) -> Array:
    """``x W``, which for symbols is a row of ``W`` each."""
    return rows(kernel, x) if is_symbols(x) else x.astype(kernel.dtype) @ kernel


class Multiply(Protocol):
    """A function that stands for `multiply`."""

    def __call__(
        self, *factors: tuple[Array, Array], bias: Array | None = None, dtype: DType
    ) -> Array: ...


def multiply(
    *factors: tuple[Array, Array], bias: Array | None = None, dtype: DType
) -> Array:
    """``Σ_j a_j W_j + b``, any number of products that are added up.

    Args:
      *factors: Pairs of ``a [B, D]``, or symbols ``[B]``, and ``W [D, F]``.
      bias: ``b [F]``.
      dtype: The type to compute in.

    Returns:
      ``[B, F]`` of `dtype`.
    """
    first, *others = (product(a, jnp.asarray(w, dtype)) for a, w in factors)
    total = sum(others, first)
    return total if bias is None else total + along(bias, total).astype(dtype)


def rows(table: Array, ids: Array) -> Array:
    """``table[ids]``, divided as `ids` are where arrays say how they are divided.

    Args:
      table: ``[V, …]``.
      ids: Integers of any shape.

    Returns:
      The entries of the table, in the shape of `ids`.
    """
    if not jax.sharding.get_abstract_mesh().explicit_axes:
        return table[ids]
    along_rows = jax.typeof(ids).sharding.spec
    spec = PartitionSpec(*along_rows, *jax.typeof(table).sharding.spec[1:])
    return table.at[ids].get(out_sharding=spec)


def product_gradients(
    x: Array, kernel: Array, dz: Array, total: DType
) -> tuple[Array | None, Array]:
    """Gradients of `product` by its input, ``None`` for symbols, and by its kernel.

    Args:
      x: ``[N, D]``, or integers ``[N]``.
      kernel: ``[D, F]``.
      dz: ``[N, F]``, the gradient by the product.
      total: The type to add up in.
    """
    if is_symbols(x):
        return None, jnp.zeros(kernel.shape, total).at[x].add(dz.astype(total))
    return (dz @ kernel.T).astype(x.dtype), outer(x.astype(dz.dtype), dz, total)


def outer(x: Array, dz: Array, total: DType) -> Array:
    """``xᵀ dz``, summed over rows."""

    def summed(x, dz):
        axes = ((0,), (0,)), ((), ())
        return jax.lax.dot_general(x, dz, axes, preferred_element_type=total)

    def widened(x, dz):
        return summed(x.astype(total), dz.astype(total))

    if x.dtype == total:
        return summed(x, dz)
    # XLA for CPU has no such product of 16 bits under `jax.vmap`.
    return jax.lax.platform_dependent(x, dz, cpu=widened, default=summed)


def along(vector: Array, x: Array) -> Array:
    """A vector with axes of one in front, as many as `x` has, so that both broadcast.

    Said rather than left to JAX, which may have been told to refuse it
    (``jax_numpy_rank_promotion``).

    Args:
      vector: ``[F]``, or of more axes.
      x: ``[…, F]``.
    """
    return vector.reshape((1,) * (x.ndim - vector.ndim) + vector.shape)
