"""Layer normalisation (Ba, Kiros and Hinton, 2016), as recurrent cells use it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxtext.checks import decided
from jaxtext.kernels.products import along, is_symbols, product, rows
from jaxtext.types import Array


def layer_norm(x: Array, scale: Array) -> Array:
    """Centres and rescales each vector, then gives each entry a scale of its own.

    ::

        LN(x; α) = α ⊙ (x - mean(x)) / sqrt(var(x) + 1e-5)

    The paper's bias after it is left to the caller: where two normalised products are
    added up, theirs and the gate's are one bias.

    Args:
      x: ``[B, F]``.
      scale: ``[F]``.

    Returns:
      ``[B, F]`` of ``promote_types(x.dtype, float32)``, in which mean and variance are
      taken.

    Example:
      >>> layer_norm(jnp.array([[1.0, 3.0]]), jnp.array([1.0, 2.0])).round(3)
      Array([[-1.,  2.]], dtype=float32)

    References:
      Ba, Kiros and Hinton, "Layer normalization", 2016.
    """
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    x = x.astype(dtype)
    x -= x.mean(-1, keepdims=True)
    variance = jnp.square(x).mean(-1, keepdims=True)
    return along(scale, x).astype(dtype) * x * jax.lax.rsqrt(variance + 1e-5)


def of_product(x: Array, kernel: Array, function: Callable[[Array], Array]) -> Array:
    """``f(x W)`` row by row, for symbols no more often than there are symbols.

    Args:
      x: ``[…, D]``, or integers ``[…]`` in ``[0, D)``.
      kernel: ``[D, F]``, of the type to multiply in.
      function: ``[…, F] -> […, F]``, which treats each row by itself.

    Returns:
      ``[…, F]``.
    """
    if is_symbols(x) and decided(lambda: x.size > len(kernel), otherwise=True):
        return rows(function(kernel), x)
    return function(product(x, kernel))
