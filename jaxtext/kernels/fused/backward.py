"""The hand-derived backward pass of a recurrence."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.fused import forward
from jaxtext.kernels.fused.chunks import chunk_length, most_steps
from jaxtext.kernels.gates import (
    Arrays,
    Operands,
    Recurrence,
    Weights,
    activations,
    as_rows,
    cast,
)
from jaxtext.kernels.layer_norm import normalise_backward, rescaled
from jaxtext.kernels.masks import into_step, out_of_step
from jaxtext.kernels.products import along, outer, product, product_gradients
from jaxtext.types import Array


def backward(
    what: Recurrence,
    operands: Operands,
    recorded: tuple[Array, Any],
    cotangents: tuple[Arrays, Array],
) -> tuple[Weights, Arrays, Array | None]:
    """Gradients of a recurrence, chunk by chunk from the last one to the first.

    Args:
      what: The recurrence.
      operands: What it is of.
      recorded: What `record` wrote.
      cotangents: Those of the last state and of the outputs.

    Returns:
      Gradients by weights, state and inputs; ``None`` for those of symbols.
    """
    weights, state, xs, resets, valid = operands
    dstate, dys = cotangents
    tape, beside = recorded
    length, batch, hidden = dys.shape
    width = weights.recurrent_kernel.shape[1]
    w = cast(weights, what.dtype)
    small, differ = as_rows((w.inner, w.normal)), what.gates.differ
    transposed = w.recurrent_kernel.T
    # Sums over time and batch in at least float32, whatever the products' type.
    total = accumulation_dtype(what.dtype)

    def step(carry, i, start):
        """The `i`-th step of a chunk, backwards."""
        dstate, dsmall, pre = carry
        t = start + i

        def at(array) -> Any:
            if array is None:
                return None
            return jax.lax.dynamic_index_in_dim(array, t, keepdims=False)

        def load(slot, dtype):
            offset, size = (t, slot, 0, 0), (1, 1, batch, hidden)
            return jax.lax.dynamic_slice(tape, offset, size)[0, 0].astype(dtype)

        before = tuple(load(slot, part.dtype) for slot, part in enumerate(state))

        def input_part():
            z = product(at(xs), w.kernel)
            return z if w.bias is None else z + along(w.bias, z)

        if what.keep:
            slots = range(len(state), tape.shape[1])
            gates = tuple(load(slot, tape.dtype) for slot in slots)
            others = jax.tree.map(at, beside)
        else:
            u = before[-1] @ w.recurrent_kernel
            _, gates, others = forward.step(what.gates, input_part(), u, small, before)
        dafter = into_step(at(valid), dstate, at(dys))
        if what.gates.normed is None:
            saved = *gates, *others
            dpre, dbefore, dinner = what.gates.backward(dafter, saved, before, small[0])
            pre, dstep = jax.tree.map(partial(_write, i), pre, dpre), (dinner, None)
        else:
            z = None if small[1] else input_part()
            args = others, z, before, small, pre, i
            pre, dbefore, dstep = _normed(what.gates.normed, dafter, *args)
        dsmall = jax.tree.map(lambda a, d: a + d.astype(a.dtype), dsmall, dstep)
        du = jax.lax.dynamic_index_in_dim(
            pre[1] if differ else pre[0], i, keepdims=False
        )
        through = du @ transposed
        dbefore = (*dbefore[:-1], dbefore[-1] + through)
        dbefore = out_of_step(at(valid), at(resets), dbefore, dstate)
        return (dbefore, dsmall, pre), None

    def chunk(carry, start, steps):
        """`steps` steps backwards, and then the products over them all."""
        dstate, dsmall, dweights, pre = carry
        body = partial(step, start=start)
        along = jnp.arange(steps)
        carry = dstate, dsmall, pre
        (dstate, dsmall, pre), _ = jax.lax.scan(body, carry, along, reverse=True)

        def rows(array):
            return array.reshape(steps * batch, *array.shape[2:])

        dz, du = rows(pre[0]), rows(pre[1] if differ else pre[0])
        x = rows(jax.lax.dynamic_slice_in_dim(xs, start, steps))
        offset, size = (start, len(state) - 1, 0, 0), (steps, 1, batch, hidden)
        h = rows(jax.lax.dynamic_slice(tape, offset, size)[:, 0]).astype(what.dtype)
        dx, dkernel = product_gradients(x, w.kernel, dz, total)
        dbias = None if w.bias is None else dz.sum(0, dtype=total)
        dchunk = Weights(dkernel, outer(h, du, total), dbias)
        dweights = jax.tree.map(jnp.add, dweights, dchunk)
        dx = None if dx is None else dx.reshape(steps, *xs.shape[1:])
        return (dstate, dsmall, dweights, pre), dx

    def room(steps):
        """Where a chunk's gradients ``dz``, and ``du``, are put aside.

        If these are normalised, also those of one step before that: of ``z`` if it is
        normalised, and of ``u`` if that is another.
        """
        lengths = [steps] * (2 if differ else 1)
        if normed := what.gates.normed:
            lengths += [1] * (normed.gates.differ + (weights.normal is not None))
        return tuple(
            jnp.zeros_like(dys, shape=(n, batch, width), dtype=what.dtype)
            for n in lengths
        )

    def zero(weight):
        return jnp.zeros_like(dys, shape=weight.shape, dtype=total)

    def by_row(vector):
        """Where gradients by a vector are added up, for each sequence."""
        return jnp.zeros_like(dys, shape=(batch, vector.size), dtype=total)

    dsmall = jax.tree.map(by_row, (weights.inner, weights.normal))
    dweights = jax.tree.map(zero, weights._replace(inner=None, normal=None))
    steps = chunk_length(length, most_steps(w, batch, what.dtype))
    full, rest = divmod(length, steps)
    carry, tail = (dstate, dsmall, dweights, room(rest)), None
    if rest:
        carry, tail = chunk(carry, length - rest, rest)
    carry = *carry[:-1], room(steps)
    body = partial(chunk, steps=steps)
    carry, dxs = jax.lax.scan(body, carry, steps * jnp.arange(full), reverse=True)
    dstate, dsmall, dweights, _ = carry
    dinner, dnormal = jax.tree.map(lambda d: d.sum(0), dsmall)
    dweights = dweights._replace(inner=dinner, normal=dnormal)
    dweights = jax.tree.map(lambda g, w: g.astype(w.dtype), dweights, weights)
    if dxs is None:  # of symbols
        return dweights, dstate, None
    dxs = dxs.reshape(full * steps, *xs.shape[1:])
    return dweights, dstate, dxs if tail is None else jnp.concatenate([dxs, tail])


def _normed(normed, dafter, of_both, z, before, small, pre, i):
    """A step whose recurrent part is normalised, backwards."""
    (of_u, of_z), ((scale, inner), normal) = of_both, small
    z = z if normal is None else rescaled(of_z, *normal)
    u = rescaled(of_u, scale)
    _, saved = normed.gates.forward(z, u, inner, before, activations)
    dpre, dbefore, dinner = normed.gates.backward(dafter, saved, before, inner)
    dbefore = tuple(d.astype(a.dtype) for d, a in zip(dbefore, dafter, strict=True))
    dz, du, *rows = pre
    # What is normalised is written first and read again: else XLA would compute it
    # anew wherever it is used, and not vectorised.
    dnormal = None
    if normal is None:
        dz = _write(i, dz, dpre[0])
        dv = jax.lax.dynamic_index_in_dim(dz, i, keepdims=False)
    else:
        rows[0] = _write(0, rows[0], dpre[0])
        dv = rows[0][0]
        dproduct, dscale = normalise_backward(dv, of_z, normal[0], normed.groups)
        dz = _write(i, dz, (dproduct,))
        dnormal = dscale, dv
    if normed.gates.differ:
        rows[-1] = _write(0, rows[-1], dpre[-1])
        dv = rows[-1][0]
    dproduct, dscale = normalise_backward(dv, of_u, scale, normed.groups)
    du = _write(i, du, (dproduct,))
    return (dz, du, *rows), dbefore, ((dscale, dinner), dnormal)


def _write(t, buffer, gates):
    """Gate by gate into its columns of row `t`: a concatenation is one slow loop."""
    hidden = gates[0].shape[-1]
    for gate, array in enumerate(gates):
        array = array.astype(buffer.dtype)[None]
        buffer = jax.lax.dynamic_update_slice(buffer, array, (t, 0, gate * hidden))
    return buffer
