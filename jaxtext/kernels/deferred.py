"""Products over all steps, which need not wait for any and so are left to XLA."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxtext.kernels.gates import Arrays, Operands, Recurrence, Weights, activations
from jaxtext.kernels.padding import pad, unpad_gradients
from jaxtext.kernels.products import (
    along,
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


class Gradients(NamedTuple):
    """What a backward kernel finds, all of it padded.

    Attributes:
      dz: ``[T, B, G H]``, of the pre-activations.
      du: ``[T, B, H]``, of the last gate's recurrent part, where that is not ``dz``.
      start: ``[B, H]``, of the state before the first step.
    """

    dz: Any
    du: Any
    start: list[Any]


def backward(
    kernel: Callable[..., Gradients],
    what: Recurrence,
    operands: Operands,
    inputs: Any,
    tape: Any,
    cotangents: tuple[Arrays, Array],
) -> tuple[Weights, Arrays, Array | None]:
    """Gradients of a recurrence, of which a kernel takes the steps.

    Args:
      kernel: ``(what, inputs, tape, h_tm1, cotangents) -> gradients``, with ``h``
        before each step and padded cotangents.
      what: The recurrence.
      operands: What it is of.
      inputs: The operands, padded: ``weights``, ``start``, ``xs`` and ``resets``.
      tape: What the forward kernel wrote, among it ``hs``, ``before`` and ``gates``.
      cotangents: Those of the last state and of the outputs.

    Returns:
      Gradients by weights, state and inputs; ``None`` for those of symbols.
    """
    weights, state, xs, *_ = operands
    h_tm1 = before_each(inputs.start[-1], tape.hs, inputs.resets)
    if not what.keep:
        again = gates_again(what, inputs.weights, inputs.xs, tape.before, h_tm1)
        tape = tape._replace(gates=again)
    batch, hidden = inputs.start[-1].shape
    dlast, dys = cotangents
    dlast = [pad(pad(x, 0, batch), 1, hidden) for x in dlast]
    dys = pad(pad(dys, 1, batch), 2, hidden)
    dz, du, dstart = kernel(what, inputs, tape, h_tm1, (dlast, dys))
    dweights, dxs = weight_gradients(inputs.weights, inputs.xs, h_tm1, dz, du)
    rows, columns = (slice(size) for size in state[-1].shape)
    dstate = tuple(
        d[rows, columns].astype(x.dtype) for d, x in zip(dstart, state, strict=True)
    )
    dxs = None if dxs is None else dxs[:, rows].astype(xs.dtype)
    return unpad_gradients(dweights, weights), dstate, dxs


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
    z = product(xs, weights.kernel)
    z = (z + along(weights.bias, z)).astype(wide)
    u = jnp.matmul(h_tm1, weights.recurrent_kernel, preferred_element_type=wide)
    bias = weights.inner
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


def before_each(start: Array, hs: Array, resets: Array | None) -> Array:
    """``h`` before each step, zero where the state went to zero there.

    Args:
      start: ``[B, H]``, ``h`` before the first step.
      hs: ``[T, B, H]``, after each.
      resets: ``[T, B, 1]``, not zero where it did.
    """
    h_tm1 = jnp.concatenate([start[None].astype(hs.dtype), hs[:-1]])
    return h_tm1 if resets is None else jnp.where(resets != 0, 0, h_tm1)
