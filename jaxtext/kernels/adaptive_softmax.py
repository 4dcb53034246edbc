"""Adaptive softmax with two levels: all rare symbols share a class.

With ``F`` frequent symbols, the columns of the output layer are those of the frequent
symbols, then the class of the rare ones at column ``F``, then the rare ones::

    z = h W + b                                         W [H, V + 1]
    p(v) = softmax(z_0 … z_F)_v                         v frequent
    p(v) = softmax(z_0 … z_F)_F softmax(z_Fp1 … z_V)_v  v rare

The probabilities of all symbols add up to one. To learn a frequent target, only the
first ``F + 1`` columns are needed. So the columns of rare symbols are multiplied by
those rows whose target is rare, `ROWS` at a time, in a loop that ends with them.

References:
  Goodman, "Classes for fast maximum entropy training", 2001.

  Grave et al., "Efficient softmax approximation for GPUs", 2017, whose tails have a
  smaller width as well.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.kernels import cross_entropy as softmax
from jaxtext.types import Array, DType

ROWS = 128


def log_probabilities(z: Array, frequent: int) -> Array:
    """The logarithms of the probabilities, in the order of the columns.

    Args:
      z: ``[…, V + 1]``.
      frequent: ``F``.

    Returns:
      ``[…, V]``, without the class.
    """
    first, rare = jnp.split(z, (frequent + 1,), axis=-1)
    first = jax.nn.log_softmax(first)
    rare = first[..., frequent:] + jax.nn.log_softmax(rare)
    return jnp.concatenate([first[..., :frequent], rare], axis=-1)


def cross_entropy(
    hs: Array, kernel: Array, bias: Array, targets: Array, frequent: int, dtype: DType
) -> Array:
    """``-log p(target)`` of each row.

    Args:
      hs: ``[N, H]``.
      kernel: ``W [H, V + 1]``.
      bias: ``b [V + 1]``.
      targets: ``[N]`` integers, the columns of the targets.
      frequent: ``F``.
      dtype: The type to multiply and to add in.

    Returns:
      ``[N]`` float32, in nats.
    """
    own = frequent + 1  # the first column of a rare symbol
    first = kernel[:, :own], bias[:own], jnp.minimum(targets, frequent)
    rare = kernel[:, own:], bias[own:], targets - own
    of_rare: Any = _of_some(hs, *rare, dtype)
    return softmax.cross_entropy(hs, *first, dtype) + of_rare


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _of_some(hs, kernel, bias, targets, dtype):
    """The cross-entropy of those rows whose target is not negative; 0 of the others."""

    def add(losses, rows, places):
        of_rows = jnp.maximum(targets[rows], 0)
        found = softmax.cross_entropy(hs[rows], kernel, bias, of_rows, dtype)
        return losses.at[places].set(found)

    return _over_rows(targets, add, jnp.zeros(len(hs) + 1, jnp.float32))[:-1]


def _forward(hs, kernel, bias, targets, dtype):
    return _of_some(hs, kernel, bias, targets, dtype), (hs, kernel, bias, targets)


def _backward(dtype, residuals, dlosses):
    *operands, targets = residuals
    gradients: Any = _gradients(targets, dtype, dlosses, *operands)
    return *gradients, None


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _gradients(targets, dtype, dlosses, hs, kernel, bias):
    """The gradients by `hs`, `kernel` and `bias`."""

    def add(total, rows, places):
        def losses(h, kernel, bias):
            of_rows = jnp.maximum(targets[rows], 0)
            return softmax.cross_entropy(h, kernel, bias, of_rows, dtype)

        _, pullback = jax.vjp(losses, hs[rows], kernel, bias)
        weights = jnp.where(places == rows, dlosses[rows], 0)
        (dhs, *others), (dh, *more) = total, pullback(weights)
        others = (a + b for a, b in zip(others, more, strict=True))
        return dhs.at[places].set(dh), *others

    dhs = jnp.zeros((len(hs) + 1, hs.shape[1]), hs.dtype)
    total = dhs, jnp.zeros_like(kernel), jnp.zeros_like(bias)
    dhs, *others = _over_rows(targets, add, total)
    return dhs[:-1], *others


def _gradients_forward(targets, dtype, *operands):
    return _gradients(targets, dtype, *operands), (targets, operands)


def _gradients_backward(dtype, residuals, cotangents):
    """From all rows at once: JAX cannot differentiate a loop of unknown length."""
    targets, operands = residuals

    def gradients(dlosses, *operands):
        def losses(hs, kernel, bias):
            places = jnp.maximum(targets, 0)
            found = softmax.cross_entropy(hs, kernel, bias, places, dtype)
            return jnp.where(targets < 0, 0, found)

        return jax.vjp(losses, *operands)[1](dlosses)

    return None, *jax.vjp(gradients, *operands)[1](cotangents)


_of_some.defvjp(_forward, _backward)
_gradients.defvjp(_gradients_forward, _gradients_backward)


def _over_rows(targets, add, total) -> Any:
    """Calls ``add(total, rows, places)`` for the rows whose target is not negative.

    Rows and places are the same, except where the last call has more rows than there
    are left. These are any rows, and their place is ``N``, beyond the last row.
    """
    size = len(targets)
    at_once = min(ROWS, size)
    chosen = targets >= 0
    order = jnp.pad(jnp.argsort(~chosen, stable=True), (0, at_once))  # chosen first

    def body(turn, total):
        begin = turn * at_once
        rows = jax.lax.dynamic_slice(order, (begin,), (at_once,))
        places = jnp.where(begin + jnp.arange(at_once) < chosen.sum(), rows, size)
        return add(total, rows, places)

    return jax.lax.fori_loop(0, -(-chosen.sum() // at_once), body, total)
