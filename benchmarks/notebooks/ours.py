"""A notebook's cells with jaxtext. It has to run with old commits, too."""

import numpy as np

from notebooks.sizes import BATCH, HIDDEN, LENGTH, LONGER, SYMBOLS, WIDTH, WRITTEN


def notebook():
    """Yields what each cell is about, before it runs, and at last ``None``."""
    yield "make a layer"
    import jax
    import jax.numpy as jnp

    import jaxtext as jt
    from jaxtext.generation import generate

    cell, key = jt.lstm(HIDDEN), jax.random.key(0)
    xs = jnp.ones((BATCH, LENGTH, WIDTH))
    yield "its parameters"
    params = jax.block_until_ready(cell.init(key, WIDTH))
    start = cell.initial_state((BATCH,))
    yield "run it"
    jax.block_until_ready(jt.unroll(cell, params, start, xs))
    yield "run it again"
    jax.block_until_ready(jt.unroll(cell, params, start, xs))

    def loss(params):
        return jt.unroll(cell, params, start, xs)[1].sum()

    yield "gradient"
    jax.block_until_ready(jax.grad(loss)(params))
    yield "gradient again"
    jax.block_until_ready(jax.grad(loss)(params))
    yield "an equal layer"
    jax.block_until_ready(jt.unroll(jt.lstm(HIDDEN), params, start, xs))
    yield "another length"
    xs = jnp.ones((BATCH, LONGER, WIDTH))
    jax.block_until_ready(jt.unroll(cell, params, start, xs))

    def write(prompt):
        ids = np.ones((1, prompt), np.int32)
        pieces = generate(model, weights, ids, WRITTEN, key=key)
        return np.concatenate([*pieces], axis=1)

    yield "a model writes"
    model = jt.LanguageModel(cell, vocab_size=SYMBOLS)
    ids = jnp.zeros((1, 1), jnp.int32)
    weights = model.init(key, model.initial_state((1,)), ids)["params"]
    write(9)
    yield "after another prompt"
    write(12)
    yield None
