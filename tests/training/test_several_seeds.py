"""Steps of several seeds by one program are those of each seed alone."""

import jax
import numpy as np
import optax
import pytest

import jaxtext as jt
from jaxtext.training import create_state, make_train_step

B, T, STEPS, SEEDS = 2, 6, 5, (0, 3, 7)
STREAMS = jt.text.Streams(np.random.default_rng(0).integers(5, size=400), B, T)
OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-2))


def make(backend="auto"):
    cell = jt.stack(jt.lstm(8), jt.variational_dropout(0.3), jt.layer_norm_gru(6))
    model = jt.LanguageModel(cell, 5, backend=backend, weight_drop=0.2)
    step = make_train_step(model, OPTIMIZER, average_decay=0.9)
    states = [
        create_state(model, OPTIMIZER, jax.random.key(seed), B, average=True)
        for seed in SEEDS
    ]
    return step, states


def stack(trees):
    return jax.tree.map(lambda *x: jax.numpy.stack(x), *trees)


def batches(k):
    return [STREAMS.batch(seed=seed, k=k) for seed in SEEDS]


def numbers(state):
    return state._replace(key=jax.random.key_data(state.key))


@pytest.mark.parametrize("way", ["vmap", "lax.map"])
def test_each_seed_takes_its_own_steps(way):
    step, states = make()
    alone, together = jax.jit(step), jax.vmap(step)
    if way == "lax.map":

        def together(state, batch):
            return jax.lax.map(lambda operands: step(*operands), (state, batch))

    together, stacked = jax.jit(together), stack(states)
    for k in range(STEPS):
        stacked, _ = together(stacked, stack(batches(k)))
        pairs = zip(states, batches(k), strict=True)
        states = [alone(state, batch)[0] for state, batch in pairs]
    found, expected = numbers(stacked), numbers(stack(states))
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_vmap_keeps_the_backend():
    programs = {}
    for backend in "auto", "fused", "scan":
        step, states = make(backend)
        program = jax.make_jaxpr(jax.vmap(step))(stack(states), stack(batches(0)))
        programs[backend] = len(str(program).splitlines())
    assert programs["auto"] == programs["fused"] != programs["scan"]
