"""Products over all steps, which need not wait for any and so are left to XLA."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.gates import (
    Arrays,
    Operands,
    Recurrence,
    Weights,
    activations,
    as_rows,
)
from jaxtext.kernels.layer_norm import normalise, normalise_backward, rescaled
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
      du: Of the recurrent parts, where they are not ``dz``: ``[T, B, H]`` for the last
        gate, or ``[T, B, G H]`` for all.
      start: ``[B, H]``, of the state before the first step.
      inner: ``[N, F]``, of the small weights within the step, to be summed; ``None``:
        of the one that is added to the last gate's recurrent part, if there is one.
    """

    dz: Any
    du: Any
    start: list[Any]
    inner: Any = None


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
        gates, row_values = saved_again(
            what, inputs.weights, inputs.xs, tape.before, h_tm1
        )
        tape = tape._replace(gates=gates)
        if row_values:
            tape = tape._replace(row_values=row_values)
    batch, hidden = inputs.start[-1].shape
    dlast, dys = cotangents
    dlast = [pad(pad(x, 0, batch), 1, hidden) for x in dlast]
    dys = pad(pad(dys, 1, batch), 2, hidden)
    found = kernel(what, inputs, tape, h_tm1, (dlast, dys))
    dweights, dxs = weight_gradients(what, inputs.weights, inputs.xs, h_tm1, found)
    rows, columns = (slice(size) for size in state[-1].shape)
    starts = zip(found.start, state, strict=True)
    dstate = tuple(d[rows, columns].astype(x.dtype) for d, x in starts)
    dxs = None if dxs is None else dxs[:, rows].astype(xs.dtype)
    return unpad_gradients(dweights, weights), dstate, dxs


def saved_again(
    what: Recurrence, weights: Weights, xs: Array, before: list[Array], h_tm1: Array
) -> tuple[list[Array], list[Array]]:
    """What the forward kernel would have saved in all steps, gates and values of rows.

    Args:
      what: The recurrence.
      weights: The weights, in the type of the products.
      xs: The inputs.
      before: ``[T, B, H]``, each memory before each step.
      h_tm1: Likewise ``h``.
    """
    wide = accumulation_dtype(what.dtype)
    z = pre_activations(what, weights, xs)
    u = jnp.matmul(h_tm1, weights.recurrent_kernel, preferred_element_type=wide)
    inner = jax.tree.map(lambda w: along(w.astype(wide), z), weights.inner)
    state = (*before, h_tm1.astype(wide))
    _, saved = what.gates.forward(z.astype(wide), u, inner, state, activations)
    gates, row_values = saved[: what.gates.saved], saved[what.gates.saved :]
    return [gate.astype(what.dtype) for gate in gates], list(row_values)


def pre_activations(what: Recurrence, weights: Weights, xs: Array) -> Array:
    """What depends only on the inputs, ``z [T, B, G H]`` in the type of the products.

    Args:
      what: The recurrence.
      weights: The weights, in the type of the products.
      xs: The inputs.
    """
    z = product(xs, weights.kernel)
    if weights.normal is not None:
        of_rows = normalise(z.reshape(-1, z.shape[-1]), what.gates.normed.groups)
        z = rescaled(of_rows, *as_rows(weights.normal)).reshape(z.shape)
    z = z.astype(what.dtype)  # a table, and what is normalised, may be wider
    return z if weights.bias is None else z + along(weights.bias, z)


def weight_gradients(
    what: Recurrence, weights: Weights, xs: Array, h_tm1: Array, found: Gradients
) -> tuple[Weights, Array | None]:
    """Gradients by the weights and by the inputs: large products over all steps.

    Args:
      what: The recurrence.
      weights: The weights, in the type of the products.
      xs: The inputs.
      h_tm1: ``[T, B, H]``, ``h`` before each step.
      found: What the kernel found.

    Returns:
      Gradients by the weights, at least float32, and by the inputs; ``None`` for those
      of symbols.
    """
    dz, du, _, dinner = found
    wide = accumulation_dtype(dz.dtype)

    def rows(array):
        return array.reshape(-1, *array.shape[2:])

    h, dz = rows(h_tm1), rows(dz)
    dproduct, dnormal = dz, None
    if weights.normal is not None:
        groups, (scale, _) = what.gates.normed.groups, as_rows(weights.normal)
        of_rows = normalise(rows(product(xs, weights.kernel)), groups)
        dproduct, dscale = normalise_backward(dz, of_rows, scale, groups)
        dproduct = dproduct.astype(dz.dtype)
        dnormal = dscale.sum(0), dz.sum(0, dtype=wide)
    if is_symbols(xs) and weights.kernel.shape[0] <= _MOST_ONE_HOT:
        hot = one_hot(xs, weights.kernel.shape[0], dz.dtype)
        dxs, dkernel = None, outer(rows(hot), dproduct, wide)
    else:
        dxs, dkernel = product_gradients(rows(xs), weights.kernel, dproduct, wide)
    du = dz if du is None else rows(du)
    apart = [du]
    if du.shape[1] < dz.shape[1]:
        apart = [dz[:, : dz.shape[1] - du.shape[1]], du]
    drecurrent = jnp.concatenate([outer(h, part, wide) for part in apart], axis=1)
    dbias = None if weights.bias is None else dz.sum(0, dtype=wide)
    if weights.inner is not None and dinner is None:
        dinner = du
    dinner = jax.tree.map(lambda d: d.sum(0, dtype=wide), dinner)
    dweights = Weights(dkernel, drecurrent, dbias, dinner, dnormal)
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
