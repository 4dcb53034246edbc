"""Times programs for `commits.py`, with the jaxtext that is on this process's path.

Each line on standard input is ``[[cell, B, T, D, H, program], runs]``. The answer is
the seconds that a run took.
"""

import functools
import json
import sys
import time

import jax
import jax.numpy as jnp

import jaxtext as jt


@functools.cache
def made(name, batch, length, width, hidden, program):
    """A compiled program and its arguments."""
    cell = getattr(jt, name)(hidden)
    params = cell.init(jax.random.key(0), width)
    state, key = cell.initial_state((batch,)), jax.random.key(1)
    if program == "symbols":
        xs = jax.random.randint(key, (batch, length), 0, width)
    else:
        xs = jax.random.normal(key, (batch, length, width))

    def loss(params, state, xs):
        return jnp.sum(jnp.square(jt.unroll(cell, params, state, xs)[1]))

    if program == "forward":
        compiled = jax.jit(lambda *operands: jt.unroll(cell, *operands))
    else:
        wrt = (0, 1) if program == "symbols" else (0, 1, 2)
        compiled = jax.jit(jax.grad(loss, wrt))
    return compiled, (params, state, xs)


for line in sys.stdin:
    program, runs = json.loads(line)
    compiled, operands = made(*program)
    start = time.perf_counter()
    jax.block_until_ready([compiled(*operands) for _ in range(runs)][-1])
    print((time.perf_counter() - start) / runs, flush=True)
