"""A cell in the terms of Flax's recurrent modules, for linen and nnx alike."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.errors import InputError
from jaxtext.types import Array, Cell, Key, Params, State
from jaxtext.unroll import unroll


def one_step(
    cell: Cell, params: Params, carry: State, inputs: Array, otherwise: str
) -> tuple[State, Array]:
    """One step of a cell, ``carry, y``.

    Args:
      cell: The cell.
      params: Its parameters.
      carry: Its state.
      inputs: ``[B, D]``.
      otherwise: The class that also runs cells without a step, for the error.

    Raises:
      InputError: If the cell has no step.
    """
    if cell.step is None:
        raise InputError(
            "cell: expected one with a step, got one that needs the whole sequence (is "
            f"part of it bidirectional?); run it with {otherwise}"
        )
    return cell.step(params, carry, inputs)


def whole_sequence(
    rnn: Any,
    cell: Cell,
    params: Params,
    xs: Array,
    *,
    initial_carry: Any,
    seq_lengths: Array | None,
    key: Key | None,
    **options: bool | None,
) -> Array | tuple[State, Array]:
    """Runs a cell as ``flax.linen.RNN`` and ``flax.nnx.RNN`` run theirs.

    Args:
      rnn: The module that is called. Its attributes stand for `options` that are
        ``None``.
      cell: The cell.
      params: Its parameters.
      xs: ``[B, T, D]``, or ``[T, B, D]`` if time-major; floating point.
      initial_carry: The state to start from: any pytree of the same arrays in the same
        order, such as the pair ``(c, h)`` for an LSTM. ``None``: the cell's own.
      seq_lengths: ``[B]`` integers.
      key: The key to draw the cell's noise from. ``None``: no noise.
      **options: ``time_major``, ``reverse``, ``keep_order`` and ``return_carry``.

    Returns:
      The outputs; with ``return_carry``, the carry and the outputs.

    Raises:
      InputError: If `xs` are not floating point.
    """
    chosen = {k: getattr(rnn, k) if x is None else x for k, x in options.items()}
    time_major, reverse = chosen["time_major"], chosen["reverse"]
    if not jnp.issubdtype(xs.dtype, jnp.floating):
        raise InputError(
            f"inputs: expected floating-point inputs [B, T, D], got {xs.dtype}; to run "
            "a cell on symbols, use jaxtext.unroll"
        )
    carry = cell.initial_state(xs.shape[1:-1] if time_major else xs.shape[:-2])
    if initial_carry is not None:
        leaves = jax.tree.leaves(initial_carry)
        carry = jax.tree.unflatten(jax.tree.structure(carry), leaves)
    carry, ys = unroll(
        cell,
        params,
        carry,
        xs,
        key=key,
        lengths=seq_lengths,
        reverse=reverse,
        time_major=time_major,
    )
    if reverse and not chosen["keep_order"]:  # Flax's default
        ys = _flip(ys, seq_lengths, 0 if time_major else ys.ndim - 2)
    return (carry, ys) if chosen["return_carry"] else ys


def _flip(ys, lengths, axis):
    """Each sequence from its last step to its first; its padding stays at the end."""
    if lengths is None:
        return jnp.flip(ys, axis)
    steps = ys.shape[axis]
    backwards = jnp.moveaxis(lengths[..., None] - 1 - jnp.arange(steps), -1, axis)
    return jnp.take_along_axis(ys, backwards[..., None] % steps, axis)
