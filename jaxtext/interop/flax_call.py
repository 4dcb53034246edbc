"""A sequence, asked for in the words of Flax's ``RNN``."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.types import Array, Cell, Key, Params, State
from jaxtext.unroll import unroll


def flax_call(
    cell: Cell,
    params: Params,
    xs: Array,
    *,
    initial_carry: Any = None,
    seq_lengths: Array | None = None,
    time_major: bool = False,
    reverse: bool = False,
    keep_order: bool = False,
    key: Key | None = None,
) -> tuple[State, Array]:
    """`jaxtext.unroll`, asked for as ``flax.linen.RNN`` and ``flax.nnx.RNN`` are.

    Two things differ from theirs, both on purpose: outputs in the padding are zero, and
    a sequence of length 0 ends in the carry it started from.

    Args:
      cell: Any cell.
      params: Its parameters.
      xs: ``[B, T, D]``, or ``[T, B, D]`` if `time_major`; floating point.
      initial_carry: The state to start from; any pytree of the same arrays in the same
        order, such as the pair ``(c, h)`` for an LSTM. Default: the cell's own.
      seq_lengths: ``[B]`` integers.
      time_major: Whether time is the first axis.
      reverse: Whether to walk from the last step to the first.
      keep_order: Whether outputs then stay where their inputs are. Flax's default, and
        so the one here, is the order in which they were computed.
      key: Where the cell's noise comes from.

    Returns:
      The carry after the last step, and the outputs.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.gru(4)
      >>> params = cell.init(jax.random.key(0), 3)
      >>> carry, ys = flax_call(cell, params, jnp.ones((2, 5, 3)), reverse=True)
      >>> bool((carry == ys[:, -1]).all())
      True
    """
    if not jnp.issubdtype(xs.dtype, jnp.floating):
        raise ValueError(
            f"expected floating-point inputs [B, T, D], got {xs.dtype}; integers that "
            "stand for symbols are for jaxtext.unroll"
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
    if reverse and not keep_order:
        ys = _flip(ys, seq_lengths, 0 if time_major else ys.ndim - 2)
    return carry, ys


def _flip(ys, lengths, axis):
    """Each sequence from its last step to its first; its padding stays behind it."""
    if lengths is None:
        return jnp.flip(ys, axis)
    steps = ys.shape[axis]
    backwards = jnp.moveaxis(lengths[..., None] - 1 - jnp.arange(steps), -1, axis)
    return jnp.take_along_axis(ys, backwards[..., None] % steps, axis)
