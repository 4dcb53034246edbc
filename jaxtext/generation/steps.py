"""Generation symbol by symbol, for programs that look at each or choose themselves.

::

    place = read(model, params, prompts)
    choice = choose(place, rules, key)
    place = follow(model, params, place, rules, choice.ids)

`generate` is faster where nobody intervenes, and writes the same. A `Place` is not
changed by these functions: keep it to come back to it, and follow another symbol than
the one that was chosen. Each function is compiled. Other numbers in the rules do not
compile again, and rules may be turned on or off in the middle of a text.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from jaxtext.generation import gumbel, process, prompt
from jaxtext.generation.process import Memory, Rules
from jaxtext.keys import typed_key
from jaxtext.model import LanguageModel
from jaxtext.of_model import model_params
from jaxtext.types import Array, Key, Params, State

prepare = process.prepare


class Place(NamedTuple):
    """A place in a text, before the next symbol.

    Attributes:
      state: The recurrent state.
      logits: ``[B, V]`` float32, of the next symbol, by the model alone.
      memory: What the rules of decoding know of the text. ``memory.ended``, ``[B]``
        booleans, says which texts have ended.
    """

    state: State
    logits: Array
    memory: Memory


class Choice(NamedTuple):
    """The next symbol of each text.

    Attributes:
      ids: ``[B]`` int32; -1 where the text has ended.
      before: ``[B, V]`` float32, the probabilities of the model alone.
      after: ``[B, V]`` float32, those with the temperature and all rules, from which
        the symbol was drawn. At a temperature of 0, the likeliest has 1.
    """

    ids: Array
    before: Array
    after: Array


def read(
    model: LanguageModel, params: Params, ids: ArrayLike, place: Place | None = None
) -> Place:
    """Reads text that is given, such as a prompt or what a person types.

    What is written after it is counted anew, by `Decoding.min_length` and `stop`.

    Args:
      model: The model.
      params: Its parameters.
      ids: ``[B, P]`` integers, ``P`` at least 1. Any ``P`` takes a handful of
        programs.
      place: Where to go on. ``None``: the beginning of a text.

    Raises:
      InputError: If `ids` has another shape or type.

    Example:
      >>> import jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=65)
      >>> ids = jnp.zeros((1, 3), jnp.int32)
      >>> variables = model.init(jax.random.key(0), model.initial_state((1,)), ids)
      >>> place = read(model, variables["params"], ids)
      >>> rules = prepare(jt.generation.Decoding(temperature=0), 65, rows=1)
      >>> choice = choose(place, rules, jax.random.key(0))
      >>> int(choice.ids[0]) == int(choice.before[0].argmax())
      True
      >>> place = follow(model, variables["params"], place, rules, choice.ids)
    """
    params = model_params(model, params)
    text = prompt.checked("ids", ids, model)
    if place is None:
        state, memory = None, process.whole_memory(len(text), model.vocab_size)
    else:
        state, _, memory = place
    (state, logits), memory = prompt.read(model, params, text, state, memory)
    return Place(state, logits, memory)


@jax.jit
def choose(place: Place, rules: Rules, key: Key) -> Choice:
    """Draws the next symbol.

    The n-th symbol after `read` is the n-th that `generate` draws with the same key.

    Args:
      place: A place in the texts.
      rules: From `prepare`.
      key: One key, or one for each row ``[B]``; the same for the whole text.
    """
    rows, symbols = place.logits.shape
    key = typed_key(key)
    keys = key if key.ndim else gumbel.keys_of_rows(key, rows)
    assert place.memory.written is not None  # `read` remembers everything
    noise = gumbel.noise(keys, place.memory.written[None], symbols)[0]
    logits, over = process.constrained(rules, place.memory, place.logits)
    logits = process.truncated(rules, logits)
    ids = process.draw(rules, logits, noise)
    likeliest = jax.nn.one_hot(jnp.argmax(logits, axis=-1), symbols)
    cold = rules.temperature == 0
    drawn_from = jax.nn.softmax(logits / jnp.where(cold, 1.0, rules.temperature))
    return Choice(
        ids=jnp.where(process.has_ended(place.memory, over), -1, ids),
        before=jax.nn.softmax(place.logits),
        after=jnp.where(cold, likeliest, drawn_from),
    )


@partial(jax.jit, static_argnums=0)
def follow(
    model: LanguageModel, params: Params, place: Place, rules: Rules, ids: Array
) -> Place:
    """Goes on with symbols: those that were chosen, or any others.

    Args:
      model: The model.
      params: Its parameters.
      place: The place before them.
      rules: From `prepare`.
      ids: ``[B]`` int32. -1 ends the text there.
    """
    memory, _ = process.remember(rules, place.memory, jnp.maximum(ids, 0), ids < 0)
    state, logits = model.apply(
        {"params": params}, place.state, jnp.maximum(ids, 0), method="step"
    )
    return Place(state, logits, memory)


@jax.jit
def count_anew(place: Place) -> Place:
    """The same place, as if nothing had been written yet.

    Call it to go on after the end of a text, or with other stop strings.
    """
    return place._replace(memory=process.counted_anew(place.memory))
