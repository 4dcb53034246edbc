"""The set of symbols with the highest scores whose weights reach a sum.

Sorting would be the obvious way. On a CPU, where XLA sorts through a function that
compares, it takes as long as a step of an LSTM with 256 units. The forms here do not
sort: small vocabularies compare all pairs, which is a sum that vectorises, and large
ones find the lowest score that is kept by bisection.
"""

import jax.numpy as jnp
from jax import lax

from jaxtext.types import Array

PAIRS = 128  # symbols at most: beyond that, bisection takes less time


def heaviest(scores: Array, weights: Array, mass: Array) -> Array:
    """Which symbols are kept: those above which there is less than `mass`.

    ::

        kept_v  if  Σ_{u: scores_u > scores_v} weights_u < mass

    So equal scores are kept or not together, and the highest is kept if `mass` is above
    zero.

    Args:
      scores: ``[B, V]`` float32, without NaN.
      weights: ``[B, V]`` float32, not negative.
      mass: A number, or ``[B, 1]``.

    Returns:
      ``[B, V]`` booleans.

    Example:
      >>> scores = jnp.array([[0.1, 3.0, 2.0, 3.0]])
      >>> heaviest(scores, jnp.ones((1, 4)), 3).tolist()
      [[False, True, True, True]]
    """
    if scores.shape[-1] <= PAIRS:
        return by_pairs(scores, weights, mass)
    return by_bisection(scores, weights, mass)


def by_pairs(scores: Array, weights: Array, mass: Array) -> Array:
    """`heaviest` by comparing each score with all others, ``V²`` comparisons."""
    higher = scores[:, None, :] > scores[:, :, None]
    return jnp.sum(jnp.where(higher, weights[:, None, :], 0), axis=-1) < mass


def by_bisection(scores: Array, weights: Array, mass: Array) -> Array:
    """`heaviest` by halving the range of all float32 numbers 32 times, ``32 V``."""
    keys = _ordered(scores)

    def halve(_, between):
        low, high = between
        middle = (low >> 1) + (high >> 1) + (low & high & 1)  # without overflow
        above = jnp.sum(jnp.where(keys > middle, weights, 0), axis=-1, keepdims=True)
        enough = above < mass
        return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

    rows = (*scores.shape[:-1], 1)
    limits = jnp.iinfo(jnp.int32)
    between = jnp.full(rows, limits.min), jnp.full(rows, limits.max)
    lowest, _ = lax.fori_loop(0, 32, halve, between)
    return keys >= lowest


def _ordered(scores):
    """Integers in the order of float32 numbers; both zeros are one number."""
    scores = jnp.where(scores == 0, 0, scores)
    bits = lax.bitcast_convert_type(scores, jnp.int32)
    return jnp.where(bits < 0, bits ^ jnp.int32(0x7FFFFFFF), bits)
