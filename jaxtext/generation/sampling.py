"""Sampling a text, symbol by symbol, inside compiled code."""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.types import Array, Key, Params


def generate(
    model: LanguageModel,
    params: Params,
    prompts: np.ndarray,
    length: int,
    *,
    key: Key,
    temperature: float = 1.0,
    chunk: int = 64,
) -> Iterator[np.ndarray]:
    """Continues prompts, and hands the continuation out as it comes.

    ::

        s_tp1 ~ softmax(logits_t / temperature)

    The prompts are read in one scan, then symbols are drawn in scans of `chunk` steps:
    two compiled functions, however long the text. The next chunk is under way while
    the caller looks at the last one.

    Args:
      model: The model.
      params: Its parameters.
      prompts: ``[B, P]`` integers, ``P`` at least one.
      length: How many symbols to draw for each prompt.
      key: What they are drawn with. The text does not depend on `chunk`.
      temperature: Below one, likely symbols become likelier; zero takes the likeliest
        each time; above one, the text grows wilder.
      chunk: Steps of one call of the compiled function.

    Yields:
      Arrays ``[B, n]`` int32, `length` symbols of each text in all.

    Raises:
      InputError: If the prompts are empty, or temperature or length negative.

    Example:
      >>> import jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=65)
      >>> prompts = np.zeros((2, 3), np.int32)
      >>> variables = model.init(
      ...     jax.random.key(0), model.initial_state((2,)), prompts
      ... )
      >>> pieces = generate(
      ...     model, variables["params"], prompts, 100, key=jax.random.key(1)
      ... )
      >>> np.concatenate(list(pieces), axis=1).shape
      (2, 100)

    References:
      Graves, "Generating sequences with recurrent neural networks", 2013.
    """
    if prompts.ndim != 2 or 0 in prompts.shape:
        raise InputError(
            f"prompts: expected [B, P], at least one symbol each; got {prompts.shape}"
        )
    if length < 0:
        raise InputError(f"length: expected 0 or more, got {length}")
    if not 0 <= temperature < float("inf"):
        raise InputError(f"temperature: expected 0 or more, got {temperature}")
    return _chunks(model, params, prompts, length, key, temperature, chunk)


def _chunks(model, params, prompts, length, key, temperature, chunk):
    # A generator of its own, so that bad arguments are refused at the call above.
    context = _read(model, params, jnp.asarray(prompts, jnp.int32))
    waiting = None
    for start in range(0, length, chunk):
        context, drawn = _draw(model, chunk, params, context, key, start, temperature)
        if waiting is not None:
            yield np.asarray(waiting)
        waiting = drawn[:, : length - start]
    if waiting is not None:
        yield np.asarray(waiting)


@partial(jax.jit, static_argnums=0)
def _read(model: LanguageModel, params: Params, prompts: Array):
    """The state after the prompts, and the logits of what comes next."""
    state = model.initial_state(prompts.shape[:1])
    state, logits = model.apply({"params": params}, state, prompts, last=1)
    return state, logits[:, 0]


@partial(jax.jit, static_argnums=(0, 1))
def _draw(model, chunk, params, context, key, start, temperature):
    """Draws the symbols `start … start + chunk - 1`."""

    def draw_one(context, position):
        state, logits = context
        noise = jax.random.gumbel(jax.random.fold_in(key, position), logits.shape)
        # Gumbel's trick with the temperature on the noise: the same distribution as
        # softmax(logits / temperature), and at zero it is the argmax.
        ids = jnp.argmax(logits + temperature * noise, axis=-1).astype(jnp.int32)
        state, logits = model.apply({"params": params}, state, ids, method="step")
        return (state, logits), ids

    positions = start + jnp.arange(chunk)
    context, ids = jax.lax.scan(draw_one, context, positions)
    return context, ids.T
