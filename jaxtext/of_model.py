"""What a language model expects of those who call it: its parameters and symbols."""

import functools
from collections.abc import Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtext.checks import fitted
from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.quantities import shown
from jaxtext.types import Cell, Params


def a_model(model: Any) -> LanguageModel:
    """Checks that the argument is a `LanguageModel`.

    Raises:
      InputError: If it is something else.
    """
    if isinstance(model, LanguageModel):
        return model
    hint = "; write jt.LanguageModel(cell, vocab_size)" * isinstance(model, Cell)
    raise InputError(f"model: expected a LanguageModel, got {shown(model)}{hint}")


def model_params(model: Any, params: Params) -> Params:
    """A model's parameters, in the structure and the shapes that its ``init`` makes.

    Raises:
      InputError: If `model` is no `LanguageModel`, or they do not fit it.

    Example:
      >>> import jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=65)
      >>> variables = model.init(jax.random.key(0), None, [[0]])
      >>> params = model_params(model, variables["params"])
    """
    a_model(model)
    shapes = _shapes(model, jax.dtypes.canonicalize_dtype(float))
    return fitted("params", shapes, params, cast=False)


@functools.lru_cache(maxsize=64)
def _shapes(model: Any, _: Hashable) -> Any:
    def init():  # which compiles nothing: key and ids are made within it
        ids = jnp.zeros((1, 1), jnp.int32)
        return model.init(jax.random.key(0), None, ids)["params"]

    return jax.eval_shape(init)


def symbols(name: str, ids: np.ndarray, vocab_size: int) -> None:
    """Checks that ids are those of a vocabulary, which JAX would not complain of.

    Raises:
      InputError: If one is not.

    Example:
      >>> symbols("ids", np.array([3, 1]), 4)
    """
    if ids.size and not (ids.min() >= 0 and ids.max() < vocab_size):
        wrong = ids[(ids < 0) | (ids >= vocab_size)].reshape(-1)[0]
        raise InputError(
            f"{name}: expected integers from 0 to {vocab_size - 1}, got {wrong}"
        )
