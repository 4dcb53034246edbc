"""Sampling a text, symbol by symbol, inside compiled code."""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxtext.checks import integers
from jaxtext.errors import InputError
from jaxtext.keys import folded, of_each, typed_key
from jaxtext.model import LanguageModel
from jaxtext.quantities import count
from jaxtext.types import Array, Key, Params

HOTTEST = 1e6  # where all symbols are equally likely; more would be lost in float32


def generate(
    model: LanguageModel,
    params: Params,
    prompts: ArrayLike,
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
      key: What they are drawn with: one key, of which each row derives a key of its
        own, or a key for each row ``[B]``. What a row writes depends on its prompt, its
        key and its place in the batch: not on the other rows, how many they are or
        `chunk`. With a key of its own, nor on its place. The first row writes what its
        prompt writes alone.
      temperature: Below one, likely symbols become likelier; zero takes the likeliest
        each time; above one, the text grows wilder, up to `HOTTEST`.
      chunk: Steps of one call of the compiled function.

    Yields:
      Arrays ``[B, n]`` int32, `length` symbols of each text in all.

    Raises:
      InputError: If the prompts are empty, the temperature is out of range, the length
        negative, or there are keys for another number of rows.

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
    prompts = integers("prompts", prompts)
    if prompts.ndim != 2 or 0 in prompts.shape:
        raise InputError(
            f"prompts: expected [B, P], at least one symbol each; got {prompts.shape}"
        )
    length, chunk = count("length", length, 0), count("chunk", chunk)
    if isinstance(temperature, str) or not 0 <= temperature <= HOTTEST:
        raise InputError(
            f"temperature: expected a number of 0 to {HOTTEST:g}, got {temperature}"
        )
    key = typed_key(key)
    if key.shape not in ((), prompts.shape[:1]):
        raise InputError(
            f"key: expected one key or one per row {prompts.shape[:1]}, got {key.shape}"
        )
    keys = key if key.ndim else _keys_of_rows(key, len(prompts))
    return _chunks(model, params, prompts, length, keys, temperature, chunk)


@partial(jax.jit, static_argnums=1)
def _keys_of_rows(key: Key, rows: int) -> Key:
    """A key for each row, which is the same however many there are.

    The first has the key itself: a text that is written alone is that of its seed.
    """
    # Positions in a text are folded into a row's key, and none comes to this number.
    others = jax.random.fold_in(key, 2**32 - 1)
    return folded(others, jnp.arange(rows)).at[0].set(key)


def _chunks(model, params, prompts, length, keys, temperature, chunk):
    # A generator of its own, so that bad arguments are refused at the call above.
    context = _read(model, params, prompts.astype(jnp.int32))
    waiting = None
    for start in range(0, length, chunk):
        context, drawn = _draw(model, chunk, params, context, keys, start, temperature)
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
def _draw(model, chunk, params, context, keys, start, temperature):
    """Draws the symbols `start … start + chunk - 1`."""

    def draw_one(context, position):
        state, logits = context
        noise = of_each(partial(_noise, logits.shape[1:], position), keys)
        # Gumbel's trick with the temperature on the noise: the same distribution as
        # softmax(logits / temperature), and at zero it is the argmax.
        ids = jnp.argmax(logits + temperature * noise, axis=-1).astype(jnp.int32)
        state, logits = model.apply({"params": params}, state, ids, method="step")
        return (state, logits), ids

    positions = start + jnp.arange(chunk)
    context, ids = jax.lax.scan(draw_one, context, positions)
    return context, ids.T


def _noise(shape, position, key):
    """What one row draws its symbol at a position with."""
    return jax.random.gumbel(jax.random.fold_in(key, position), shape, jnp.float32)
