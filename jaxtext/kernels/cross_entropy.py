"""The output layer and its cross-entropy, with a gradient derived by hand.

::

    z = h W + b
    L = log Σ_v exp(z_v) - z_target
    ∂L/∂z = softmax(z) - one_hot(target)

JAX's own derivative keeps the exponentials and scatters ones into an array of zeros,
whose layout then makes the product for ``∂L/∂W`` slow on a CPU (docs/kernels.md has the
figures). Here ``∂L/∂z`` is one elementwise pass over the logits.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.products import along, outer
from jaxtext.types import Array, DType


def logits(hs: Array, kernel: Array, bias: Array, dtype: DType) -> Array:
    """``z = h W + b``.

    Args:
      hs: ``[…, H]``.
      kernel: ``W [H, V]``.
      bias: ``b [V]``.
      dtype: The type to multiply and to add in.

    Returns:
      ``[…, V]`` float32.
    """
    z = hs.astype(dtype) @ kernel.astype(dtype)
    return (z + along(bias, z).astype(dtype)).astype(jnp.float32)


def of_logits(z: Array, targets: Array) -> tuple[Array, Array]:
    """``L`` and the logarithm of the sum in it.

    Args:
      z: ``[…, V]``.
      targets: ``[…]`` integers in ``[0, V)``.
    """
    total = jax.nn.logsumexp(z, axis=-1)
    return total - jnp.take_along_axis(z, targets[..., None], axis=-1)[..., 0], total


def cross_entropy(
    hs: Array, kernel: Array, bias: Array, targets: Array, dtype: DType
) -> Array:
    """``L`` of each row.

    Args:
      hs: ``[N, H]``.
      kernel: ``W [H, V]``.
      bias: ``b [V]``.
      targets: ``[N]`` integers in ``[0, V)``.
      dtype: As for `logits`.

    Returns:
      ``[N]`` float32, in nats.
    """
    losses: Any = _derived(hs, kernel, bias, targets, dtype)
    return losses


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _derived(hs, kernel, bias, targets, dtype):
    return _forward(hs, kernel, bias, targets, dtype)[0]


def _forward(hs, kernel, bias, targets, dtype) -> tuple[Array, Any]:
    z = logits(hs, kernel, bias, dtype)
    losses, total = of_logits(z, targets)
    return losses, (hs, kernel, bias, targets, z, total)


def _backward(dtype, residuals, dlosses):
    hs, kernel, bias, targets, z, total = residuals
    symbols = jax.lax.broadcasted_iota(targets.dtype, z.shape, 1)
    hot = (symbols == targets[:, None]).astype(z.dtype)
    dz = (dlosses[:, None] * (jnp.exp(z - total[:, None]) - hot)).astype(dtype)
    wide = accumulation_dtype(dtype)
    return (
        (dz @ kernel.astype(dtype).T).astype(hs.dtype),
        outer(hs.astype(dtype), dz, wide).astype(kernel.dtype),
        dz.sum(0, dtype=wide).astype(bias.dtype),
        None,
    )


_derived.defvjp(_forward, _backward)
