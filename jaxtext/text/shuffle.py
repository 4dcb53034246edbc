"""Random order without a list of it: a permutation that is computed where it is asked.

To shuffle the 300 million windows of a large text with NumPy takes gigabytes and half a
minute, in every epoch and in every run that is resumed.
"""

import math
from collections.abc import Sequence

import numpy as np

_ROUNDS = 3


def shuffled(places: np.ndarray, count: int, seed: Sequence[int]) -> np.ndarray:
    """Say what stands at some places of ``range(count)`` in random order.

    A Feistel network. Of a number written as l, r to mixed radix, each half is turned
    by an amount that a hash of the other one and a key says, over and over::

        l ← (l + hash(r, key)) mod a        r ← (r + hash(l, key')) mod b

    Each of these can be undone, whatever the hash is, so that all of them permute the
    numbers below ``a * b``. The few that come out at ``count`` or above go in again
    until they do not, which leaves a permutation of those below.

    Args:
      places: ``[n]`` integers, at least 0 and below ``count``.
      count: how many numbers there are, below 2**62.
      seed: chooses the order.

    Returns:
      ``[n]`` int64; for all places together, each number once.

    Example:
      >>> sorted(shuffled(np.arange(5), 5, (0, 1)).tolist())
      [0, 1, 2, 3, 4]

    References:
      M. Luby, C. Rackoff. How to construct pseudorandom permutations from
        pseudorandom functions. SIAM Journal on Computing 17, 1988.
      J. Black, P. Rogaway. Ciphers with arbitrary finite domains. CT-RSA 2002.
    """
    keys = np.random.default_rng(seed).integers(
        2**64, size=2 * _ROUNDS, dtype=np.uint64
    )
    a = math.isqrt(count - 1) + 1
    b = -(-count // a)
    numbers = _permute(places.astype(np.uint64), a, b, keys)
    while len(outside := np.flatnonzero(numbers >= count)):
        numbers[outside] = _permute(numbers[outside], a, b, keys)
    return numbers.astype(np.int64)


def _permute(numbers: np.ndarray, a: int, b: int, keys: np.ndarray) -> np.ndarray:
    """Permute the numbers below ``a * b``."""
    left, right = np.divmod(numbers, np.uint64(b))
    for key, other_key in zip(keys[::2], keys[1::2], strict=True):
        left = (left + _hash(right ^ key)) % np.uint64(a)
        right = (right + _hash(left ^ other_key)) % np.uint64(b)
    return left * np.uint64(b) + right


def _hash(x: np.ndarray) -> np.ndarray:
    """Mix 64 bits into 32, each of which depends on all of them."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return ((x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)) >> np.uint64(32)
