"""The forward pass of a recurrence, and the tape that its backward pass reads."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.checks import decided
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

MIB = 2**20


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
    tape = jnp.zeros_like(h, shape=shape, dtype=jnp.result_type(*state))
    return _run(what, operands, tape)


def _run(what, operands, tape) -> Any:
    weights, state, xs, resets, valid = operands
    weights = cast(weights, what.dtype)
    small = as_rows((weights.inner, weights.normal))
    at_once = product(xs, weights.kernel) if _is_hoisted(xs, weights.kernel) else None

    def body(carry, inputs):
        state, tape, of_input = carry
        t, x, reset, valid = inputs
        state = cleared(reset, state)
        if at_once is None:
            z = product(x, weights.kernel)
        else:
            # The next step's row is taken out here, by itself: within the gates' loop
            # it would keep XLA from vectorising that.
            z = of_input
            following = jnp.minimum(t + 1, at_once.shape[0] - 1)
            of_input = jax.lax.dynamic_index_in_dim(at_once, following, keepdims=False)
        z = z if weights.bias is None else z + along(weights.bias, z)
        u = state[-1] @ weights.recurrent_kernel
        after, gates, beside = step(what.gates, z, u, small, state)
        if tape is not None:
            recorded = (*state, *gates) if what.keep else state
            for slot, array in enumerate(recorded):
                array = array.astype(tape.dtype)[None, None]
                tape = jax.lax.dynamic_update_slice(tape, array, (t, slot, 0, 0))
        y = kept(valid, after[-1])
        beside = beside if tape is not None and what.keep else ()
        return (stepped(valid, after, state), tape, of_input), (y, beside)

    carry = state, tape, None if at_once is None else at_once[0]
    steps = jnp.arange(xs.shape[0]), xs if at_once is None else None, resets, valid
    (state, tape, _), (ys, beside) = jax.lax.scan(body, carry, steps)
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


def _is_hoisted(xs, kernel):
    """Whether the input product is taken before the loop, for all steps at once.

    One large product beats many small ones, unless these are large themselves: then
    what it writes costs more than it saves. Measured (``docs/kernels.md``): it pays
    where a step's product is short of rows or the kernel does not stay in the cache,
    and where what it writes does.
    """
    if is_symbols(xs):
        return False
    length, batch, _ = xs.shape
    itemsize = kernel.dtype.itemsize
    written = length * batch * kernel.shape[1] * itemsize
    return (
        decided(lambda: batch < 8, otherwise=False)
        or decided(lambda: kernel.size * itemsize >= 8 * MIB, otherwise=False)
        or decided(lambda: written <= 4 * MIB, otherwise=False)
    )
