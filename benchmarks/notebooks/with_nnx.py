"""The same cells with Flax's nnx, as its documentation writes them."""

from typing import Any

from notebooks.sizes import BATCH, HIDDEN, LENGTH, LONGER, SYMBOLS, WIDTH, WRITTEN


def notebook():
    """Yields what each cell is about, before it runs, and at last ``None``."""
    yield "make a layer"
    import jax
    import jax.numpy as jnp
    from flax import nnx

    xs = jnp.ones((BATCH, LENGTH, WIDTH))
    yield "its parameters"

    def made(width):
        return nnx.RNN(nnx.LSTMCell(width, HIDDEN, rngs=nnx.Rngs(0)))

    layer = made(WIDTH)
    jax.block_until_ready(nnx.state(layer))
    yield "run it"
    jax.block_until_ready(layer(xs))
    yield "run it again"
    jax.block_until_ready(layer(xs))

    def loss(layer):
        return layer(xs).sum()

    yield "gradient"
    jax.block_until_ready(nnx.grad(loss)(layer))
    yield "gradient again"
    jax.block_until_ready(nnx.grad(loss)(layer))
    yield "an equal layer"
    other = nnx.merge(nnx.graphdef(layer), nnx.state(layer))
    jax.block_until_ready(other(xs))
    yield "another length"
    jax.block_until_ready(layer(jnp.ones((BATCH, LONGER, WIDTH))))

    def write(prompt):
        one_hot = jax.nn.one_hot(jnp.ones((1, prompt), jnp.int32), SYMBOLS)
        found: Any = reader(one_hot, return_carry=True)
        carry, hs = found
        return draw(reader.cell, head, carry, hs[:, -1])

    @nnx.jit
    def draw(cell, head, carry, h):
        def one(carry, key):
            state, h = carry
            ids = jax.random.categorical(key, head(h))
            return cell(state, jax.nn.one_hot(ids, SYMBOLS)), ids

        keys = jax.random.split(jax.random.key(0), WRITTEN)
        return jax.lax.scan(one, (carry, h), keys)[1]

    yield "a model writes"
    reader, head = made(SYMBOLS), nnx.Linear(HIDDEN, SYMBOLS, rngs=nnx.Rngs(1))
    jax.block_until_ready(write(9))
    yield "after another prompt"
    jax.block_until_ready(write(12))
    yield None
