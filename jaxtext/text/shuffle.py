"""A random permutation that is computed only where it is needed.

Shuffling the 300 million windows of a large text with NumPy takes gigabytes and half a
minute, in every epoch and every time a run is resumed.
"""

import math
from collections.abc import Sequence

import numpy as np

_ROUNDS = 3


def shuffled(places: np.ndarray, count: int, seed: Sequence[int]) -> np.ndarray:
    """Returns the numbers at some places of a random permutation of ``range(count)``.

    This is a Feistel network. A number is written as two digits l and r in mixed radix
    (a, b). In each round, each digit is shifted by a hash of the other and a key::

        l ← (l + hash(r, key)) mod a        r ← (r + hash(l, key')) mod b

    Each of these can be undone, whatever the hash is, so together they permute the
    numbers below ``a * b``. A result of `count` or more is permuted again until it is
    below, which gives a permutation of the numbers below `count`.

    Args:
      places: ``[n]`` integers, at least 0 and below `count`.
      count: How many numbers are permuted, below 2**62.
      seed: Determines the permutation.

    Returns:
      ``[n]`` int64. All places together give each number once.

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
    """Permutes the numbers below ``a * b``."""
    left, right = np.divmod(numbers, np.uint64(b))
    for key, other_key in zip(keys[::2], keys[1::2], strict=True):
        left = (left + _hash(right ^ key)) % np.uint64(a)
        right = (right + _hash(left ^ other_key)) % np.uint64(b)
    return left * np.uint64(b) + right


def _hash(x: np.ndarray) -> np.ndarray:
    """Mixes 64 bits into 32, each of which depends on all 64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return ((x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)) >> np.uint64(32)
