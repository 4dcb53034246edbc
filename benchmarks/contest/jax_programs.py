"""Compiles and checks the JAX contestants."""

import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from measuring.workload import FORWARD, FORWARD_BACKWARD, Workload

from contest.jax_cells import contestant
from contest.program import Program


def programs(library: str, work: Workload) -> dict[str, Program]:
    """Both directions of a library's cell, with the same inputs for all libraries.

    The forward program returns the outputs and the last state. The other one returns
    the loss ``sum(ys * cotangent)`` and its gradient in parameters, state and inputs.

    Raises:
      ImportError: If the library is not installed.
      LookupError: If it has no such cell.
      ArithmeticError: If its results have a wrong shape, are zero or not finite.
    """
    own, *keys = jax.random.split(jax.random.key(0), 4)
    entry = contestant(library, work, own)
    x_key, cotangent_key, state_key = keys
    leading = (work.time, work.batch)
    xs = jax.random.normal(x_key, (*leading, work.input), work.dtype)
    cotangent = jax.random.normal(cotangent_key, (*leading, work.hidden), work.dtype)
    if not entry.time_major:
        xs, cotangent = xs.swapaxes(0, 1), cotangent.swapaxes(0, 1)

    def noisy(x):
        return x + jax.random.normal(state_key, x.shape, x.dtype) / 2

    state = jax.tree.map(noisy, entry.state)
    arguments = jax.device_put((entry.params, state, xs))

    def loss(params, state, xs):
        return jnp.sum(entry.unroll(params, state, xs)[1] * cotangent)

    forward, of_forward = _compile(entry.unroll, arguments)
    gradient, of_gradient = _compile(jax.value_and_grad(loss, (0, 1, 2)), arguments)

    ys = forward(*arguments)[1]
    if ys.shape != cotangent.shape or ys.dtype != cotangent.dtype:
        raise ArithmeticError(f"{library} returns {ys.dtype}{list(ys.shape)}")
    _check(library, ys, gradient(*arguments))

    def run(program):
        jax.block_until_ready(program(*arguments))

    return {
        FORWARD: Program(partial(run, forward), *of_forward),
        FORWARD_BACKWARD: Program(partial(run, gradient), *of_gradient),
    }


def matmul_flops_per_second(dtype: str, size: int = 2048, repeats: int = 15) -> float:
    """The rate of one large matrix product on this machine: the best of `repeats`."""
    a = jax.random.normal(jax.random.key(0), (size, size), dtype)
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        product(a, a).block_until_ready()
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


def _compile(function: Callable, arguments) -> tuple[Callable, tuple]:
    """A compiled function, its compile time in ms and its temporary memory in MB."""
    begin = time.perf_counter()
    compiled = jax.jit(function).lower(*arguments).compile()
    milliseconds = 1e3 * (time.perf_counter() - begin)
    memory = compiled.memory_analysis()
    megabytes = None if memory is None else memory.temp_size_in_bytes / 2**20
    return compiled, (milliseconds, megabytes)


def _check(library, *computed):
    """Refuses zeros, because a gradient of zero may not have been computed."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(computed):
        values = np.asarray(leaf, np.float32)
        if not (np.isfinite(values).all() and values.any()):
            name = jax.tree_util.keystr(path)
            raise ArithmeticError(f"{library} computes zeros or no numbers: {name}")
