"""Cells whose state is a linear function of the one before, known from the input."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import embed
from jaxtext.types import Array, Backend, Cell, DType, Masks


def linear_recurrence(
    hidden: int, init: Callable, coefficients: Callable, dtype: DType
) -> Cell:
    """The cell ``h_t = a(x_t) ⊙ h_tm1 + b(x_t)``, step by step or all steps at once.

    Its backend ``"parallel"`` takes ``log2(T)`` rounds in place of ``T`` steps, for
    about twice the arithmetic and with all coefficients in memory.

    Args:
      hidden: ``H``, the width of state and output.
      init: ``(key, input_size) -> params``, which have a ``kernel``.
      coefficients: ``(params, x) -> (a, b)``, each ``[B, H]`` of the state's dtype, for
        any number of leading axes; functions of the product of input and kernel.
      dtype: The type of the output; the state is ``promote_types(dtype, float32)``,
        since it adds up small terms over many steps.

    Returns:
      A cell. Its state is ``h [B, H]``, and so is its output.
    """
    state_dtype = jnp.promote_types(dtype, jnp.float32)

    def initial_state(batch_shape) -> Array:
        return jnp.zeros((*batch_shape, hidden), state_dtype)

    def step(params, h_tm1, x, noise=None):
        del noise
        a, b = coefficients(params, x)
        h = a * h_tm1 + b
        return h, h.astype(dtype)

    def parallel(params, state, xs, masks, noise, keep):
        del noise, keep
        a, b = coefficients(params, xs)
        final, hs = linear_scan(a, b, state, masks)
        ys = hs.astype(dtype)
        if masks.valid is not None:
            ys = jnp.where(masks.valid[..., None], ys, 0)
        return final, ys

    def lacks(target, params, state, xs, masks):
        del target, params, state, masks
        known = isinstance(xs.shape[0], int)
        return None if known else "it needs a length that is not symbolic"

    ways = (Backend("parallel", parallel, lacks),)
    return Cell(init, initial_state, step, backends=ways, embed=embed)


def linear_scan(a: Array, b: Array, h_0: Array, masks: Masks) -> tuple[Array, Array]:
    """All of ``h_t = a_t ⊙ h_tm1 + b_t``, in a number of rounds logarithmic in ``T``.

    Two steps in a row are again such a step: ``(a, b)`` and then ``(a', b')`` is
    ``(a' ⊙ a, a' ⊙ b + b')``, and that is associative. What happens to the state is
    one as well: a step in padding is ``(1, 0)``, and a step after a reset to zero is
    ``(0, b)``.

    Args:
      a: ``[T, B, H]``.
      b: ``[T, B, H]``.
      h_0: ``[B, H]``, the state before the first step.
      masks: Where the state goes back to zero, and where it is kept.

    Returns:
      The state after the last step and its gap, and the states ``[T, B, H]``.

    Example:
      >>> a, b = jnp.full((3, 1), 0.5), jnp.ones((3, 1))
      >>> final, hs = linear_scan(a, b, jnp.array([2.0]), Masks())
      >>> hs.ravel().tolist()
      [2.0, 2.0, 2.0]

    References:
      Blelloch, "Prefix sums and their applications", 1990, section 1.4.
    """
    if masks.valid is not None:
        a = jnp.where(masks.valid[..., None], a, 1)
        b = jnp.where(masks.valid[..., None], b, 0)
    # A reset is no product with zero, which would let NaN through.
    resets = None if masks.resets is None else masks.resets[:-1, ..., None]

    def after(first, second):
        (a, b, cut), (a_2, b_2, cut_2) = first, second
        both = a_2 * a, a_2 * b + b_2
        if cut is None:
            return *both, None
        after_cut = jax.tree.map(partial(jnp.where, cut_2), (a_2, b_2), both)
        return *after_cut, cut | cut_2

    from_h_0, from_bs, cut = jax.lax.associative_scan(after, (a, b, resets))
    seen = h_0[None]
    if cut is not None:
        # Before the product, whose gradient would be zero times what was cut off.
        seen = jnp.where(cut, 0, seen)
    hs = from_h_0 * seen + from_bs
    final = jnp.concatenate([h_0[None], hs])[-1]  # `h_0` if there is no step
    if masks.resets is not None:
        final = jnp.where(masks.resets[-1, ..., None], 0, final)
    return final, hs
