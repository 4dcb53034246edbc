"""A recurrence over a sequence, whichever way it is taken there and back.

What the forward pass writes for the backward pass is a by-product: nothing flows back
through it. The derivative of the backward pass is that of a plain scan's, so that the
backward pass itself need not be differentiable, and may be a kernel.
"""

import jax
import jax.numpy as jnp

from jaxtext.kernels.fused.forward import forward
from jaxtext.kernels.gates import Arrays, Recurrence, Weights
from jaxtext.kernels.products import is_symbols
from jaxtext.types import Array


def _recurrence(
    what: Recurrence,
    weights: Weights,
    state: Arrays,
    xs: Array,
    resets: Array | None,
    valid: Array | None,
) -> tuple[Arrays, Array]:
    """Runs a recurrence over a sequence.

    Args:
      what: The recurrence.
      weights: The weights, of any type.
      state: The state before the first step, each ``[B, H]``.
      xs: ``[T, B, D]``, or integers ``[T, B]`` that stand for one-hot rows.
      resets: ``[T, B]``: the state goes to zero before the step. ``None``: never.
      valid: ``[T, B]``: where false, the output is zero and the state is kept.

    Returns:
      The state after the last step, and the outputs ``[T, B, H]``.
    """
    return what.passes.forward(what, weights, state, xs, resets, valid)


def _recording(what, *operands):
    """What `recurrence` returns, and what the backward pass reads."""
    return what.passes.record(what, *operands)


def _gradients(what, operands, tape, cotangents):
    return what.passes.backward(what, *operands, tape, cotangents)


def _recurrence_forward(what, *operands):
    outputs, tape = recording(what, *operands)
    return outputs, (operands, tape)


def _recurrence_backward(what, residuals, cotangents):
    return *gradients(what, *residuals, cotangents), None, None


def _recording_forward(what, *operands):
    outputs, tape = recording(what, *operands)
    # Copies: twice through a checkpointed scan, JAX 0.10 confuses those residuals that
    # are the operands themselves.
    return (outputs, tape), (jax.tree.map(jnp.copy, operands), tape)


def _recording_backward(what, residuals, cotangents):
    # Nothing comes back through the tape: `gradients`, which alone reads it, takes its
    # own derivative as that of a function of the operands.
    return _recurrence_backward(what, residuals, cotangents[0])


def _gradients_forward(what, operands, tape, cotangents):
    return gradients(what, operands, tape, cotangents), (operands, cotangents)


def _gradients_backward(what, residuals, cotangents):
    (weights, state, xs, resets, valid), along = residuals
    symbols = is_symbols(xs)

    def of_plain_scan(weights, state, floats, along):
        def run(weights, state, floats):
            inputs = xs if symbols else floats
            return forward(what, weights, state, inputs, resets, valid)

        return jax.vjp(run, weights, state, floats)[1](along)

    operands = weights, state, None if symbols else xs, along
    *by_operands, by_along = jax.vjp(of_plain_scan, *operands)[1](cotangents)
    return (*by_operands, None, None), None, by_along


recurrence = jax.custom_vjp(_recurrence, nondiff_argnums=(0,))
recurrence.defvjp(_recurrence_forward, _recurrence_backward)
recording = jax.custom_vjp(_recording, nondiff_argnums=(0,))
recording.defvjp(_recording_forward, _recording_backward)
gradients = jax.custom_vjp(_gradients, nondiff_argnums=(0,))
gradients.defvjp(_gradients_forward, _gradients_backward)
