"""A recurrence over a sequence, by any of its forward and backward passes.

What the forward pass writes for the backward pass is a by-product: nothing flows back
through it. The derivative of the backward pass is that of a plain scan's, so that the
backward pass itself need not be differentiable, and may be a kernel.
"""

import jax
import jax.numpy as jnp

from jaxtext.kernels.fused.forward import forward
from jaxtext.kernels.gates import Arrays, Operands, Recurrence
from jaxtext.kernels.products import is_symbols
from jaxtext.types import Array


def _recurrence(
    what: Recurrence,
    operands: Operands,
) -> tuple[Arrays, Array]:
    """Runs a recurrence over a sequence.

    Args:
      what: The recurrence.
      operands: Its arrays.

    Returns:
      The state after the last step, and the outputs ``[T, B, H]``.
    """
    return what.passes.forward(what, operands)


def _recording(what, operands):
    """What `recurrence` returns, and what the backward pass reads."""
    return what.passes.record(what, operands)


def _gradients(what, operands, tape, cotangents):
    return what.passes.backward(what, operands, tape, cotangents)


def _recurrence_forward(what, operands):
    outputs, tape = recording(what, operands)
    return outputs, (operands, tape)


def _recurrence_backward(what, residuals, cotangents):
    return (Operands(*gradients(what, *residuals, cotangents)),)


def _recording_forward(what, operands):
    outputs, tape = recording(what, operands)
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
    operands, along = residuals
    weights, state, xs, *_ = operands
    symbols = is_symbols(xs)

    def of_plain_scan(weights, state, floats, along):
        def run(weights, state, floats):
            inputs = xs if symbols else floats
            here = operands._replace(weights=weights, state=state, xs=inputs)
            return forward(what, here)

        return jax.vjp(run, weights, state, floats)[1](along)

    floats = None if symbols else xs
    pullback = jax.vjp(of_plain_scan, weights, state, floats, along)[1]
    *by_operands, by_along = pullback(cotangents)
    return Operands(*by_operands), None, by_along


recurrence = jax.custom_vjp(_recurrence, nondiff_argnums=(0,))
recurrence.defvjp(_recurrence_forward, _recurrence_backward)
recording = jax.custom_vjp(_recording, nondiff_argnums=(0,))
recording.defvjp(_recording_forward, _recording_backward)
gradients = jax.custom_vjp(_gradients, nondiff_argnums=(0,))
gradients.defvjp(_gradients_forward, _gradients_backward)
