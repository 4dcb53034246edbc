"""Decoding options as arrays, what they remember of a text, and what they do to logits.

`prepare` makes `Rules` of a `Decoding`: a pytree with ``None`` for what is off. So the
structure says which rules are compiled, and numbers may change without compiling again.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtext.errors import InputError
from jaxtext.generation import rules as on_logits
from jaxtext.generation import stops, utf8
from jaxtext.generation.decoding import BOUNDS, Decoding, allowed, ids, numbers
from jaxtext.types import Array

_EVERYTHING = 2**30 - 1  # symbols, as a window
_LONG_AGO = -(2**30)  # a position
_COLDEST = 1e-6  # logits are divided by no less; at 0 the rules after that are off


class Stops(NamedTuple):
    """The automaton of stop strings, with a row for each state.

    Attributes:
      after: ``[S, V]`` int32, the state after a symbol.
      completes: ``[S, V]`` booleans, whether the symbol completes a string.
    """

    after: Array
    completes: Array


class Rules(NamedTuple):
    """The arrays of a `Decoding`, with its names. Numbers are scalars or ``[B, 1]``.

    Attributes:
      allowed: ``[1, V]`` booleans, what `forbid` and `only` leave.
      stop: The automaton of the stop strings.
      utf8: ``[8, 256]`` int32, for each state of the automaton of UTF-8, how many bytes
        it takes at least to end the character with this one.
    """

    temperature: Array
    repetition_penalty: Array | None
    window: Array | None
    top_k: Array | None
    top_p: Array | None
    min_p: Array | None
    typical_p: Array | None
    min_length: Array | None
    allowed: Array | None
    stop: Stops | None
    utf8: Array | None

    @property
    def may_end(self) -> bool:
        """Whether a text may end before its length."""
        return self.stop is not None or self.utf8 is not None


class Memory(NamedTuple):
    """What the rules know of the text so far; ``None`` for what none of them needs.

    Attributes:
      written: int32, how many symbols are written, the same for all rows.
      seen: ``[B, V]`` int32, when each symbol was last read or written; the first
        written one has position 0, and the last of the prompt -1.
      stop: ``[B]`` int32, the state of the automaton of stop strings.
      utf8: ``[B]`` int32, the state of that of UTF-8.
      ended: ``[B]`` booleans, whether the text has ended.
    """

    written: Array | None
    seen: Array | None
    stop: Array | None
    utf8: Array | None
    ended: Array | None


def prepare(decoding: Decoding, symbols: int, rows: int) -> Rules:
    """The rules as arrays, for a vocabulary of `symbols` and a number of rows.

    Raises:
      InputError: If an id is not in the vocabulary, an array has another number of
        rows, nothing may be written, or `utf8` meets symbols that are not bytes.
    """
    number: dict[str, Any] = {name: numbers(decoding, name, rows) for name in BOUNDS}
    if decoding.min_length is not None and not len(decoding.stop):
        raise InputError(
            "min_length: expected strings in stop, without which a text has the whole "
            "length; got none"
        )
    if decoding.repetition_penalty is not None and decoding.window is None:
        number["window"] = np.asarray(_EVERYTHING, np.int32)
    kept = allowed(decoding, symbols)
    stop = least = None
    if len(decoding.stop):
        strings = [ids("stop", string, symbols).tolist() for string in decoding.stop]
        stop = Stops(*map(jnp.asarray, stops.transitions(strings, symbols)))
    if decoding.utf8:
        least, kept = _least(kept, symbols), None  # the table has what is kept
    return Rules(
        **jax.tree.map(jnp.asarray, number),
        allowed=None if kept is None else jnp.asarray(kept)[None],
        stop=stop,
        utf8=None if least is None else jnp.asarray(least),
    )


def _least(kept, symbols):
    if symbols != 256:
        raise InputError(
            f"utf8: expected a vocabulary of 256 bytes, got one of {symbols} symbols"
        )
    least = utf8.least(np.ones(256, bool) if kept is None else kept)
    if least[0].min() == utf8.NEVER:
        raise InputError(
            "utf8: expected that some characters may be written, but the allowed bytes "
            "make none"
        )
    return least


def first_memory(rules: Rules, rows: int, symbols: int) -> Memory:
    """What these rules remember of an empty text."""
    whole = whole_memory(rows, symbols)
    counts = (rules.repetition_penalty, rules.min_length, rules.utf8)
    return Memory(
        written=None if all(x is None for x in counts) else whole.written,
        seen=None if rules.repetition_penalty is None else whole.seen,
        stop=None if rules.stop is None else whole.stop,
        utf8=None if rules.utf8 is None else whole.utf8,
        ended=whole.ended if rules.may_end else None,
    )


def whole_memory(rows: int, symbols: int) -> Memory:
    """What any rules could need to know of an empty text."""
    zeros = jnp.zeros(rows, jnp.int32)
    return Memory(
        written=jnp.zeros((), jnp.int32),
        seen=jnp.full((rows, symbols), _LONG_AGO),
        stop=zeros,
        utf8=zeros if symbols == 256 else None,
        ended=jnp.zeros(rows, bool),
    )


def after_prompt(memory: Memory, prompts: Array, size: Array | int) -> Memory:
    """What is remembered after ``[B, P]`` symbols that were given.

    The first `size` of them count, at least one. The count of written symbols and the
    search for stop strings begin anew.
    """
    memory = counted_anew(memory)
    if memory.seen is not None:
        positions = jnp.arange(prompts.shape[1]) - size
        positions = jnp.where(positions < 0, positions, _LONG_AGO)
        positions = jnp.broadcast_to(positions, prompts.shape)
        row = jnp.arange(len(prompts))[:, None]
        before = jnp.maximum(memory.seen - size, _LONG_AGO)
        memory = memory._replace(seen=before.at[row, prompts].max(positions))
    if memory.utf8 is not None:
        after, state = jnp.asarray(utf8.transitions()), memory.utf8
        for back in (4, 3, 2, 1):  # no character has more bytes
            column = jnp.take(prompts, jnp.maximum(size - back, 0), axis=1)
            state = jnp.where(size >= back, after[state, column], state)
        memory = memory._replace(utf8=state)
    return memory


def counted_anew(memory: Memory) -> Memory:
    """The memory, as if all symbols so far had been given and none written."""
    if memory.seen is not None:
        assert memory.written is not None
        memory = memory._replace(seen=memory.seen - memory.written)
    return memory._replace(
        written=None if memory.written is None else jnp.zeros_like(memory.written),
        stop=None if memory.stop is None else jnp.zeros_like(memory.stop),
        ended=None if memory.ended is None else jnp.zeros_like(memory.ended),
    )


def has_ended(memory: Memory, over: Array | None) -> Array:
    """Which texts have no next symbol, ``[B]`` booleans."""
    assert memory.ended is not None
    return memory.ended if over is None else memory.ended | over


def constrained(
    rules: Rules, memory: Memory, logits: Array, left: Array | None = None
) -> tuple[Array, Array | None]:
    """Applies the rules that come before the temperature.

    Args:
      rules: The rules.
      memory: What they remember.
      logits: ``[B, V]``.
      left: How many symbols may still be written, this one included. ``None``: any
        number.

    Returns:
      The logits, and where nothing is allowed, ``[B]`` booleans: such a text has ended,
      and its logits mean nothing. ``None``: something always is.
    """
    if rules.repetition_penalty is not None:
        assert memory.seen is not None
        assert memory.written is not None
        assert rules.window is not None
        recent = memory.written - memory.seen <= rules.window
        logits = on_logits.repetition_penalty(logits, recent, rules.repetition_penalty)
    masks = list(_masks(rules, memory, left))
    if not masks:
        return logits, None
    mask = functools.reduce(jnp.logical_and, masks)
    if not rules.may_end:
        return on_logits.allow(logits, mask), None
    over = ~jnp.any(mask, axis=-1)
    return on_logits.allow(logits, mask | over[:, None]), over


def _masks(rules, memory, left):
    """Which symbols each rule allows, ``[B, V]`` or ``[1, V]``."""
    if rules.allowed is not None:
        yield rules.allowed
    if rules.stop is not None and rules.min_length is not None:
        early = memory.written < rules.min_length
        yield ~(rules.stop.completes[memory.stop] & early)
    if rules.utf8 is not None:
        most = utf8.NEVER - 1 if left is None else jnp.minimum(left, utf8.NEVER - 1)
        yield rules.utf8[memory.utf8] <= most


def truncated(rules: Rules, logits: Array) -> Array:
    """Logits without what the rules after the temperature take away.

    The logits that remain are as they were, not divided by the temperature.

    Args:
      rules: The rules.
      logits: ``[B, V]``.
    """
    parts = rules.top_k, rules.top_p, rules.min_p, rules.typical_p
    if all(part is None for part in parts):
        return logits
    z = logits / jnp.maximum(rules.temperature, _COLDEST)
    if rules.top_k is not None:
        z = on_logits.top_k(z, rules.top_k)
    if rules.top_p is not None:
        z = on_logits.top_p(z, rules.top_p)
    if rules.min_p is not None:
        z = on_logits.min_p(z, rules.min_p)
    if rules.typical_p is not None:
        z = on_logits.typical_p(z, rules.typical_p)
    return on_logits.allow(logits, (z > -jnp.inf) | (rules.temperature == 0))


def draw(rules: Rules, logits: Array, noise: Array) -> Array:
    """Draws from logits that all rules were applied to.

    Args:
      rules: The rules.
      logits: ``[B, V]``.
      noise: ``[B, V]``, from the standard Gumbel distribution.

    Returns:
      ``[B]`` int32.
    """
    return jnp.argmax(logits + rules.temperature * noise, axis=-1).astype(jnp.int32)


def remember(
    rules: Rules, memory: Memory, drawn: Array, over: Array | None
) -> tuple[Memory, Array]:
    """What the rules remember after a symbol.

    Args:
      rules: The rules.
      memory: What they remember before it.
      drawn: ``[B]`` int32, the symbols.
      over: ``[B]`` booleans, where nothing was allowed, as `constrained` returns it.

    Returns:
      The memory, and what is written, ``[B]`` int32: -1 where the text has ended.
    """
    written = drawn
    if memory.ended is not None:
        ended = has_ended(memory, over)
        written = jnp.where(ended, -1, drawn)
        if rules.stop is not None:
            ended |= rules.stop.completes[memory.stop, drawn]
        memory = memory._replace(ended=ended)
    if rules.stop is not None:
        memory = memory._replace(stop=rules.stop.after[memory.stop, drawn])
    if memory.utf8 is not None:
        after = jnp.asarray(utf8.transitions())
        memory = memory._replace(utf8=after[memory.utf8, drawn])
    if memory.seen is not None:
        assert memory.written is not None
        here = jnp.arange(memory.seen.shape[-1])[None] == drawn[:, None]
        memory = memory._replace(seen=jnp.where(here, memory.written, memory.seen))
    if memory.written is not None:
        memory = memory._replace(written=memory.written + 1)
    return memory, written
