"""What a reset and a masked step are, for every backend.

Forwards, a reset clears the state before a step, and a step that is not valid changes
nothing::

    state_tm1 ← 0                   where reset_t
    state_t, y_t ← state_tm1, 0     where not valid_t

Backwards, the gradient goes around a step that is not valid, and not past a reset::

    dafter_t = dstate_t + dy_t where valid_t, else 0
    dstate_tm1 = dbefore_t + (0 where valid_t, else dstate_t)
    dstate_tm1 ← 0                  where reset_t

Masks are booleans ``[B]``, of any number of axes. Within a kernel they are integers
``[B, 1]``, zero for false, since a register holds no booleans of that shape. ``None``
stands for a mask that never applies.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.types import Array


def select(mask: Array, yes: Any, no: Any) -> Any:
    """``jnp.where``, leaf by leaf; `mask` has the leading axes of every leaf.

    Example:
      >>> select(jnp.array([True, False]), jnp.ones((2, 2)), jnp.zeros((2, 2)))
      Array([[1., 1.],
             [0., 0.]], dtype=float32)
    """

    def of_leaf(a, b):
        if mask.dtype == bool:
            return jnp.where(
                mask.reshape(mask.shape + (1,) * (b.ndim - mask.ndim)), a, b
            )
        return jnp.where(jnp.broadcast_to(mask, b.shape) != 0, a, b)

    return jax.tree.map(of_leaf, yes, no)


def cleared(mask: Array | None, arrays: Any) -> Any:
    """Arrays that are zero where the mask is true."""
    if mask is None:
        return arrays
    return select(mask, jax.tree.map(jnp.zeros_like, arrays), arrays)


def kept(mask: Array | None, arrays: Any) -> Any:
    """Arrays that are zero where the mask is false."""
    if mask is None:
        return arrays
    return select(mask, arrays, jax.tree.map(jnp.zeros_like, arrays))


def stepped(valid: Array | None, after: Any, before: Any) -> Any:
    """The state after a step, which is the one before it where it is not valid."""
    return after if valid is None else select(valid, after, before)


def into_step(valid: Array | None, dstate: Any, dy: Array) -> tuple[Any, ...]:
    """The gradient ``dafter`` that goes back into a step.

    Args:
      valid: Whether the step is valid.
      dstate: The gradient by the state after the step, ``h`` last.
      dy: The gradient by its output.
    """
    return kept(valid, (*dstate[:-1], dstate[-1] + dy))


def out_of_step(
    valid: Array | None, reset: Array | None, dbefore: Any, dstate: Any
) -> tuple[Any, ...]:
    """The gradient by the state before a step, and before the reset there.

    Args:
      valid: Whether the step is valid.
      reset: Whether the state is cleared before it.
      dbefore: What comes back through the step itself.
      dstate: The gradient by the state after the step.
    """
    dbefore = tuple(dbefore)
    if valid is not None:
        around = cleared(valid, tuple(dstate))
        dbefore = jax.tree.map(jnp.add, dbefore, around)
    return cleared(reset, dbefore)
