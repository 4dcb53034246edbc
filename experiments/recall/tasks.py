"""The tasks: pure functions that draw examples from a key.

A network reads symbols ``[B, T]``, or in `adding` numbers ``[B, T, 2]``, and answers at
the positions that count. Its answers elsewhere, and what it reads after the last of
these positions, do not matter.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtext.types import Array, Key


class Examples(NamedTuple):
    """A batch of a task.

    Attributes:
      inputs: ``[B, T]`` symbols, or ``[B, T, 2]`` numbers.
      targets: ``[B, T]`` classes, or numbers.
      mask: ``[B, T]`` booleans, true where the answer counts.
    """

    inputs: Array
    targets: Array
    mask: Array


class Task(NamedTuple):
    """A task.

    Attributes:
      draw: ``(key, sizes, longest) -> Examples`` of ``[B]`` sizes, each at most
        `longest`: how far, or how much, there is to remember.
      input_size: ``D``: how many symbols there are, or how wide the input is.
      output_size: How many classes there are; 0 where the answer is a number.
      baseline: The score without reading the symbols: the accuracy of the most likely
        class, or the mean squared error of the best constant.
    """

    draw: Callable[[Key, Array, int], Examples]
    input_size: int
    output_size: int
    baseline: float


KINDS, LETTERS = 4, 8  # of brackets, and of what stands between them
GROUP = 16  # characters, in which a bracket may open and close, and one within it


def brackets(key: Key, distances: Array, longest: int) -> Examples:
    """Which bracket comes next, a distance after it was opened, if one closes?

    Text of letters and brackets, such as ``a[b{c}]ah(e<g[]fa>b``, in which one bracket
    is open: it was opened as many characters ago as the distance says. Others open and
    close on the way. Seven of ten groups of 16 characters have two of them, one within
    the other, of kinds and at places that are drawn for each; the group of the open one
    has none. Letters are 0 … 7, openings 8 … 11, closings 12 … 15.
    """
    batch, groups = distances.size, longest // GROUP + 1
    keys = jax.random.split(key, 5)
    kinds = jax.random.randint(keys[0], (batch, 1), 0, KINDS)
    letters = jax.random.randint(keys[1], (batch, groups, GROUP), 0, LETTERS)
    inner = jax.random.randint(keys[2], (batch, groups, 2), 0, KINDS)
    drawn = jax.random.uniform(keys[3], letters.shape).argsort(-1)
    places = jnp.sort(drawn[..., :4])
    opened, closed = LETTERS + inner, LETTERS + KINDS + inner[..., ::-1]
    nested = jnp.put_along_axis(
        letters, places, jnp.concatenate([opened, closed], -1), -1, inplace=False
    )
    at = groups * GROUP - distances[:, None]
    chosen = jax.random.bernoulli(keys[4], 0.7, (batch, groups))
    chosen &= jnp.arange(groups) != at // GROUP  # which the open one would tear
    text = jnp.where(chosen[..., None], nested, letters).reshape(batch, -1)
    steps = jnp.arange(groups * GROUP)
    text = jnp.where(steps == at, LETTERS + kinds, text)
    return _examples(text, kinds, steps == groups * GROUP - 1)


def adding(key: Key, lengths: Array, longest: int) -> Examples:
    """The sum of two numbers that are marked, one in each half of many in [0, 1).

    Hochreiter and Schmidhuber, "Long short-term memory", 1997, experiment 4, in the
    form of Arjovsky, Shah and Bengio, "Unitary evolution recurrent neural networks",
    2016.
    """
    number_key, first_key, second_key = jax.random.split(key, 3)
    numbers = jax.random.uniform(number_key, (lengths.size, longest))
    half = lengths // 2
    first = jax.random.randint(first_key, half.shape, 0, half)
    second = jax.random.randint(second_key, half.shape, half, lengths)
    steps = jnp.arange(longest)
    marks = (steps == first[:, None]) | (steps == second[:, None])
    total = (numbers * marks).sum(1, keepdims=True)
    inputs = jnp.stack([numbers, marks.astype(numbers.dtype)], -1)
    return _examples(inputs, total, steps == lengths[:, None] - 1)


RECALLED, ALPHABET = 10, 8


def copy(key: Key, delays: Array, longest: int) -> Examples:
    """Ten symbols of eight, said again after a delay.

    Arjovsky, Shah and Bengio, 2016: ten symbols 0 … 7, blanks (8) for the delay but for
    its last step, which is the sign to begin (9), and ten blanks. There the loss is a
    mean over all ``delay + 20`` answers, blanks included; here only the ten that have
    to be remembered count.
    """
    shape = delays.size, longest + 2 * RECALLED
    symbols = jax.random.randint(key, (delays.size, RECALLED), 0, ALPHABET)
    steps, begin = jnp.arange(shape[1]), delays[:, None] + RECALLED
    mask = (steps >= begin) & (steps < begin + RECALLED)
    text = jnp.full(shape, ALPHABET).at[:, :RECALLED].set(symbols)
    text = jnp.where(steps == begin - 1, ALPHABET + 1, text)
    recalled = jnp.clip(steps - begin, 0, RECALLED - 1)
    return Examples(text, jnp.take_along_axis(symbols, recalled, 1), mask)


# The tasks of Delétang et al., "Neural networks and the Chomsky hierarchy", 2023. There
# a network reads one symbol more before it answers.


def parity(key: Key, lengths: Array, longest: int) -> Examples:
    """Is the number of ones odd, in a word of zeros and ones?"""
    text = jax.random.randint(key, (lengths.size, longest), 0, 2)
    return _at_the_end(text, jnp.cumsum(text, 1) % 2, lengths)


def even_pairs(key: Key, lengths: Array, longest: int) -> Examples:
    """Is the number of changes, ``ab`` or ``ba``, odd in a word of a and b?

    It is if the first letter is not the last.
    """
    text = jax.random.randint(key, (lengths.size, longest), 0, 2)
    return _at_the_end(text, text ^ text[:, :1], lengths)


def cycle_navigation(key: Key, lengths: Array, longest: int) -> Examples:
    """The place on a circle of five, after steps forward (1), back (2) and none (0)."""
    text = jax.random.randint(key, (lengths.size, longest), 0, 3)
    return _at_the_end(text, jnp.cumsum(jnp.array([0, 1, 4])[text], 1) % 5, lengths)


MODULUS = 5


def modular_arithmetic(key: Key, lengths: Array, longest: int) -> Examples:
    """The value of ``3 + 2 · 4 - 1 …`` modulo five; products go before sums.

    Numbers are 0 … 4, plus is 5, minus 6, times 7. A word has an odd length: one less
    than asked for, if that is even.
    """
    terms = longest // 2 + 1
    number_key, sign_key = jax.random.split(key)
    numbers = jax.random.randint(number_key, (lengths.size, terms), 0, MODULUS)
    signs = jax.random.randint(sign_key, (lengths.size, terms), 0, 3)

    def read(state, number_and_sign):
        """The sum so far, and the product under way, after one more number."""
        total, product = state
        number, sign = number_and_sign
        total = jnp.where(sign == 2, total, total + product) % MODULUS
        sign_of = jnp.where(sign == 1, -number, number)
        product = jnp.where(sign == 2, product * number, sign_of) % MODULUS
        return (total, product), (total + product) % MODULUS

    zero = jnp.zeros(lengths.size, int)
    before = jnp.concatenate([jnp.zeros((lengths.size, 1), int), signs[:, :-1]], 1)
    _, values = jax.lax.scan(read, (zero, zero), (numbers.T, before.T))
    text = jnp.stack([numbers, MODULUS + signs], -1).reshape(lengths.size, -1)
    return _at_the_end(text, jnp.repeat(values.T, 2, 1), (lengths - 1) // 2 * 2 + 1)


BUCKETS = 5


def bucket_sort(key: Key, lengths: Array, longest: int) -> Examples:
    """Sorts symbols of five: reads them once, and answers with one after the other.

    Symbols are 0 … 4. As many blanks (5) follow, and the answers stand at these.
    """
    text = jax.random.randint(key, (lengths.size, longest), 0, BUCKETS)
    steps, read = jnp.arange(2 * longest), lengths[:, None]
    # What is beyond a word goes to its end.
    ordered = jnp.sort(jnp.where(jnp.arange(longest) < read, text, BUCKETS), 1)
    text = jnp.where(steps < read, jnp.pad(text, ((0, 0), (0, longest))), BUCKETS)
    told = jnp.clip(steps - read, 0, longest - 1)
    mask = (steps >= read) & (steps < 2 * read)
    return Examples(text, jnp.take_along_axis(ordered, told, 1) * mask, mask)


def _at_the_end(text, answers, lengths):
    return _examples(text, answers, jnp.arange(text.shape[1]) == lengths[:, None] - 1)


def _examples(inputs, targets, mask):
    shape = inputs.shape[:2]
    return Examples(
        inputs, jnp.broadcast_to(targets, shape), jnp.broadcast_to(mask, shape)
    )


TASKS = {
    "brackets": Task(brackets, LETTERS + 2 * KINDS, KINDS, 1 / KINDS),
    "adding": Task(adding, 2, 0, 1 / 6),
    "copy": Task(copy, ALPHABET + 2, ALPHABET, 1 / ALPHABET),
    "parity": Task(parity, 2, 2, 1 / 2),
    "even-pairs": Task(even_pairs, 2, 2, 1 / 2),
    "cycle": Task(cycle_navigation, 3, 5, 1 / 5),
    "modular": Task(modular_arithmetic, MODULUS + 3, MODULUS, 1 / MODULUS),
    # The middle of what is in order is known without reading: 0.825 is the accuracy of
    # the likeliest symbol at each place, over words of 41 to 100.
    "bucket-sort": Task(bucket_sort, BUCKETS + 1, BUCKETS, 0.825),
}
