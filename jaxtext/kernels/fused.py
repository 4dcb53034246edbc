"""A recurrence with a hand-derived backward pass.

Differentiating a scan adds each step's share to the weight gradient inside the loop:
``T`` small products, and ``T`` passes over an array as large as the weights. Here the
reverse scan carries the state's gradient alone and puts aside the gradient ``dz_t`` of
each step's pre-activations; the weights' gradients are then large products, one for
each chunk of time::

    z_t = x_t W + b,  u_t = h_tm1 U                             forward
    dh_tm1 = … + du_t Uᵀ                                        reverse scan
    dW = Σ_t x_tᵀ dz_t,  dU = Σ_t h_tm1ᵀ du_t,  db = Σ_t dz_t   after each chunk

The derivative of the backward pass is that of the plain scan's, so that what is done
here for speed need not be differentiable.
"""

from typing import Any

import jax

from jaxtext.kernels.backward import backward
from jaxtext.kernels.forward import forward, room_for_saved
from jaxtext.kernels.gates import Arrays, Recurrence, Weights, is_symbols
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
    return forward(what, weights, state, xs, resets, valid)


def _save(what, weights, state, xs, resets, valid) -> Any:
    """What `recurrence` returns, and what the backward pass reads."""
    saved = room_for_saved(what, state, xs.shape[0])
    return forward(what, weights, state, xs, resets, valid, saved)


def _backward(what, operands, saved, cotangents) -> Any:
    return backward(what, *operands, saved=saved, cotangents=cotangents)


def _recurrence_forward(what, *operands):
    outputs, saved = _saving(what, *operands)
    return outputs, (operands, saved)


def _recurrence_backward(what, residuals, cotangents):
    return *_gradients(what, *residuals, cotangents), None, None


def _saving_forward(what, *operands):
    outputs, saved = _saving(what, *operands)
    return (outputs, saved), (operands, saved)


def _saving_backward(what, residuals, cotangents):
    # Nothing comes back through what was saved: `_gradients`, which alone reads it,
    # takes its own derivative as that of a function of the operands.
    return _recurrence_backward(what, residuals, cotangents[0])


def _gradients_forward(what, operands, saved, cotangents):
    return _gradients(what, operands, saved, cotangents), (operands, cotangents)


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
_saving = jax.custom_vjp(_save, nondiff_argnums=(0,))
_saving.defvjp(_saving_forward, _saving_backward)
_gradients = jax.custom_vjp(_backward, nondiff_argnums=(0,))
_gradients.defvjp(_gradients_forward, _gradients_backward)
