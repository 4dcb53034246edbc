"""ppo.py: the environment, both agents, and what is learnt."""

import jax
import jax.numpy as jnp
import numpy as np
import ppo
import pytest
from reinforcement import memory_chain
from reinforcement.agents import AGENTS
from reinforcement.ppo import Sizes, trainer


@pytest.mark.parametrize("length", [1, 4])
def test_an_episode_shows_the_bit_and_asks_for_it(length):
    observation, place = memory_chain.begin(jax.random.key(0), length)
    bit = int(place.bit)
    for time in range(2 * length + 2):
        if time == length + 1:  # the next episode
            bit = int(place.bit)
        at = max(time % (length + 1) - 1, 0)  # it is told what was one step before
        expected = [1 - at / length, 0, 2 * bit - 1 if at == 0 else 0]
        np.testing.assert_allclose(observation, expected, atol=1e-6)
        action = jnp.int32(bit if time < length + 1 else 1 - bit)
        observation, place, reward, ended = memory_chain.step(
            jax.random.key(time), place, action, length
        )
        last = time % (length + 1) == length
        assert bool(ended) == last
        assert float(reward) == ((1 if time < length + 1 else -1) if last else 0)


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_acts_as_it_learns(name):
    agent = AGENTS[name](4)
    params = agent.init(jax.random.key(0), 3)
    xs = jax.random.normal(jax.random.key(1), (6, 2, 3))
    starts = jnp.arange(6)[:, None] == jnp.array([2, 4])
    last, hs = agent.learn(params, agent.start(2), xs, starts)
    state = agent.start(2)
    for t in range(6):
        state, h = agent.act(params, state, xs[t], starts[t])
        np.testing.assert_allclose(h, hs[t], atol=1e-6)
    np.testing.assert_allclose(state, last, atol=1e-6)
    alone, _ = agent.learn(params, agent.start(2), xs[2:], starts[2:])
    np.testing.assert_allclose(alone[0], last[0], atol=1e-6)


def test_it_learns_to_remember():
    sizes = Sizes(hidden=16, agents=8, stretch=24, updates=60)
    returns = np.asarray(
        jax.jit(trainer(AGENTS["jaxtext"], 2, sizes))(jax.random.key(0))
    )
    assert abs(returns[0]) < 0.7
    assert returns[-10:].mean() > 0.8


def test_a_result_has_both_and_their_ratio(capsys):
    words = "--seeds 1 --updates 1 --hidden 4 --stretch 4 --memory-length 1"
    assert ppo.main(words.split()) == 0
    assert '"ratios": [' in capsys.readouterr().out.splitlines()[-1]
    assert ppo.main(["--agents", "6"]) == 2
    assert "agents: expected a multiple of 4, got 6" in capsys.readouterr().err
