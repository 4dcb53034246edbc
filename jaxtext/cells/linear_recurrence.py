"""Cells whose state is a linear function of the one before, known from the input."""

from collections.abc import Callable

import jax.numpy as jnp

from jaxtext.cells.affine import biased, embed, glorot, input_product
from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.affine_scan import affine_scan
from jaxtext.kernels.masks import kept
from jaxtext.types import Array, Backend, Cell, DType, Masks


def linear_recurrence(
    hidden: int,
    starts: tuple[float, ...],
    gates: Callable[..., dict[str, Array]],
    coefficients: Callable[..., tuple[Array, Array]],
    dtype: DType,
    param_dtype: DType,
) -> Cell:
    """The cell ``h_t = a(x_t) ⊙ h_tm1 + b(x_t)``, step by step or all steps at once.

    ::

        a(x_t), b(x_t) = coefficients(x_t W + b)

    Its backend ``"parallel"`` takes ``log2(T)`` rounds in place of ``T`` steps, for
    about twice the arithmetic and with all coefficients in memory.

    Args:
      hidden: ``H``, the width of state and output.
      starts: What the bias of each of the ``G`` gates starts at.
      gates: ``(*pre_activations) -> dict``: the gates by name, of ``G`` arrays
        ``[B, H]`` of the state's dtype.
      coefficients: ``(*pre_activations) -> (a, b)``, likewise.
      dtype: The type of the products and of the output. The state is
        ``promote_types(dtype, float32)``, since it adds up small terms over many steps.
      param_dtype: The type of the parameters.

    Returns:
      A cell. Its parameters are ``kernel [D, G H]`` and ``bias [G H]``; its state is
      ``h [B, H]``, and so is its output.
    """
    state_dtype = accumulation_dtype(dtype)

    def init(key, input_size):
        bias = [jnp.full(hidden, start, param_dtype) for start in starts]
        return {
            "kernel": glorot(key, input_size, hidden, len(starts), param_dtype),
            "bias": jnp.concatenate(bias),
        }

    def pre_activations(params, x):
        """``G`` arrays ``[B, H]``, for any number of leading axes."""
        z = biased(params, input_product(x, params["kernel"], dtype), dtype)
        return jnp.split(z.astype(state_dtype), len(starts), axis=-1)

    def named(params, state, x, noise=None):
        del state, noise
        return gates(*pre_activations(params, x))

    def initial_state(batch_shape) -> Array:
        return jnp.zeros((*batch_shape, hidden), state_dtype)

    def step(params, state, x, noise=None):
        del noise
        a, b = coefficients(*pre_activations(params, x))
        h = a * state + b
        return h, h.astype(dtype)

    def parallel(params, state, xs, masks, noise, keep):
        del noise, keep
        a, b = coefficients(*pre_activations(params, xs))
        final, hs = linear_scan(a, b, state, masks)
        return final, kept(masks.valid, hs.astype(dtype))

    def lacks(target, params, state, xs, masks):
        del target, params, state, masks
        known = isinstance(xs.shape[0], int)
        return None if known else "it needs a length that is not symbolic"

    ways = (Backend("parallel", parallel, lacks),)
    return Cell(
        init,
        initial_state,
        step,
        backends=ways,
        embed=embed,
        gates=named,
        output_size=hidden,
        state_size=hidden,
    )


def linear_scan(a: Array, b: Array, h_0: Array, masks: Masks) -> tuple[Array, Array]:
    """All of ``h_t = a_t ⊙ h_tm1 + b_t``, in a number of rounds logarithmic in ``T``.

    What happens to the state is such a step too: one in padding is ``(1, 0)``, and one
    after a reset to zero is ``(0, b)``.

    Args:
      a: ``[T, B, H]``.
      b: ``[T, B, H]``.
      h_0: ``[B, H]``, the state before the first step.
      masks: Where the state goes back to zero, ``[T, B]``, and where it is kept.

    Returns:
      The state after the last step, and the states ``[T, B, H]``.

    Example:
      >>> a, b = jnp.full((3, 1), 0.5), jnp.ones((3, 1))
      >>> final, hs = linear_scan(a, b, jnp.array([2.0]), Masks())
      >>> hs.ravel().tolist()
      [2.0, 2.0, 2.0]
    """
    if masks.valid is not None:
        a = jnp.where(masks.valid[..., None], a, 1)
        b = jnp.where(masks.valid[..., None], b, 0)
    # A reset is no product with zero, which would let NaN through.
    resets = None if masks.resets is None else masks.resets[..., None]
    (hs,) = affine_scan(((a,),), (b,), (h_0,), resets)
    final = jnp.concatenate([h_0[None], hs])[-1]  # `h_0` if there is no step
    return final, hs
