"""The forward pass of a recurrence, and the tape that its backward pass reads."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.checks import decided
from jaxtext.kernels.fused.chunks import chunk_length, most_steps
from jaxtext.kernels.gates import (
    Arrays,
    Gates,
    Operands,
    Recurrence,
    activations,
    as_rows,
    cast,
)
from jaxtext.kernels.layer_norm import normalise, rescaled
from jaxtext.kernels.masks import cleared, kept, stepped
from jaxtext.kernels.products import along, is_symbols, product
from jaxtext.types import Array


def forward(
    what: Recurrence,
    operands: Operands,
) -> tuple[Arrays, Array]:
    """Runs a recurrence; arguments and results as those of `recurrence`."""
    return _run(what, operands, None)[0]


def record(
    what: Recurrence,
    operands: Operands,
) -> tuple[tuple[Arrays, Array], tuple[Array, Any]]:
    """The same, and the tape: ``[T, S, B, H]``, and arrays of other shapes beside it.

    On it is for each step the state before it, and then what the step saves, if that is
    kept. One array, since XLA fills what a loop is to write beforehand, and where
    several have one shape it fills one and copies that to the others.
    """
    state, h = operands.state, operands.state[-1]
    gates = 0 if what.gates.normed else what.gates.saved
    count = len(state) + (gates if what.keep else 0)
    shape = operands.xs.shape[0], count, *h.shape
    widest = max((x.dtype for x in state), key=lambda dtype: dtype.itemsize)
    tape = jnp.zeros_like(h, shape=shape, dtype=widest)
    return _run(what, operands, tape)


def _run(what, operands, tape) -> Any:
    weights, state, xs, resets, valid = operands
    weights = cast(weights, what.dtype)
    small = as_rows((weights.inner, weights.normal))
    length, h = xs.shape[0], state[-1]
    most = most_steps(weights, h.shape[0], what.dtype)
    steps = chunk_length(length, most)
    at_once = not is_symbols(xs) and _is_at_once(steps, most)
    if tape is not None:
        # What is recorded takes the chunk's place in the cache: measured with gradient,
        # several chunks won at H 128 and lost at H 256.
        at_once = at_once and decided(lambda: steps == length, otherwise=False)

    def chunk(carry, start, steps):
        """`steps` steps, after the product that they all share if it is `at_once`."""
        fed = jax.lax.dynamic_slice_in_dim(xs, start, steps)
        if at_once:
            fed = product(fed, weights.kernel)
        # Gates that take `z` and `u` apart slice `z`. XLA does not vectorise a slice of
        # a slice, so each step's row is taken out in the step before, by itself.
        apart = at_once and what.gates.differ

        def body(carry, inputs):
            state, ys, tape, z = carry
            i, x_or_z = inputs
            t = start + i
            state = cleared(_at(resets, t), state)
            if apart:
                following = _at(fed, jnp.minimum(i + 1, steps - 1))
            else:
                z = x_or_z if at_once else product(x_or_z, weights.kernel)
                following = None
            z = z if weights.bias is None else z + along(weights.bias, z)
            u = state[-1] @ weights.recurrent_kernel
            after, gates, beside = step(what.gates, z, u, small, state)
            if tape is not None:
                recorded = (*state, *gates) if what.keep else state
                for slot, array in enumerate(recorded):
                    array = array.astype(tape.dtype)[None, None]
                    tape = jax.lax.dynamic_update_slice(tape, array, (t, slot, 0, 0))
            y = kept(_at(valid, t), after[-1])
            ys = jax.lax.dynamic_update_slice(ys, y[None], (t, 0, 0))
            beside = beside if tape is not None and what.keep else ()
            return (stepped(_at(valid, t), after, state), ys, tape, following), beside

        inputs = jnp.arange(steps), None if apart else fed
        carry = *carry, fed[0] if apart else None
        carry, beside = jax.lax.scan(body, carry, inputs)
        return carry[:3], beside

    carry = state, jnp.zeros_like(h, shape=(length, *h.shape)), tape
    if not at_once or steps == length:
        carry, beside = chunk(carry, 0, length)
    else:  # and nothing is recorded
        full, rest = divmod(length, steps)
        body, starts = partial(chunk, steps=steps), steps * jnp.arange(full)
        carry, beside = jax.lax.scan(body, carry, starts)
        if rest:
            carry, _ = chunk(carry, length - rest, rest)
    state, ys, tape = carry
    return (state, ys), (tape, beside)


def step(
    gates: Gates, z: Array, u: Array, small: Any, state: Arrays
) -> tuple[Arrays, Arrays, Any]:
    """One step without its products.

    Args:
      gates: The step.
      z: ``[B, G H]``.
      u: ``[B, G H]``.
      small: ``(inner, normal)`` of the weights, as rows.
      state: The state before it.

    Returns:
      The state after it; what it saves, each ``[B, H]``; and what else it saves. If
      ``u`` is normalised, that is what `normalise` returns for it and, if it is
      normalised too, for ``z``. The gates are computed again from that, which takes
      less time than memory for both.
    """
    inner, normal = small
    if gates.normed is None:
        after, saved = gates.forward(z, u, inner, state, activations)
        return after, saved[: gates.saved], saved[gates.saved :]
    of_u, of_z = normalise(u, gates.normed.groups), None
    if normal is not None:
        of_z = normalise(z, gates.normed.groups)
        z = rescaled(of_z, *normal)
    scale, inner = inner
    u = rescaled(of_u, scale)
    after, _ = gates.normed.gates.forward(z, u, inner, state, activations)
    after = tuple(a.astype(b.dtype) for a, b in zip(after, state, strict=True))
    return after, (), (of_u, of_z)


def _is_at_once(steps, most):
    """Whether a chunk's input product is taken before its steps.

    One product with many rows is faster than one for each step: XLA gives it both
    threads and reads the weights once. This pays where what it writes stays in the
    cache. Measured (``docs/kernels.md``).
    """
    return decided(lambda: 1 < steps <= 2 * most, otherwise=False)


def _at(array, t):
    if array is None:
        return None
    return jax.lax.dynamic_index_in_dim(array, t, keepdims=False)
