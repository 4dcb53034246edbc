"""Types of floating-point numbers."""

import jax.numpy as jnp

from jaxtext.types import DType


def accumulation_dtype(dtype: DType) -> DType:
    """The type to add up numbers of another type in: of 32 bits at least.

    It is ``promote_types(dtype, float32)``, also where JAX is told to promote nothing
    (``jax_numpy_dtype_promotion="strict"``).

    Example:
      >>> accumulation_dtype(jnp.bfloat16), accumulation_dtype(jnp.float32)
      (dtype('float32'), dtype('float32'))
    """
    return jnp.dtype(jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype)
