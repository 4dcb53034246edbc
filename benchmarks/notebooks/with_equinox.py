"""The same cells with Equinox, whose documentation scans a cell."""

import importlib
from typing import Any

from notebooks.sizes import BATCH, HIDDEN, LENGTH, LONGER, SYMBOLS, WIDTH, WRITTEN


def notebook():
    """Yields what each cell is about, before it runs, and at last ``None``."""
    yield "make a layer"
    import jax
    import jax.numpy as jnp

    eqx: Any = importlib.import_module("equinox")

    key, xs = jax.random.key(0), jnp.ones((BATCH, LENGTH, WIDTH))
    yield "its parameters"
    cell = jax.block_until_ready(eqx.nn.LSTMCell(WIDTH, HIDDEN, key=key))

    def run(cell, xs):
        def step(state, x):
            state = cell(x, state)
            return state, state[0]

        zeros = jnp.zeros(HIDDEN)
        return jax.lax.scan(step, (zeros, zeros), xs)

    def batched(cell, xs):
        return jax.vmap(run, in_axes=(None, 0))(cell, xs)

    yield "run it"
    jax.block_until_ready(batched(cell, xs))
    yield "run it again"
    jax.block_until_ready(batched(cell, xs))

    def loss(cell):
        return batched(cell, xs)[1].sum()

    yield "gradient"
    jax.block_until_ready(eqx.filter_grad(loss)(cell))
    yield "gradient again"
    jax.block_until_ready(eqx.filter_grad(loss)(cell))
    yield "an equal layer"
    other = eqx.nn.LSTMCell(WIDTH, HIDDEN, key=key)
    jax.block_until_ready(batched(other, xs))
    yield "another length"
    jax.block_until_ready(batched(cell, jnp.ones((BATCH, LONGER, WIDTH))))

    def write(prompt):
        one_hot = jax.nn.one_hot(jnp.ones(prompt, jnp.int32), SYMBOLS)
        state, _ = run(reader, one_hot)
        return draw(reader, head, state)

    @eqx.filter_jit
    def draw(cell, head, state):
        def one(state, key):
            ids = jax.random.categorical(key, head(state[0]))
            return cell(jax.nn.one_hot(ids, SYMBOLS), state), ids

        return jax.lax.scan(one, state, jax.random.split(key, WRITTEN))[1]

    yield "a model writes"
    reader = eqx.nn.LSTMCell(SYMBOLS, HIDDEN, key=key)
    head = eqx.nn.Linear(HIDDEN, SYMBOLS, key=key)
    jax.block_until_ready(write(9))
    yield "after another prompt"
    jax.block_until_ready(write(12))
    yield None
