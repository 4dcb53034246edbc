"""A scan around one recurrent product, whose gradient is taken after it.

::

    u_t = h_tm1 U,  state_t = core(params, z_t, u_t, state_tm1)
    dU = Σ_t h_tm1ᵀ du_t

For cells whose step has no derivative written by hand. JAX's own derivative of their
scan adds up that of ``U`` within the loop (`jaxtext.kernels.fused` has why that is
slow). Here the reverse scan has JAX differentiate `core` alone, which is elementwise or
nearly so, and puts ``du_t`` aside.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxtext.kernels.gates import Arrays
from jaxtext.kernels.masks import cleared, into_step, kept, out_of_step, stepped
from jaxtext.kernels.products import outer
from jaxtext.types import Array, Backend, DType, Params

Core: TypeAlias = Callable[[Params, Array, Array, Arrays], Arrays]


class Around(NamedTuple):
    """The scan, apart from its arrays.

    Attributes:
      core: ``(params, z, u, state) -> state``, one step without its products. The state
        is a tuple of arrays ``[B, …]``, the last one being ``h``.
      dtype: The type of the product.
      keep: Whether ``u`` is kept for the backward pass, or computed again.
    """

    core: Core
    dtype: DType
    keep: bool


class Operands(NamedTuple):
    """Its arrays.

    Attributes:
      params: What `core` takes as such.
      recurrent_kernel: ``U [H, F]``.
      state: The state before the first step.
      zs: ``[T, B, F]``, the part that depends only on the inputs.
      resets: ``[T, B]``: the state goes to zero before the step. ``None``: never.
      valid: ``[T, B]``: where false, the output is zero and the state is kept.
    """

    params: Params
    recurrent_kernel: Array
    state: Arrays
    zs: Array
    resets: Array | None = None
    valid: Array | None = None


def backend(
    core: Callable[..., Any],
    inputs: Callable[[Params, Array], Array],
    own: tuple[str, ...],
    dtype: DType,
) -> Backend:
    """The backend ``"fused"`` of a cell that is a core around one product.

    The cell's initial state is zero, ``U`` is its parameter ``recurrent_kernel``.

    Args:
      core: As in `Around`; its state is a tuple, or a single array.
      inputs: ``(params, xs) -> zs``, for any number of leading axes.
      own: The names of those parameters that `core` reads.
      dtype: The type of the product.
    """

    def sequence(params, state, xs, masks, noise, keep):
        del noise
        leaves, tree = jax.tree.flatten(state)

        def of_tuple(params, z, u, state):
            return tuple(jax.tree.leaves(core(params, z, u, tree.unflatten(state))))

        operands = Operands(
            {name: params[name] for name in own},
            params["recurrent_kernel"],
            tuple(leaves),
            inputs(params, xs),
            *masks,
        )
        after, ys = scan(Around(of_tuple, dtype, keep), operands)
        return tree.unflatten(after), ys

    return Backend("fused", sequence)


def _scan(what: Around, operands: Operands) -> tuple[Arrays, Array]:
    """The state after the last step, and the outputs ``[T, B, H]``."""
    return _run(what, operands, record=False)[0]


def _run(what, operands, record) -> Any:
    params, kernel, state, *by_step = operands
    kernel = kernel.astype(what.dtype)

    def body(state, inputs):
        z, reset, valid = inputs
        state = cleared(reset, state)
        u = state[-1] @ kernel
        after = what.core(params, z, u, state)
        recorded = (state, u if what.keep else None) if record else None
        return stepped(valid, after, state), (kept(valid, after[-1]), recorded)

    state, (ys, tape) = jax.lax.scan(body, state, tuple(by_step))
    return (state, ys), tape


def _forward(what, operands):
    outputs, tape = _run(what, operands, record=True)
    return outputs, (operands, tape)


def _backward(what, residuals, cotangents):
    operands, (states, us) = residuals
    params, kernel, _, *by_step = operands
    dstate, dys = cotangents
    w = kernel.astype(what.dtype)

    def body(carry, inputs):
        dstate, dparams = carry
        (z, reset, valid), state, u, dy = inputs
        if u is None:
            u = state[-1] @ w
        _, pullback = jax.vjp(what.core, params, z, u, state)
        dcore, dz, du, dbefore = pullback(into_step(valid, dstate, dy))
        through = (du @ w.T).astype(dy.dtype)
        dbefore = (*dbefore[:-1], dbefore[-1] + through)
        dbefore = out_of_step(valid, reset, dbefore, dstate)
        return (dbefore, jax.tree.map(jnp.add, dparams, dcore)), (dz, du)

    def zero(x):
        return jnp.zeros_like(dys, shape=x.shape, dtype=x.dtype)

    carry, steps = (dstate, jax.tree.map(zero, params)), (by_step, states, us, dys)
    (dstate, dparams), (dzs, dus) = jax.lax.scan(body, carry, steps, reverse=True)

    def rows(x):
        return x.reshape(-1, x.shape[-1])

    total = jnp.promote_types(what.dtype, jnp.float32)
    dkernel = outer(rows(states[-1]), rows(dus), total).astype(kernel.dtype)
    return (Operands(dparams, dkernel, dstate, dzs),)


scan = jax.custom_vjp(_scan, nondiff_argnums=(0,))
scan.defvjp(_forward, _backward)
