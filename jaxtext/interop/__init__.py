"""Weights both ways between jaxtext and other libraries, exact or refused.

For each of them the same two functions, where the other side's `network` is a module
or, in a library that keeps weights beside its modules, a module and its weights::

    cell, params = from_torch(module)
    cell, params = from_keras(module)
    cell, params = from_linen(module, variables)
    cell, params = from_nnx(module)
    cell, params = from_haiku(make_core, params)
    cell, params = from_equinox(module)

and back, ``to_torch(cell, params)`` and so on, each of which returns what its ``from_``
takes: ``to_linen(*from_linen(module, variables))`` is such a pair again.

A conversion reorders, transposes and merges weights so that outputs *and* gradients are
the peer's. Where two libraries compute different functions of the same weights (a GRU
that resets before or after its recurrent product), or one has no place for a weight of
the other's, it raises `jaxtext.errors.InputError`, which says why. Dtypes are kept.
Weights are copied, so that training one network leaves the other as it is.

Importing this imports none of the peers; the functions do, and say what to install.

`jaxtext.interop.linen_modules` and `jaxtext.interop.nnx_modules` go further: they make
any cell of ours a module of Flax.

Example:
  >>> import jax
  >>> import jaxtext as jt
  >>> cell = jt.stack(jt.lstm(4), jt.lstm(4))
  >>> params = cell.init(jax.random.key(0), 3)
  >>> _, back = from_linen(*to_linen(cell, params))
  >>> jax.tree.all(jax.tree.map(jax.numpy.array_equal, params, back))
  True
"""

from jaxtext.interop.equinox import from_equinox, to_equinox
from jaxtext.interop.haiku import from_haiku, to_haiku
from jaxtext.interop.keras import from_keras, to_keras
from jaxtext.interop.linen import from_linen, to_linen
from jaxtext.interop.nnx import from_nnx, to_nnx
from jaxtext.interop.torch import from_torch, to_torch

__all__ = [
    "from_equinox",
    "from_haiku",
    "from_keras",
    "from_linen",
    "from_nnx",
    "from_torch",
    "to_equinox",
    "to_haiku",
    "to_keras",
    "to_linen",
    "to_nnx",
    "to_torch",
]
