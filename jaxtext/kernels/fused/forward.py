"""The forward pass of a recurrence, and the tape that its backward pass reads."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.checks import decided
from jaxtext.kernels.gates import (
    Arrays,
    Operands,
    Recurrence,
    activations,
    cast,
)
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
) -> tuple[tuple[Arrays, Array], Array]:
    """The same, and the tape, ``[T, S, B, H]``.

    On it is for each step the state before it, and then its gates, if they are kept.
    One array, since XLA fills what a loop is to write beforehand, and where several
    have one shape it fills one and copies that to the others.
    """
    state, h = operands.state, operands.state[-1]
    count = len(state) + (what.gates.saved if what.keep else 0)
    shape = operands.xs.shape[0], count, *h.shape
    tape = jnp.zeros_like(h, shape=shape, dtype=jnp.result_type(*state))
    return _run(what, operands, tape)


def _run(what, operands, tape) -> Any:
    weights, state, xs, resets, valid = operands
    weights = cast(weights, what.dtype)
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
        z += along(weights.bias, z)
        u = state[-1] @ weights.recurrent_kernel
        after, gates = what.gates.forward(
            z, u, weights.recurrent_bias, state, activations
        )
        if tape is not None:
            recorded = (*state, *gates) if what.keep else state
            for slot, array in enumerate(recorded):
                array = array.astype(tape.dtype)[None, None]
                tape = jax.lax.dynamic_update_slice(tape, array, (t, slot, 0, 0))
        y = kept(valid, after[-1])
        return (stepped(valid, after, state), tape, of_input), y

    carry = state, tape, None if at_once is None else at_once[0]
    steps = jnp.arange(xs.shape[0]), xs if at_once is None else None, resets, valid
    (state, tape, _), ys = jax.lax.scan(body, carry, steps)
    return (state, ys), tape


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
