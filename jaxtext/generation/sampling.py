"""Sampling of text, symbol by symbol, in compiled code."""

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

HOTTEST = 1e6  # symbols are equally likely here; float32 has no room for more
NOISE_AT_ONCE = 2**20  # numbers, 4 MiB


def generate(
    model: LanguageModel,
    params: Params,
    prompts: ArrayLike,
    length: int,
    *,
    key: Key,
    temperature: float = 1.0,
    chunk: int = 128,
) -> Iterator[np.ndarray]:
    """Samples continuations of prompts, and yields them piece by piece.

    ::

        s_tp1 ~ softmax(logits_t / temperature)

    One compiled function reads the prompts; another draws `chunk` symbols at a time.
    The device draws the next chunk while you process the last one.

    Args:
      model: The model.
      params: Its parameters.
      prompts: ``[B, P]`` integers, ``P`` at least 1.
      length: How many symbols to draw for each prompt.
      key: One key, from which each row derives its own, or one key for each row
        ``[B]``. A row's text depends on its prompt, its key and, if there is one key
        for all, its index. It does not depend on the other rows, on their number, or on
        `chunk`. With one key, the first row's text is that of its prompt alone.
      temperature: 0 takes the likeliest symbol each time. Below 1, likely symbols
        become likelier; above 1, the text becomes more random. At most 1e6.
      chunk: How many symbols one call of the compiled function draws.

    Yields:
      Arrays ``[B, n]`` int32, which together hold `length` symbols of each text.

    Raises:
      InputError: If there are no prompts or they are empty, a number is out of range,
        or the number of keys is not that of the rows.

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
            f"prompts: expected [B, P] with at least one symbol each, got shape "
            f"{prompts.shape}"
        )
    length, chunk = count("length", length, 0), count("chunk", chunk)
    if isinstance(temperature, str) or not 0 <= temperature <= HOTTEST:
        raise InputError(
            f"temperature: expected a number from 0 to {HOTTEST:g}, got {temperature}"
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
    """A key for each row, which does not depend on the number of rows.

    The first row has `key` itself, so its text is the same as alone.
    """
    # Positions in a text are folded into a row's key. None is as large as this number.
    others = jax.random.fold_in(key, 2**32 - 1)
    return folded(others, jnp.arange(rows)).at[0].set(key)


def _chunks(model, params, prompts, length, keys, temperature, chunk):
    # A separate generator, so that `generate` checks its arguments when it is called.
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
    """The state after the prompts, and the logits of the next symbol."""
    state = model.initial_state(prompts.shape[:1])
    state, logits = model.apply({"params": params}, state, prompts, last=1)
    return state, logits[:, 0]


@partial(jax.jit, static_argnums=(0, 1))
def _draw(model, chunk, params, context, keys, start, temperature):
    """Draws the symbols `start … start + chunk - 1`."""
    rows, symbols = context[1].shape

    def block(context, positions):
        noise = of_each(partial(_noise, symbols, positions), keys, out_axes=1)
        return jax.lax.scan(draw_one, context, noise)

    def draw_one(context, noise):
        state, logits = context
        # Gumbel's trick with the temperature on the noise: the same distribution as
        # softmax(logits / temperature), and at zero it is the argmax.
        ids = jnp.argmax(logits + temperature * noise, axis=-1).astype(jnp.int32)
        state, logits = model.apply({"params": params}, state, ids, method="step")
        return (state, logits), ids

    positions = (start + jnp.arange(chunk)).reshape(-1, _ahead(chunk, rows * symbols))
    context, ids = jax.lax.scan(block, context, positions)
    return context, ids.reshape(chunk, rows).T


def _noise(symbols, positions, key):
    """The noise of one row at some positions, ``[n, V]``; each has a key of its own."""
    draw = partial(jax.random.gumbel, shape=(symbols,), dtype=jnp.float32)
    return of_each(draw, folded(key, positions))


def _ahead(chunk, size):
    """For how many positions the noise is drawn at once: a divisor of `chunk`.

    Many small draws within the loop cost more than one large draw before it.
    """
    divisors = (n for n in range(1, chunk + 1) if chunk % n == 0)
    return max(n for n in divisors if n == 1 or n * size <= NOISE_AT_ONCE)
