"""Arrays made larger by zeros, to the sizes that kernels work in."""

import jax.numpy as jnp

from jaxtext.types import Array


def pad(array: Array, axis: int, size: int) -> Array:
    """Zeros at the end of an axis, up to `size`."""
    widths = [(0, 0)] * array.ndim
    widths[axis] = 0, size - array.shape[axis]
    return jnp.pad(array, widths)


def pad_gates(array: Array, gates: int, hidden: int) -> Array:
    """``[…, G H]`` with each gate's ``H`` padded up to `hidden`."""
    apart = array.reshape(*array.shape[:-1], gates, -1)
    return pad(apart, -1, hidden).reshape(*array.shape[:-1], gates * hidden)


def unpad_gates(array: Array, gates: int, hidden: int) -> Array:
    """The inverse of `pad_gates`, `hidden` being the size before it."""
    apart = array.reshape(*array.shape[:-1], gates, -1)
    return apart[..., :hidden].reshape(*array.shape[:-1], gates * hidden)
