"""The noise that draws are made with, ahead of the loop that makes them.

Gumbel's trick: the index of the largest of ``logits_v + temperature * noise_v`` is
distributed as ``softmax(logits / temperature)``, and at a temperature of zero it is the
likeliest index.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxtext.keys import folded, of_each
from jaxtext.types import Array, Key

AT_ONCE = 2**20  # numbers, 4 MiB


def noise(keys: Key, positions: Array, symbols: int) -> Array:
    """The noise of some positions of each row.

    Args:
      keys: ``[B]``, a key for each row.
      positions: ``[n]`` integers. Each has a key of its own, folded into the row's.
      symbols: ``V``.

    Returns:
      ``[n, B, V]`` float32, from the standard Gumbel distribution.
    """
    return of_each(partial(_of_row, symbols, positions), keys, out_axes=1)


def _of_row(symbols, positions, key):
    draw = partial(jax.random.gumbel, shape=(symbols,), dtype=jnp.float32)
    return of_each(draw, folded(key, positions))


def ahead(chunk: int, size: int) -> int:
    """For how many positions the noise is drawn at once: a divisor of `chunk`.

    Many small draws within the loop cost more than one large draw before it.

    Args:
      chunk: How many positions there are.
      size: How many numbers each needs.

    Example:
      >>> ahead(128, 65), ahead(128, 2**16), ahead(128, 2**21)
      (128, 16, 1)
    """
    divisors = (n for n in range(1, chunk + 1) if chunk % n == 0)
    return max(n for n in divisors if n == 1 or n * size <= AT_ONCE)


def keys_of_rows(key: Key, rows: int, first: int = 0) -> Key:
    """A key for each row, which does not depend on the number of rows.

    Row 0 has `key` itself, so its text is the same as alone.

    Args:
      key: The key of all.
      rows: How many rows.
      first: The number of the first one.
    """
    # Positions in a text are folded into a row's key. None is as large as this number.
    others = jax.random.fold_in(key, 2**32 - 1)
    keys = folded(others, first + jnp.arange(rows))
    return keys if first else keys.at[0].set(key)
