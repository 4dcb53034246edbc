"""A recurrence with a hand-derived backward pass.

Differentiating a scan adds each step's share to the weight gradient inside the loop:
``T`` small products, and ``T`` passes over an array as large as the weights. Here the
reverse scan carries the state's gradient alone and puts aside the gradient ``dz_t`` of
each step's pre-activations; the weights' gradients are then one product each::

    z_t = x_t W + b,  u_t = h_tm1 U                             forward
    dh_tm1 = … + du_t Uᵀ                                        reverse scan
    dW = Σ_t x_tᵀ dz_t,  dU = Σ_t h_tm1ᵀ du_t,  db = Σ_t dz_t   after it

The network's own part is two elementwise functions, `Gates`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtext.types import Array, DType

Arrays = tuple[Array, ...]


class Gates(NamedTuple):
    """One step without its products, and the same backwards.

    The state is a tuple of ``[B, H]`` arrays whose last one is ``h``, the output.

    Attributes:
      forward: ``(z, u, recurrent_bias, state) -> (state, saved)``; `z` and `u` are
        ``[B, G H]``, and `saved` is a tuple of ``[B, H]`` arrays.
      backward: ``(dstate, saved, state) -> (dz, du, dstate)``, where `state` is the
        one before the step; `dz` and `du` are tuples of ``G`` arrays ``[B, H]``, and
        the last `dstate` lacks what comes through ``u``. `du` is ``None`` where it
        would be `dz`.
    """

    forward: Callable[..., tuple[Arrays, Arrays]]
    backward: Callable[..., tuple[Arrays, Arrays | None, Arrays]]


class Weights(NamedTuple):
    """``kernel [D, G H]``, ``recurrent_kernel [H, G H]``, ``bias [G H]``."""

    kernel: Array
    recurrent_kernel: Array
    bias: Array
    recurrent_bias: Array | None = None  # [H], inside the last gate


def _recurrence(
    gates: Gates,
    dtype: DType,
    keep: bool,
    weights: Weights,
    state: Arrays,
    xs: Array,
    resets: Array | None,
    valid: Array | None,
) -> tuple[Arrays, Array]:
    """Runs the recurrence over a sequence.

    Args:
      gates: The network's own part.
      dtype: The type of the products, of ``h`` and of the output.
      keep: Whether the gates are kept for the backward pass, or computed again.
      weights: The weights, of any type.
      state: The state before the first step, each ``[B, H]``.
      xs: ``[T, B, D]``, or integers ``[T, B]`` that stand for one-hot rows.
      resets: ``[T, B]``: the state goes to zero before the step. ``None``: never.
      valid: ``[T, B]``: where false, the output is zero and the state is kept.

    Returns:
      The state after the last step, and the outputs ``[T, B, H]``.
    """
    state, (ys, _, _) = _forward(gates, dtype, False, weights, state, xs, resets, valid)
    return state, ys


def _forward(gates, dtype, keep, weights, state, xs, resets, valid):
    """The state, and ``ys, states, saved``: the latter two as the backward needs."""
    kernel, recurrent_kernel, bias, recurrent_bias = _cast(weights, dtype)
    # One large product beats many small ones, unless these are large themselves: then
    # what it writes costs more memory traffic than it saves (measured at B 1, 16, 64).
    hoisted = xs.ndim == 3 and xs.shape[1] <= 32
    inputs = _product(xs, kernel, dtype) if hoisted else xs

    def body(state, inputs):
        x, reset, valid = inputs
        if reset is not None:
            state = _cleared(reset, state)
        z = (x if hoisted else _product(x, kernel, dtype)) + bias
        u = state[-1] @ recurrent_kernel
        after, saved = gates.forward(z, u, recurrent_bias, state)
        y = after[-1]
        if valid is not None:
            after = _where(valid, after, state)
            y = jnp.where(valid[:, None], y, 0)
        return after, (y, state if keep else None, saved if keep else None)

    return jax.lax.scan(body, state, (inputs, resets, valid))


def _forward_keeping(gates, dtype, keep, weights, state, xs, resets, valid):
    arguments = weights, state, xs, resets, valid
    after, (ys, states, saved) = _forward(gates, dtype, True, *arguments)
    return (after, ys), (weights, xs, resets, valid, states, saved if keep else None)


def _backward(gates, dtype, keep, kept, cotangents):
    weights, xs, resets, valid, states, saved = kept
    kernel, recurrent_kernel, bias, recurrent_bias = _cast(weights, dtype)
    transposed = recurrent_kernel.T

    def body(dstate, inputs):
        dy, x, reset, valid, state, saved = inputs
        if not keep:
            z = _product(x, kernel, dtype) + bias
            u = state[-1] @ recurrent_kernel
            _, saved = gates.forward(z, u, recurrent_bias, state)
        dafter = (*dstate[:-1], dstate[-1] + dy)
        if valid is not None:
            dafter = _cleared(~valid, dafter)
        dz, du, dbefore = gates.backward(dafter, saved, state)
        dz = jnp.concatenate(dz, axis=-1).astype(dtype)
        du = None if du is None else jnp.concatenate(du, axis=-1).astype(dtype)
        through = (dz if du is None else du) @ transposed
        dbefore = (*dbefore[:-1], dbefore[-1] + through)
        if valid is not None:
            dkept = _cleared(valid, dstate)
            dbefore = jax.tree.map(jnp.add, dbefore, dkept)
        if reset is not None:
            dbefore = _cleared(reset, dbefore)
        return dbefore, (dz, du)

    dafter, dys = cotangents
    inputs = dys, None if keep else xs, resets, valid, states, saved
    dstate, (dz, du) = jax.lax.scan(body, dafter, inputs, reverse=True)
    du = dz if du is None else du

    # Sums over time and batch in at least float32, whatever the products' type.
    total = jnp.promote_types(dtype, jnp.float32)
    dxs, dkernel = _product_transposed(xs, kernel, dz, total)
    dweights = Weights(
        dkernel,
        jnp.einsum("tbh,tbg->hg", states[-1], du, preferred_element_type=total),
        jnp.sum(dz, axis=(0, 1), dtype=total),
    )
    if recurrent_bias is not None:
        last_gate = du[..., -recurrent_bias.shape[0] :]
        dlast = jnp.sum(last_gate, axis=(0, 1), dtype=total)
        dweights = dweights._replace(recurrent_bias=dlast)
    dweights = jax.tree.map(lambda g, w: g.astype(w.dtype), dweights, weights)
    return dweights, dstate, dxs, None, None


recurrence = jax.custom_vjp(_recurrence, nondiff_argnums=(0, 1, 2))
recurrence.defvjp(_forward_keeping, _backward)


def activations(z: Array, sigmoid: tuple[bool, ...]) -> list[Array]:
    """``σ`` of some gates and ``tanh`` of the others, as one ``tanh`` over all.

    ::

        σ(x) = tanh(x / 2) / 2 + 1 / 2

    One long loop that XLA vectorises, in place of several short ones.

    Args:
      z: ``[B, G H]``.
      sigmoid: For each of the ``G`` gates, whether it is a sigmoid.

    Returns:
      ``G`` arrays ``[B, H]``.
    """
    hidden = z.shape[-1] // len(sigmoid)
    scale = np.repeat(np.where(sigmoid, 0.5, 1.0), hidden)
    offset = np.repeat(np.where(sigmoid, 0.5, 0.0), hidden)
    scale, offset = scale.astype(z.dtype), offset.astype(z.dtype)
    return jnp.split(jnp.tanh(z * scale) * scale + offset, len(sigmoid), axis=-1)


def _product(x, kernel, dtype):
    if jnp.issubdtype(x.dtype, jnp.integer):
        return kernel[x]
    return x.astype(dtype) @ kernel


def _product_transposed(xs, kernel, dz, total):
    """Gradients of `_product` by its input and by its kernel."""
    if jnp.issubdtype(xs.dtype, jnp.integer):
        zero = jnp.zeros(kernel.shape, total)
        return None, zero.at[xs].add(dz.astype(total))
    dxs = (dz @ kernel.T).astype(xs.dtype)
    x = xs.astype(dz.dtype)
    return dxs, jnp.einsum("tbd,tbg->dg", x, dz, preferred_element_type=total)


def _cast(weights, dtype):
    return jax.tree.map(lambda w: jnp.asarray(w, dtype), weights)


def _where(mask, yes, no):
    return jax.tree.map(lambda a, b: jnp.where(mask[:, None], a, b), yes, no)


def _cleared(mask, state):
    return _where(mask, jax.tree.map(jnp.zeros_like, state), state)
