"""Sampling of text, symbol by symbol, in compiled code."""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxtext.errors import InputError
from jaxtext.generation import gumbel, process, prompt
from jaxtext.generation.decoding import Decoding, chosen
from jaxtext.keys import typed_key
from jaxtext.model import LanguageModel
from jaxtext.of_model import model_params
from jaxtext.quantities import count
from jaxtext.types import Key, Params


def generate(
    model: LanguageModel,
    params: Params,
    prompts: ArrayLike,
    length: int,
    *,
    key: Key,
    temperature: ArrayLike = 1.0,
    decoding: Decoding | None = None,
    chunk: int = 128,
) -> Iterator[np.ndarray]:
    """Samples continuations of prompts, and yields them piece by piece.

    ::

        s_tp1 ~ softmax(logits_t / temperature)

    One compiled function reads the prompts, padded, so that prompts of other lengths
    rarely compile again; another draws `chunk` symbols at a time. The device draws the
    next chunk while you process the last one.

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
        become likelier; above 1, the text becomes more random. At most 1e6. One number,
        or one for each row ``[B]``. It is short for
        ``decoding=Decoding(temperature=…)``.
      decoding: More rules about which symbols are written and when a text ends; see
        `Decoding`. They run in the same compiled loop. Default: the temperature alone.
      chunk: How many symbols one call of the compiled function draws.

    Yields:
      Arrays ``[B, n]`` int32, which together hold `length` symbols of each text. Where
      `decoding` lets a text end sooner, -1 fills the rest of its row. Nothing more
      comes once all texts have ended.

    Raises:
      InputError: If there are no prompts or they are empty, a number is out of range,
        the number of keys is not that of the rows, or `decoding` does not fit them.

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
    params = model_params(model, params)
    ids = prompt.checked("prompts", prompts, model)
    length, chunk = count("length", length, 0), count("chunk", chunk)
    rules = process.prepare(chosen(decoding, temperature), model.vocab_size, len(ids))
    key = typed_key(key)
    if key.shape not in ((), ids.shape[:1]):
        raise InputError(
            f"key: expected one key or one per row {ids.shape[:1]}, got {key.shape}"
        )
    keys = key if key.ndim else _keys_of_rows(key, len(ids))
    return _chunks(model, params, ids, length, keys, rules, chunk)


_keys_of_rows = jax.jit(gumbel.keys_of_rows, static_argnums=1)


def _chunks(model, params, ids, length, keys, rules, chunk):
    # A separate generator, so that `generate` checks its arguments when it is called.
    memory = process.first_memory(rules, len(ids), model.vocab_size)
    context, memory = prompt.read(model, params, ids, None, memory)
    waiting = None
    for start in range(0, length, chunk):
        context, memory, drawn = _draw(
            model, chunk, params, context, memory, keys, start, length, rules
        )
        if waiting is not None:
            piece, over = _written(waiting, rules)
            yield piece
            if over:
                return
        waiting = drawn[:, : length - start]
    if waiting is not None:
        piece, _ = _written(waiting, rules)
        if piece.size:
            yield piece


def _written(drawn, rules):
    """What was written of a chunk, and whether all texts have ended in it."""
    piece = np.asarray(drawn)
    if not rules.may_end:
        return piece, False
    size = int((piece >= 0).any(axis=0).sum())
    return piece[:, :size], size < piece.shape[1]


@partial(jax.jit, static_argnums=(0, 1))
def _draw(model, chunk, params, context, memory, keys, start, length, rules):
    """Draws the symbols `start … start + chunk - 1`."""
    rows, columns = context[1].shape

    def block(carry, positions):
        noise = gumbel.noise(keys, positions, columns)
        return jax.lax.scan(draw_one, carry, noise)

    def draw_one(carry, noise):
        (state, logits), memory = carry
        left = length - memory.written if rules.utf8 is not None else None
        logits, over = process.constrained(rules, memory, logits, left)
        logits = process.truncated(rules, logits)
        ids = process.draw(rules, logits, noise)
        memory, written = process.remember(rules, memory, ids, over)
        state, logits = model.apply({"params": params}, state, ids, method="step")
        return ((state, logits), memory), written

    size = rows * columns
    positions = (start + jnp.arange(chunk)).reshape(-1, gumbel.ahead(chunk, size))
    (context, memory), ids = jax.lax.scan(block, (context, memory), positions)
    return context, memory, ids.reshape(chunk, rows).T
