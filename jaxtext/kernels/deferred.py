"""What a kernel leaves to XLA: products over all steps, which need not wait for any."""

import jax
import jax.numpy as jnp

from jaxtext.kernels.gates import Recurrence, Weights, activations
from jaxtext.kernels.padding import unpad_gates
from jaxtext.kernels.products import (
    is_symbols,
    one_hot,
    outer,
    product,
    product_gradients,
)
from jaxtext.types import Array

# Rows for symbols are added up by a product with one-hot rows while these are no wider:
# on TPU a scatter goes row by row.
_MOST_ONE_HOT = 4096


def gates_again(
    what: Recurrence, weights: Weights, xs: Array, before: list[Array], h_tm1: Array
) -> list[Array]:
    """The gates of all steps, as the forward kernel had them.

    Args:
      what: The recurrence.
      weights: The weights, in the type of the products.
      xs: The inputs.
      before: ``[T, B, H]``, each memory before each step.
      h_tm1: Likewise ``h``.
    """
    wide = jnp.promote_types(what.dtype, jnp.float32)
    z = (product(xs, weights.kernel) + weights.bias).astype(wide)
    u = jnp.matmul(h_tm1, weights.recurrent_kernel, preferred_element_type=wide)
    bias = weights.recurrent_bias
    bias = None if bias is None else bias.astype(wide)
    state = (*before, h_tm1.astype(wide))
    _, gates = what.gates.forward(z, u, bias, state, activations)
    return [gate.astype(what.dtype) for gate in gates]


def weight_gradients(
    weights: Weights, xs: Array, h_tm1: Array, dz: Array, du: Array | None
) -> tuple[Weights, Array | None]:
    """Gradients by the weights and by the inputs: large products over all steps.

    Args:
      weights: The weights, in the type of the products.
      xs: The inputs.
      h_tm1: ``[T, B, H]``, ``h`` before each step.
      dz: ``[T, B, G H]``, the gradients of the pre-activations.
      du: ``[T, B, H]``, of the last gate's recurrent part, where that is not ``dz``.

    Returns:
      Gradients by the weights, at least float32, and by the inputs; ``None`` for those
      of symbols.
    """
    wide = jnp.promote_types(dz.dtype, jnp.float32)

    def rows(array):
        return array.reshape(-1, *array.shape[2:])

    h, dz = rows(h_tm1), rows(dz)
    if is_symbols(xs) and weights.kernel.shape[0] <= _MOST_ONE_HOT:
        hot = one_hot(xs, weights.kernel.shape[0], dz.dtype)
        dxs, dkernel = None, outer(rows(hot), dz, wide)
    else:
        dxs, dkernel = product_gradients(rows(xs), weights.kernel, dz, wide)
    if du is None:
        drecurrent, dinner = outer(h, dz, wide), None
    else:
        du = rows(du)
        dz_first = dz[:, : dz.shape[1] - du.shape[1]]
        parts = [outer(h, part, wide) for part in (dz_first, du)]
        drecurrent = jnp.concatenate(parts, axis=1)
        dinner = du.sum(0, dtype=wide)
    dweights = Weights(dkernel, drecurrent, dz.sum(0, dtype=wide), dinner)
    return dweights, None if dxs is None else dxs.reshape(*xs.shape)


def unpadded(gradients: Weights, weights: Weights) -> Weights:
    """Gradients by padded weights as those by the weights, in their types."""
    hidden = weights.recurrent_kernel.shape[0]
    gates = weights.bias.shape[0] // hidden
    kernel, recurrent, bias = (unpad_gates(g, gates, hidden) for g in gradients[:3])
    inner = gradients.recurrent_bias
    inner = None if inner is None else inner[:hidden]
    found = Weights(kernel, recurrent[:hidden], bias, inner)
    return jax.tree.map(lambda g, w: g.astype(w.dtype), found, weights)


def before_each(start: Array, hs: Array, resets: Array | None) -> Array:
    """``h`` before each step, zero where the state went to zero there.

    Args:
      start: ``[B, H]``, ``h`` before the first step.
      hs: ``[T, B, H]``, after each.
      resets: ``[T, B, 1]``, not zero where it did.
    """
    h_tm1 = jnp.concatenate([start[None].astype(hs.dtype), hs[:-1]])
    return h_tm1 if resets is None else jnp.where(resets != 0, 0, h_tm1)
