"""Chunks of time, whose pre-activations or their gradients stay in the cache."""

import jax.numpy as jnp

from jaxtext.checks import decided
from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.gates import Weights
from jaxtext.types import DType

# Of pre-activations `z`, or of their gradients, that should still be in the cache when
# read; up to twice as much where that saves a chunk.
CHUNK_BYTES = 3 * 2**20


def most_steps(weights: Weights, batch: int, dtype: DType) -> int:
    """About how many steps a chunk of a recurrence should have: see `that_fit`.

    Args:
      weights: The weights.
      batch: Sequences in the batch.
      dtype: The type of the products.
    """
    wide = jnp.dtype(accumulation_dtype(dtype))
    of_weights = (weights.kernel.size + weights.recurrent_kernel.size) * wide.itemsize
    of_step = batch * weights.kernel.shape[1] * jnp.dtype(dtype).itemsize
    return that_fit(of_weights, of_step)


def that_fit(of_weights: int, of_step: int) -> int:
    """About how many steps a chunk should have at most: 0 if one step is too large.

    A chunk may take as much memory as the weights. With less of it, reading them once
    for each chunk would take longer than the products.

    Args:
      of_weights: The bytes of the weights, in the type in which gradients are added up.
      of_step: The bytes of a step's pre-activations.
    """
    return max(CHUNK_BYTES, of_weights) // max(1, of_step)


def chunk_length(length: int, most: int) -> int:
    """Steps in a chunk: at most about `most`, and a divisor of `length` if one is near.

    All of them where the length is symbolic, since chunks have to be counted.

    Example:
      >>> chunk_length(50, 30), chunk_length(100, 30), chunk_length(101, 30)
      (50, 25, 30)
    """
    if decided(lambda: length <= 2 * most, otherwise=True):
        return length
    most = max(1, most)
    divisor = max(n for n in range(1, most + 1) if length % n == 0)
    return divisor if 2 * divisor >= most else most
