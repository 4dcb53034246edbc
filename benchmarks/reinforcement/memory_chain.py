"""A bit is shown once, and asked for some steps later.

The dynamics of ``MemoryChain-bsuite`` in gymnax 1.0, written anew as pure functions,
because gymnax installs with no JAX above 0.11.

References:
  Osband et al., "Behaviour suite for reinforcement learning", 2020 (memory length).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

WIDTH, ACTIONS = 3, 2  # of an observation; the two values of the bit


class Place(NamedTuple):
    """Where an episode is.

    Attributes:
      bit: 0 or 1, what is to be remembered.
      time: How many steps have been taken.
    """

    bit: jax.Array
    time: jax.Array


def begin(key: jax.Array, length: int) -> tuple[jax.Array, Place]:
    """The first observation of a new episode, ``[WIDTH]``, and the place."""
    bit = jax.random.bernoulli(key).astype(jnp.int32)
    place = Place(bit, jnp.zeros((), jnp.int32))
    return observation(place, length), place


def observation(place: Place, length: int) -> jax.Array:
    """The share of time that is left, a zero, and at first the bit as -1 or 1.

    In place of the zero is the index of the bit that is asked for, of which there is
    one.
    """
    left = 1 - place.time.astype(jnp.float32) / length
    shown = jnp.where(place.time == 0, 2.0 * place.bit - 1, 0.0)
    return jnp.stack([left, jnp.zeros_like(left), shown])


def step(
    key: jax.Array, place: Place, action: jax.Array, length: int
) -> tuple[jax.Array, Place, jax.Array, jax.Array]:
    """Takes a step. After `length` steps the next one is the answer.

    An action is chosen by the observation of the step before it, as in gymnax: the
    first observation of an episode is seen twice.

    Args:
      key: For the bit of the next episode.
      place: Where the episode is.
      action: 0 or 1.
      length: After how many steps the bit is asked for.

    Returns:
      The next observation, which is that of a new episode if this one has ended, and
      its place; the reward, 1 for the right answer, -1 for the other and 0 before it;
      and whether the episode has ended.
    """
    ended = place.time == length
    right = jnp.where(action == place.bit, 1.0, -1.0)
    reward = jnp.where(ended, right, 0.0)
    anew = begin(key, length)
    going_on = observation(place, length), place._replace(time=place.time + 1)
    seen, place = jax.tree.map(lambda a, b: jnp.where(ended, a, b), anew, going_on)
    return seen, place, reward, ended
