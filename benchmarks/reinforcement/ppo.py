"""Recurrent proximal policy optimization, all of it in one compiled program.

The algorithm is that of purejaxrl's ``ppo_rnn``: stretches of experience of several
agents, generalized advantage estimation, and epochs over minibatches of agents, each of
which reads its whole stretch again.

References:
  Schulman, Wolski, Dhariwal, Radford and Klimov, "Proximal policy optimization
  algorithms", 2017, equations 7, 9 and 11.

  Schulman, Moritz, Levine, Jordan and Abbeel, "High-dimensional continuous control
  using generalized advantage estimation", 2016, equation 16.

  Lu et al., "Discovered policy optimisation", 2022 (purejaxrl).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from reinforcement import memory_chain
from reinforcement.agents import Agent

DISCOUNT, TRACE, CLIP, ENTROPY, VALUE = 0.99, 0.95, 0.2, 0.01, 0.5
EPOCHS, MINIBATCHES, RATE, NORM = 4, 4, 2.5e-4, 0.5


class Sizes(NamedTuple):
    """How much is played and learnt from.

    Attributes:
      hidden: The width of the policy's layers.
      agents: How many environments run at once.
      stretch: How many steps each of them takes between two updates.
      updates: How many stretches there are.
    """

    hidden: int = 128
    agents: int = 4
    stretch: int = 128
    updates: int = 100

    @property
    def steps(self) -> int:
        """How many steps all environments take."""
        return self.agents * self.stretch * self.updates


class Played(NamedTuple):
    """A stretch of experience, each ``[T, B, …]``."""

    observation: Any
    starts: Any  # whether an episode begins with this observation
    action: Any
    log_p: Any
    value: Any
    reward: Any
    ended: Any  # whether the episode ended with this action


def _dense(key, inputs, outputs, scale):
    draw = jax.nn.initializers.orthogonal(scale)
    return {"kernel": draw(key, (inputs, outputs)), "bias": jnp.zeros(outputs)}


def _affine(params, x):
    return x @ params["kernel"] + params["bias"]


def trainer(
    make_agent: Callable[[int], Agent], memory_length: int, sizes: Sizes
) -> Callable[[jax.Array], jax.Array]:
    """Makes ``(key) -> returns``, a whole training.

    Args:
      make_agent: Takes the width of the recurrent layer.
      memory_length: After how many steps the bit is asked for.
      sizes: How much is played.

    Returns:
      A function of a key. It returns the mean reward of an episode in each stretch,
      ``[updates]``.
    """
    agent, hidden = make_agent(sizes.hidden), sizes.hidden
    every = sizes.updates * EPOCHS * MINIBATCHES
    optimizer = optax.chain(
        optax.clip_by_global_norm(NORM),
        optax.adam(optax.linear_schedule(RATE, 0.0, every), eps=1e-5),
    )

    def init(key):
        k = jax.random.split(key, 6)
        root = 2**0.5
        return {
            "reads": _dense(k[0], memory_chain.WIDTH, hidden, root),
            "recurrent": agent.init(k[1], hidden),
            "actor": _dense(k[2], hidden, hidden, 2.0),
            "policy": _dense(k[3], hidden, memory_chain.ACTIONS, 0.01),
            "critic": _dense(k[4], hidden, hidden, 2.0),
            "value": _dense(k[5], hidden, 1, 1.0),
        }

    def reads(params, observation):
        return jax.nn.relu(_affine(params["reads"], observation))

    def heads(params, h):
        logits = _affine(params["policy"], jax.nn.relu(_affine(params["actor"], h)))
        value = _affine(params["value"], jax.nn.relu(_affine(params["critic"], h)))
        return jax.nn.log_softmax(logits), value[..., 0]

    def acted(params, state, observation, starts):
        x = reads(params, observation)
        state, h = agent.act(params["recurrent"], state, x, starts)
        return state, *heads(params, h)

    def play(carry, key):
        params, place, state, observation, starts = carry
        for_action, for_env = jax.random.split(key)
        after, log_p, value = acted(params, state, observation, starts)
        action = jax.random.categorical(for_action, log_p)
        keys = jax.random.split(for_env, sizes.agents)
        step = jax.vmap(memory_chain.step, in_axes=(0, 0, 0, None))
        following, place, reward, ended = step(keys, place, action, memory_length)
        log_p = jnp.take_along_axis(log_p, action[:, None], -1)[:, 0]
        played = Played(observation, starts, action, log_p, value, reward, ended)
        return (params, place, after, following, ended), played

    def advantages(played, last):
        def back(carry, at):
            following, advantage = carry
            goes_on = 1.0 - at.ended
            error = at.reward + DISCOUNT * following * goes_on - at.value
            advantage = error + DISCOUNT * TRACE * goes_on * advantage
            return (at.value, advantage), advantage

        return jax.lax.scan(back, (last, jnp.zeros_like(last)), played, reverse=True)[1]

    def loss(params, state, played, advantage):
        x = reads(params, played.observation)
        _, hs = agent.learn(params["recurrent"], state, x, played.starts)
        log_ps, values = heads(params, hs)
        log_p = jnp.take_along_axis(log_ps, played.action[..., None], -1)[..., 0]
        ratio = jnp.exp(log_p - played.log_p)
        target = advantage + played.value
        normal = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        bounded = jnp.clip(ratio, 1 - CLIP, 1 + CLIP)
        policy = -jnp.minimum(ratio * normal, bounded * normal).mean()
        near = played.value + jnp.clip(values - played.value, -CLIP, CLIP)
        errors = jnp.maximum((values - target) ** 2, (near - target) ** 2)
        entropy = -(jnp.exp(log_ps) * log_ps).sum(-1).mean()
        return policy + VALUE * 0.5 * errors.mean() - ENTROPY * entropy

    def learn(carry, minibatch):
        params, memory = carry
        grads = jax.grad(loss)(params, *minibatch)
        updates, memory = optimizer.update(grads, memory, params)
        return (optax.apply_updates(params, updates), memory), None

    def update(carry, key):
        params, memory, *place = carry
        to_play, to_learn = jax.random.split(key)
        start = place[1]
        keys = jax.random.split(to_play, sizes.stretch)
        (_, *place), played = jax.lax.scan(play, (params, *place), keys)
        last = acted(params, *place[1:])[-1]
        advantage = advantages(played, last)

        def epoch(carry, key):
            order = jax.random.permutation(key, sizes.agents)

            def divided(axis):
                def of_leaf(x):
                    x = jnp.moveaxis(jnp.take(x, order, axis), axis, 0)
                    x = x.reshape(MINIBATCHES, -1, *x.shape[1:])
                    return jnp.moveaxis(x, 1, axis + 1)

                return of_leaf

            over_time = jax.tree.map(divided(1), (played, advantage))
            minibatches = jax.tree.map(divided(0), start), *over_time
            return jax.lax.scan(learn, carry, minibatches)[0], None

        keys = jax.random.split(to_learn, EPOCHS)
        (params, memory), _ = jax.lax.scan(epoch, (params, memory), keys)
        episodes = jnp.maximum(played.ended.sum(), 1)
        return (params, memory, *place), played.reward.sum() / episodes

    def train(key):
        first, second, third = jax.random.split(key, 3)
        params = init(first)
        keys = jax.random.split(second, sizes.agents)
        begin = jax.vmap(memory_chain.begin, in_axes=(0, None))
        observation, place = begin(keys, memory_length)
        starts = jnp.ones(sizes.agents, bool)
        state = agent.start(sizes.agents)
        carry = params, optimizer.init(params), place, state, observation, starts
        keys = jax.random.split(third, sizes.updates)
        return jax.lax.scan(update, carry, keys)[1]

    return train
