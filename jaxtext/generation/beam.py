"""Beam search: the likeliest text that a search of fixed width finds."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from jaxtext.errors import InputError
from jaxtext.generation import process, prompt
from jaxtext.generation.decoding import Decoding
from jaxtext.model import LanguageModel
from jaxtext.of_model import model_params
from jaxtext.quantities import count, shown
from jaxtext.types import Array, Params

_SAMPLING = ("top_k", "top_p", "min_p", "typical_p")


class Beams(NamedTuple):
    """The texts that a search found, the best first.

    Attributes:
      ids: ``[B, K, n]`` int32; -1 follows the end of a text.
      scores: ``[B, K]`` float32, in nats; ``-inf`` if there are fewer texts.
    """

    ids: np.ndarray
    scores: np.ndarray


def beam_search(
    model: LanguageModel,
    params: Params,
    prompts: ArrayLike,
    length: int,
    *,
    beams: int,
    length_penalty: float = 1.0,
    decoding: Decoding | None = None,
) -> Beams:
    """Searches for likely continuations of prompts.

    It keeps the `beams` likeliest beginnings, continues each by every symbol, and keeps
    the likeliest again. A text that has ended, by a stop string, competes by::

        score = Σ_t log p_t / n^length_penalty        n = its number of symbols

    The result is the texts with the highest scores, among those that ended on the way
    and those that reached `length`. The search ends when nothing better can come. All
    of it runs in one compiled loop.

    With one beam it takes the likeliest symbol each time. Likely texts of a network
    that reads characters tend to repeat themselves; see `Decoding.repetition_penalty`.

    Args:
      model: The model.
      params: Its parameters.
      prompts: ``[B, P]`` integers, ``P`` at least 1.
      length: How many symbols a text has at most.
      beams: ``K``, how many beginnings are kept for each prompt.
      length_penalty: Above 0, longer texts gain; below 0, shorter ones. It has an
        effect only if texts may end, by ``decoding.stop``.
      decoding: Its constraints and `repetition_penalty`, which is applied to ``log p``.
        ``log p`` itself is the model's, and is not made to sum to one again. The
        temperature and what truncates a distribution have no meaning here.

    Raises:
      InputError: If a number is out of range, the prompts are empty, or `decoding` has
        what does not go with a search.

    Example:
      >>> import jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=65)
      >>> prompts = np.zeros((1, 3), np.int32)
      >>> variables = model.init(
      ...     jax.random.key(0), model.initial_state((1,)), prompts
      ... )
      >>> found = beam_search(model, variables["params"], prompts, 20, beams=4)
      >>> found.ids.shape, bool(found.scores[0, 0] >= found.scores[0, 1])
      ((1, 4, 20), True)

    References:
      Definitions are those of Hugging Face's Transformers, without its early stopping.
    """
    params = model_params(model, params)
    ids = prompt.checked("prompts", prompts, model)
    length, beams = count("length", length), count("beams", beams)
    if isinstance(length_penalty, str | bool) or not np.isfinite(length_penalty):
        raise InputError(
            f"length_penalty: expected a finite number, got {shown(length_penalty)}"
        )
    decoding = Decoding() if decoding is None else decoding
    _check(decoding)
    rules = process.prepare(decoding, model.vocab_size, 1)
    sizes = length, beams, len(decoding.stop)
    penalty = jnp.float32(length_penalty)
    memory = process.first_memory(rules, len(ids), model.vocab_size)
    context, memory = prompt.read(model, params, ids, None, memory)
    found = _search(model, sizes, params, context, memory, rules, penalty)
    texts, scores = map(np.asarray, found)
    return Beams(texts[..., : int((texts >= 0).any((0, 1)).sum())], scores)


def _check(decoding):
    given = [name for name in _SAMPLING if getattr(decoding, name) is not None]
    if np.any(np.asarray(decoding.temperature) != 1):
        given.append("temperature")
    arrays = (decoding.repetition_penalty, decoding.window, decoding.min_length)
    if any(np.ndim(x) for x in arrays if x is not None):
        raise InputError("decoding: expected one number for all rows in a beam search")
    if given:
        raise InputError(
            f"decoding: expected none of {', '.join((*_SAMPLING, 'temperature'))} in a "
            f"beam search, got {', '.join(given)}"
        )


class _Found(NamedTuple):
    """Texts and their scores, ``[B, K, L]`` and ``[B, K]``."""

    texts: Array
    scores: Array


@partial(jax.jit, static_argnums=(0, 1))
def _search(model, sizes, params, context, memory, rules, penalty):
    length, beams, strings = sizes
    rows, symbols = context[1].shape
    # Of those, so many can be at the end of a text that the others fill the beams.
    candidates = min((1 + strings) * beams, beams * symbols)

    def normalized(scores, size):
        return scores / jnp.maximum(size, 1).astype(jnp.float32) ** penalty

    def best(found, more):
        """The best of both."""
        scores = jnp.concatenate([found.scores, more.scores], axis=1)
        scores, index = lax.top_k(scores, beams)
        texts = jnp.concatenate([found.texts, more.texts], axis=1)
        return _Found(jnp.take_along_axis(texts, index[..., None], axis=1), scores)

    def going_on(carry):
        t, _, _, running, ended = carry
        # Scores are negative, and a sum only falls.
        size = jnp.where(penalty > 0, length, t + 1)
        attainable = normalized(jnp.max(running.scores, axis=1), size)
        return (t < length) & jnp.any(attainable > jnp.min(ended.scores, axis=1))

    def extend(carry):
        t, (state, logits), memory, running, ended = carry
        left = length - t
        log_p = jax.nn.log_softmax(logits)
        log_p, over = process.constrained(rules, memory, log_p, left)
        if over is not None:
            log_p = jnp.where(over[:, None], -jnp.inf, log_p)
            dead = jnp.where(over.reshape(rows, beams), running.scores, -jnp.inf)
            ended = best(ended, _Found(running.texts, normalized(dead, t)))
        scores = running.scores[..., None] + log_p.reshape(rows, beams, symbols)
        scores, index = lax.top_k(scores.reshape(rows, -1), candidates)
        parents, ids = index // symbols, (index % symbols).astype(jnp.int32)
        texts = jnp.take_along_axis(running.texts, parents[..., None], axis=1)
        texts = texts.at[:, :, t].set(ids)
        whole = jnp.zeros(scores.shape, bool)
        if rules.stop is not None:
            places = jnp.take_along_axis(memory.stop.reshape(rows, beams), parents, 1)
            whole = rules.stop.completes[places, ids]
            first = (jnp.arange(candidates) < beams)[None]
            done = jnp.where(whole & first, normalized(scores, t + 1), -jnp.inf)
            ended = best(ended, _Found(texts, done))
        scores, kept = lax.top_k(jnp.where(whole, -jnp.inf, scores), beams)
        texts = jnp.take_along_axis(texts, kept[..., None], axis=1)
        parents, ids = (jnp.take_along_axis(x, kept, axis=1) for x in (parents, ids))
        # The rows of all beams, each continued by its symbol.
        of = (jnp.arange(rows)[:, None] * beams + parents).reshape(-1)
        state, memory = jax.tree.map(lambda x: x[of] if x.ndim else x, (state, memory))
        flat = ids.reshape(-1)
        memory, _ = process.remember(rules, memory, flat, None)
        state, logits = model.apply({"params": params}, state, flat, method="step")
        return t + 1, (state, logits), memory, _Found(texts, scores), ended

    context, memory = jax.tree.map(
        lambda x: jnp.repeat(x, beams, axis=0) if x.ndim else x, (context, memory)
    )
    nothing = jnp.full((rows, beams, length), -1, jnp.int32)
    none = jnp.full((rows, beams), -jnp.inf)
    # All beams are the same at first, so one of them is enough.
    one = _Found(nothing, none.at[:, 0].set(0))
    carry = 0, context, memory, one, _Found(nothing, none)
    t, _, _, running, ended = lax.while_loop(going_on, extend, carry)
    whole = jnp.where(t == length, normalized(running.scores, length), -jnp.inf)
    found = best(ended, _Found(running.texts, whole))
    return jnp.where(found.scores[..., None] == -jnp.inf, -1, found.texts), found.scores
