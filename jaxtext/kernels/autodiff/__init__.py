"""A scan of any step, whose weight gradients are taken after it.

A step is a few sums of products and what is elementwise between them::

    y_k = Σ_j a_kj W_kj + b_k                          the k-th call of `multiply`
    dW_kj = Σ_t a_kjᵀ dy_k,  db_k = Σ_t dy_k           after each chunk of time

JAX's own derivative of a scan adds these up within the loop (`jaxtext.kernels.fused`
has why that is slow). Here the step gets the function that multiplies as an argument.
In the reverse scan that function multiplies nothing: it returns the ``y_k`` of the
forward pass and sends ``dy_k W_kjᵀ`` back to ``a_kj``. Both ``a_kj`` and ``dy_k`` are
put aside. JAX differentiates the rest of the step, so a cell needs no derivative of
its own, and one that goes around another cell hands `multiply` on to its step.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax

from jaxtext.kernels.autodiff import backward
from jaxtext.kernels.autodiff.forward import Operands, Scan, run
from jaxtext.kernels.divided import divide_gradient
from jaxtext.types import Array, Backend, InitialState, State


def backends(
    step: Callable[..., Any], initial_state: InitialState
) -> tuple[Backend, ...]:
    """The backend ``"fused"`` of a cell whose step takes `multiply`, or none.

    Args:
      step: As in `Scan`. One that goes around another step and hands `multiply` on to
        it says by ``functools.wraps`` what that one takes.
      initial_state: That of the cell.
    """
    if "multiply" not in inspect.signature(step).parameters:
        return ()

    def sequence(params, state, xs, masks, noise, keep):
        params = divide_gradient(params)
        operands = Operands(params, state, xs, masks.resets, masks.valid, noise)
        return scan(Scan(step, initial_state, keep), operands)

    return (Backend("fused", sequence),)


def _scan(what: Scan, operands: Operands) -> tuple[State, Array]:
    """The state after the last step, and the outputs ``[T, B, H]``."""
    return run(what, operands, record=False)[0]


def _forward(what, operands):
    outputs, tape = run(what, operands, record=True)
    return outputs, (operands, tape)


def _backward(what, residuals, cotangents):
    operands, tape = residuals
    return (backward.backward(what, operands, tape, cotangents),)


scan = jax.custom_vjp(_scan, nondiff_argnums=(0,))
scan.defvjp(_forward, _backward)
