"""Keys for random numbers that belong to a sequence and not to its batch."""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtext.errors import InputError
from jaxtext.quantities import shown
from jaxtext.types import Array, Key


def typed_key(key: Any, name: str = "key") -> Key:
    """A key as `jax.random.key` makes it, also of one that `PRNGKey` made.

    Raises:
      InputError: If it is no key.
    """
    dtype = getattr(key, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return key
    if dtype is not None and jnp.issubdtype(dtype, np.uint32):
        with contextlib.suppress(TypeError, ValueError):  # of another shape
            return jax.random.wrap_key_data(key)
    raise InputError(
        f"{name}: expected a key such as jax.random.key(0), got {shown(key)}"
    )


def folded(key: Key, data: Array) -> Key:
    """``fold_in(key, d)`` for each ``d`` of an array of any shape."""
    fold = partial(jax.random.fold_in, key)
    for _ in data.shape:
        fold = _mapped(fold, key)
    return fold(data)


def of_each(draw: Callable[[Key], Any], keys: Key, out_axes: Any = 0) -> Any:
    """Draws for each key exactly what a call with that key alone would draw.

    Args:
      draw: ``(key) -> pytree``.
      keys: ``[…]``, of any number of axes.
      out_axes: Where the axes of `keys` go, as in ``jax.vmap``.

    Returns:
      What `draw` returns, with the axes of `keys`.
    """
    for _ in keys.shape:
        draw = _mapped(draw, keys, out_axes)
    return draw(keys)


def _mapped(function, key, out_axes=0):
    """``jax.vmap``, if what is drawn for a key does not depend on the other keys.

    It does not for JAX's default keys. With others, such as ``"rbg"``, it does, so the
    keys are mapped over one after the other.
    """
    if jax.random.key_impl(key) == "threefry2x32":
        return jax.vmap(function, out_axes=out_axes)

    def one_after_the_other(xs):
        drawn = jax.lax.map(function, xs)
        return jax.vmap(lambda each: each, out_axes=out_axes)(drawn)

    return one_after_the_other
