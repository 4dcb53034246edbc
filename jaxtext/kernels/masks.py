"""Masks in kernels: numbers ``[B, 1]``, zero for no, one for each row of a block."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.kernels.padding import pad
from jaxtext.types import Array


def numbers(mask: Array | None, batch: int) -> Array | None:
    """``[T, B]`` booleans as integers ``[T, batch, 1]``, padded with zeros."""
    if mask is None:
        return None
    return pad(mask.astype(jnp.int32), 1, batch)[..., None]


def where(mask: Array, yes: Any, no: Any) -> Any:
    """Rows of some arrays and of others."""
    return jax.tree.map(
        lambda a, b: jnp.where(jnp.broadcast_to(mask, a.shape) != 0, a, b), yes, no
    )


def cleared(mask: Array, arrays: Any) -> Any:
    """Arrays that are zero in the rows of a mask."""
    return where(mask, jax.tree.map(jnp.zeros_like, arrays), arrays)
