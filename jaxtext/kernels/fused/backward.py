"""The hand-derived backward pass of a recurrence."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.kernels.fused.chunks import chunk_length, most_steps
from jaxtext.kernels.gates import (
    Arrays,
    Operands,
    Recurrence,
    Weights,
    activations,
    cast,
)
from jaxtext.kernels.masks import into_step, out_of_step
from jaxtext.kernels.products import along, outer, product, product_gradients
from jaxtext.types import Array


def backward(
    what: Recurrence,
    operands: Operands,
    tape: Array,
    cotangents: tuple[Arrays, Array],
) -> tuple[Weights, Arrays, Array | None]:
    """Gradients of a recurrence, chunk by chunk from the last one to the first.

    Args:
      what: The recurrence.
      operands: What it is of.
      tape: ``[T, S, B, H]``, what `record` wrote.
      cotangents: Those of the last state and of the outputs.

    Returns:
      Gradients by weights, state and inputs; ``None`` for those of symbols.
    """
    weights, state, xs, resets, valid = operands
    dstate, dys = cotangents
    length, batch, hidden = dys.shape
    width = weights.kernel.shape[1]
    w = cast(weights, what.dtype)
    transposed = w.recurrent_kernel.T
    # Sums over time and batch in at least float32, whatever the products' type.
    total = jnp.promote_types(what.dtype, jnp.float32)

    def step(carry, i, start):
        """The `i`-th step of a chunk, backwards."""
        dstate, pre = carry
        t = start + i

        def at(array) -> Any:
            if array is None:
                return None
            return jax.lax.dynamic_index_in_dim(array, t, keepdims=False)

        def load(slot, dtype):
            offset, size = (t, slot, 0, 0), (1, 1, batch, hidden)
            return jax.lax.dynamic_slice(tape, offset, size)[0, 0].astype(dtype)

        before = tuple(load(slot, part.dtype) for slot, part in enumerate(state))
        if what.keep:
            slots = range(len(state), tape.shape[1])
            gates = tuple(load(slot, tape.dtype) for slot in slots)
        else:
            z, u = product(at(xs), w.kernel), before[-1] @ w.recurrent_kernel
            z += along(w.bias, z)
            _, gates = what.gates.forward(z, u, w.recurrent_bias, before, activations)
        dafter = into_step(at(valid), dstate, at(dys))
        dpre, dbefore = what.gates.backward(dafter, gates, before)
        pre = jax.tree.map(partial(_write, i), pre, dpre)
        through = jax.lax.dynamic_index_in_dim(pre[-1], i, keepdims=False) @ transposed
        dbefore = (*dbefore[:-1], dbefore[-1] + through)
        return (out_of_step(at(valid), at(resets), dbefore, dstate), pre), None

    def chunk(carry, start, steps):
        """`steps` steps backwards, and then the products over them all."""
        dstate, dweights, pre = carry
        body = partial(step, start=start)
        along = jnp.arange(steps)
        (dstate, pre), _ = jax.lax.scan(body, (dstate, pre), along, reverse=True)

        def rows(array):
            return array.reshape(steps * batch, *array.shape[2:])

        dz, du = rows(pre[0]), rows(pre[-1])
        x = rows(jax.lax.dynamic_slice_in_dim(xs, start, steps))
        offset, size = (start, len(state) - 1, 0, 0), (steps, 1, batch, hidden)
        h = rows(jax.lax.dynamic_slice(tape, offset, size)[:, 0]).astype(what.dtype)
        dx, dkernel = product_gradients(x, w.kernel, dz, total)
        dchunk = Weights(dkernel, outer(h, du, total), dz.sum(0, dtype=total))
        if weights.recurrent_bias is not None:
            last_gate = du[:, width - hidden :]
            dchunk = dchunk._replace(recurrent_bias=last_gate.sum(0, dtype=total))
        dweights = jax.tree.map(jnp.add, dweights, dchunk)
        dx = None if dx is None else dx.reshape(steps, *xs.shape[1:])
        return (dstate, dweights, pre), dx

    def room(steps):
        """Where a chunk's gradients ``dz``, and ``du``, are put aside."""
        shape = steps, batch, width
        buffer = jnp.zeros_like(dys, shape=shape, dtype=what.dtype)
        return (buffer,) * (2 if what.gates.differ else 1)

    def zero(weight):
        return jnp.zeros_like(dys, shape=weight.shape, dtype=total)

    dweights = jax.tree.map(zero, weights)
    steps = chunk_length(length, most_steps(w, batch, what.dtype))
    full, rest = divmod(length, steps)
    carry, tail = (dstate, dweights, room(rest)), None
    if rest:
        carry, tail = chunk(carry, length - rest, rest)
    carry = *carry[:2], room(steps)
    body = partial(chunk, steps=steps)
    carry, dxs = jax.lax.scan(body, carry, steps * jnp.arange(full), reverse=True)
    dstate, dweights, _ = carry
    dweights = jax.tree.map(lambda g, w: g.astype(w.dtype), dweights, weights)
    if dxs is None:  # of symbols
        return dweights, dstate, None
    dxs = dxs.reshape(full * steps, *xs.shape[1:])
    return dweights, dstate, dxs if tail is None else jnp.concatenate([dxs, tail])


def _write(t, buffer, gates):
    """Gate by gate into its columns of row `t`: a concatenation is one slow loop."""
    hidden = gates[0].shape[-1]
    for gate, array in enumerate(gates):
        array = array.astype(buffer.dtype)[None]
        buffer = jax.lax.dynamic_update_slice(buffer, array, (t, 0, gate * hidden))
    return buffer
