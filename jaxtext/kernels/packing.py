"""Steps moved to the front, for kernels that take lengths and no other masks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtext.types import Array


class Packing(NamedTuple):
    """Where the steps of each sequence go, in ``L`` slots.

    Attributes:
      slots: ``[T, B]``: the slot of each step, or ``L`` if it does not count.
      steps: ``[L, B]``: the step in each slot, or ``T`` if there is none.
      lengths: ``[B]``: how many slots are in use, from the first on.
    """

    slots: Array
    steps: Array
    lengths: Array


def pack_steps(
    shape: tuple[int, int], begins: Array | None, valid: Array | None
) -> Packing:
    """Puts the steps that count in front, and an empty slot before some of them.

    Args:
      shape: ``T, B``.
      begins: ``[T, B]``: the steps that get an empty slot before them, not the first of
        a sequence. ``None``: none does. ``L`` is ``T`` then, and ``2 T`` otherwise.
      valid: ``[T, B]``: the steps that count. ``None``: all.

    Example:
      >>> begins = jnp.array([[False], [False], [True]])
      >>> packing = pack_steps((3, 1), begins, None)
      >>> packing.slots[:, 0].tolist(), packing.steps[:, 0].tolist()
      ([0, 1, 3], [0, 1, 3, 2, 3, 3])
    """
    length, batch = shape
    taken = jnp.ones(shape, jnp.int32) if valid is None else valid.astype(jnp.int32)
    slots = length if begins is None else 2 * length
    if begins is not None:
        taken += begins.astype(jnp.int32)
    ends = jnp.cumsum(taken, axis=0)
    own = ends - 1 if valid is None else jnp.where(valid, ends - 1, slots)
    steps = jnp.full((slots + 1, batch), length, jnp.int32)  # the last takes the others
    rows = jax.lax.broadcasted_iota(jnp.int32, shape, 0)
    steps = steps.at[own, jnp.arange(batch)[None]].set(rows)[:-1]
    return Packing(own, steps, ends[-1])


def at(xs: Array, index: Array, otherwise: Array | int) -> Array:
    """``xs[index[l, b], b]``; `otherwise` where the index is beyond the end."""
    length, batch = xs.shape[:2]
    found = xs[jnp.minimum(index, length - 1), jnp.arange(batch)[None]]
    inside = (index < length).reshape(*index.shape, *(1 for _ in xs.shape[2:]))
    return jnp.where(inside, found, otherwise)
