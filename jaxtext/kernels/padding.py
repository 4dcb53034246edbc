"""Arrays made larger by zeros, to the sizes that kernels work in."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtext.kernels.gates import Arrays, Operands, Recurrence, Weights, cast
from jaxtext.types import Array


class Padded(NamedTuple):
    """Operands whose batch and hidden axes are padded with zeros.

    Padding of the hidden axis stays zero: with pre-activations of zero, an empty memory
    stays empty. Rows that pad the batch compute values that nobody reads.

    Attributes:
      plan: How the kernels divide the work, in their own terms.
      weights: The weights, in the type of the products.
      start: The state before the first step, each ``[B, H]``.
      xs: The inputs.
      resets: ``[T, B, 1]`` integers, or ``None``.
      valid: Likewise.
    """

    plan: Any
    weights: Weights
    start: Arrays
    xs: Array
    resets: Array | None
    valid: Array | None


def padded(
    plan: Any, what: Recurrence, operands: Operands, batch: int, hidden: int
) -> Padded:
    """Pads the operands of a recurrence to `batch` rows and `hidden` units."""
    return Padded(
        plan,
        pad_weights(cast(operands.weights, what.dtype), hidden),
        tuple(pad(pad(x, 0, batch), 1, hidden) for x in operands.state),
        pad(operands.xs, 1, batch),
        numbers(operands.resets, batch),
        numbers(operands.valid, batch),
    )


def numbers(mask: Array | None, batch: int) -> Array | None:
    """``[T, B]`` booleans as integers ``[T, batch, 1]``, padded with zeros."""
    if mask is None:
        return None
    return pad(mask.astype(jnp.int32), 1, batch)[..., None]


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


def pad_weights(weights: Weights, hidden: int) -> Weights:
    """Weights for a state of `hidden` units, zero beyond the units of their own."""
    own = weights.recurrent_kernel.shape[0]
    gates = weights.bias.shape[0] // max(1, own)
    kernel, recurrent, bias = (pad_gates(w, gates, hidden) for w in weights[:3])
    inner = weights.inner
    inner = None if inner is None else pad(inner.astype(recurrent.dtype), 0, hidden)
    return Weights(kernel, pad(recurrent, 0, hidden), bias, inner)


def unpad_gradients(gradients: Weights, weights: Weights) -> Weights:
    """Gradients by padded weights as those by the weights, in their types."""
    hidden = weights.recurrent_kernel.shape[0]
    gates = weights.bias.shape[0] // hidden
    kernel, recurrent, bias = (unpad_gates(g, gates, hidden) for g in gradients[:3])
    inner = gradients.inner
    inner = None if inner is None else inner[:hidden]
    found = Weights(kernel, recurrent[:hidden], bias, inner)
    return jax.tree.map(lambda g, w: g.astype(w.dtype), found, weights)
