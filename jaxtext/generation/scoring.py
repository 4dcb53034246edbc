"""How likely a model finds texts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.of_model import model_params
from jaxtext.types import Params

_AT_ONCE = 256  # positions that one call of the compiled function reads


def log_probabilities(
    model: LanguageModel, params: Params, prompts: ArrayLike, ids: ArrayLike
) -> np.ndarray:
    """The logarithm of the probability of each symbol after a prompt.

    ::

        log p(s_t | prompt, s_1 … s_tm1)

    It is that of the model alone, whatever rules the symbols were drawn by. Their sum
    is that of the text.

    Args:
      model: The model.
      params: Its parameters.
      prompts: ``[B, P]`` integers, ``P`` at least 1.
      ids: ``[B, T]`` integers, as `generate` writes them: -1 follows the end of a text.

    Returns:
      ``[B, T]`` float32, in nats; 0 where there is no symbol.

    Raises:
      InputError: If the shapes do not fit.

    Example:
      >>> import jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=4)
      >>> prompts = np.zeros((1, 1), np.int32)
      >>> state = model.initial_state((1,))
      >>> variables = model.init(jax.random.key(0), state, prompts)
      >>> found = log_probabilities(model, variables["params"], prompts, [[2, 1, -1]])
      >>> found.shape, float(found[0, 2])
      ((1, 3), 0.0)
    """
    params = model_params(model, params)
    prompts, ids = np.asarray(prompts, np.int32), np.asarray(ids, np.int32)
    fit = prompts.ndim == ids.ndim == 2 and len(prompts) == len(ids)
    if not fit or 0 in prompts.shape:
        raise InputError(
            "ids: expected [B, T] after prompts [B, P] of at least one symbol each, "
            f"got {ids.shape} after {prompts.shape}"
        )
    rows, size = ids.shape
    text = np.concatenate([prompts, np.maximum(ids, 0)], axis=1)
    positions = text.shape[1] - 1
    text = np.pad(text, ((0, 0), (0, -positions % _AT_ONCE)))
    state, found = model.initial_state((rows,)), []
    for begin in range(0, positions, _AT_ONCE):
        part = text[:, begin : begin + _AT_ONCE + 1]
        state, losses = _losses(model, params, state, part)
        found.append(np.asarray(losses))
    whole = np.concatenate([np.zeros((rows, 0), np.float32), *found], axis=1)
    after = whole[:, prompts.shape[1] - 1 :][:, :size]
    return np.where(ids < 0, 0, -after)


@partial(jax.jit, static_argnums=0)
def _losses(model, params, state, part):
    inputs, targets = jnp.asarray(part[:, :-1]), jnp.asarray(part[:, 1:])
    variables = {"params": params}
    return model.apply(variables, state, inputs, targets, method="losses")
