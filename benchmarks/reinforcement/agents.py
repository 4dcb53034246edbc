"""The recurrent layer of a policy: jaxtext's, and a scan of Flax's cell."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

import jaxtext as jt


class Agent(NamedTuple):
    """A recurrent layer, as `reinforcement.ppo` uses it.

    Attributes:
      init: ``(key, width) -> params``.
      start: ``(agents) -> state``.
      act: ``(params, state, x [B, D], starts [B]) -> (state, h [B, H])``.
      learn: ``(params, state, xs [T, B, D], starts [T, B]) -> (state, hs)``.
    """

    init: Callable[..., Any]
    start: Callable[[int], Any]
    act: Callable[..., Any]
    learn: Callable[..., Any]


def jaxtext(hidden: int) -> Agent:
    """One step at a time while it acts, all steps at once while it learns."""
    cell = jt.gru(hidden)
    step: Any = cell.step

    def act(params, state, x, starts):
        fresh = cell.initial_state(starts.shape)
        return step(params, jnp.where(starts[:, None], fresh, state), x)

    def learn(params, state, xs, starts):
        return jt.unroll(cell, params, state, xs, resets=starts, time_major=True)

    def start(agents):
        return cell.initial_state((agents,))

    return Agent(cell.init, start, act, learn)


class _Scanned(nn.Module):
    """A GRU that is scanned over time, and starts anew where it is told to."""

    hidden: int

    @partial(
        nn.scan,
        variable_broadcast="params",
        in_axes=0,
        out_axes=0,
        split_rngs={"params": False},
    )
    @nn.compact
    def __call__(self, state, inputs):
        """``(state [B, H], (x [B, D], starts [B])) -> (state, h)``."""
        x, starts = inputs
        state = jnp.where(starts[:, None], 0.0, state)
        return nn.GRUCell(self.hidden)(state, x)


def flax(hidden: int) -> Agent:
    """Flax's cell in ``nn.scan``, for one step too, as purejaxrl has it."""
    module: Any = _Scanned(hidden)

    def start(agents):
        return jnp.zeros((agents, hidden))

    def init(key, width):
        inputs = jnp.zeros((1, 1, width)), jnp.zeros((1, 1), bool)
        return module.init(key, start(1), inputs)

    def learn(params, state, xs, starts):
        return module.apply(params, state, (xs, starts))

    def act(params, state, x, starts):
        state, hs = learn(params, state, x[None], starts[None])
        return state, hs[0]

    return Agent(init, start, act, learn)


AGENTS = {"jaxtext": jaxtext, "flax": flax}
