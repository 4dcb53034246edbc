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
    own = max(1, weights.recurrent_kernel.shape[0])
    wider = jax.tree.map(lambda w: pad_gates(w, w.shape[-1] // own, hidden), weights)
    recurrent = pad(wider.recurrent_kernel, 0, hidden)
    return wider._replace(recurrent_kernel=recurrent)


def unpad_gradients(gradients: Weights, weights: Weights) -> Weights:
    """Gradients by padded weights as those by the weights, in their types."""
    hidden = weights.recurrent_kernel.shape[0]
    recurrent = gradients.recurrent_kernel[:hidden]
    gradients = gradients._replace(recurrent_kernel=recurrent)

    def of_own(gradient, weight):
        gates = weight.shape[-1] // hidden
        return unpad_gates(gradient, gates, hidden).astype(weight.dtype)

    return jax.tree.map(of_own, gradients, weights)
