"""Ways to walk time: step by step, by a cell's own backend, in chunks, backwards.

All of it is time-major, and every way computes the same function.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp

from jaxtext.dispatch import choose
from jaxtext.types import Array, BackendName, Cell, Masks, Noise, Params, State

Remat: TypeAlias = int | Literal["gates"] | None
Walk: TypeAlias = Callable[..., tuple[State, Array]]


def over_time(
    cell: Cell,
    params: Params,
    state: State,
    xs: Array,
    masks: Masks,
    noise: Noise,
    *,
    backend: BackendName = "auto",
    remat: Remat = None,
) -> tuple[State, Array]:
    """Walks time-major ``xs`` forwards; see `jaxtext.unroll` for `backend`, `remat`."""
    if isinstance(remat, int) and cell.step is not None:
        walk = partial(over_time, backend=backend)
        return _in_chunks(remat, walk, cell, params, state, xs, masks, noise)
    if cell.sequence is not None:
        walk = partial(over_time, backend=backend, remat=remat)
        return cell.sequence(walk, params, state, xs, masks, noise)
    chosen = choose(cell, params, state, xs, masks, backend).backend
    if chosen is not None:
        return chosen.sequence(params, state, xs, masks, noise, remat is None)
    return step_by_step(cell, params, state, xs, masks, noise, remat is not None)


def backwards(
    walk: Walk,
    cell: Cell,
    params: Params,
    state: State,
    xs: Array,
    masks: Masks,
    noise: Noise,
) -> tuple[State, Array]:
    """Walks from the last step to the first; outputs stay where their inputs are."""
    flip = partial(jax.tree.map, partial(jnp.flip, axis=0))
    noise = Noise(noise.per_sequence, flip(noise.per_step))
    state, ys = walk(cell, params, state, flip(xs), flip(masks), noise)
    return state, flip(ys)


def select(mask: Array, yes: Any, no: Any) -> Any:
    """``where``, leaf by leaf, `mask` holding the leading axes of every leaf."""

    def of_leaf(a, b):
        return jnp.where(mask.reshape(mask.shape + (1,) * (b.ndim - mask.ndim)), a, b)

    return jax.tree.map(of_leaf, yes, no)


def step_by_step(
    cell: Cell,
    params: Params,
    state: State,
    xs: Array,
    masks: Masks,
    noise: Noise,
    again: bool = False,
) -> tuple[State, Array]:
    """A scan of the cell's step; `again`: what lies within a step is not kept."""
    step = cell.step
    assert step is not None  # or it would have a `sequence`

    def body(state, inputs):
        x, reset, valid, per_step = inputs
        if reset is not None:
            state = select(reset, cell.initial_state(reset.shape), state)
        after, y = step(params, state, x, Noise(noise.per_sequence, per_step))
        if valid is not None:
            after = select(valid, after, state)
            y = select(valid, y, jnp.zeros_like(y))
        return after, y

    if again:
        body = jax.checkpoint(body, prevent_cse=False)  # a scan's body needs no care
    resets, last = _before_steps(masks.resets)
    state, ys = jax.lax.scan(body, state, (xs, resets, masks.valid, noise.per_step))
    return _after_last(cell, last, state), ys


def _in_chunks(every, walk, cell, params, state, xs, masks, noise):
    """Keeps the state at each chunk's start alone, and takes the rest again."""

    @partial(jax.checkpoint, prevent_cse=False)
    def chunk(state, inputs):
        xs, resets, valid, per_step = inputs
        if resets is not None:
            resets = jnp.concatenate([resets, jnp.zeros_like(resets[:1])])
        here = Noise(noise.per_sequence, per_step)
        return walk(cell, params, state, xs, Masks(resets, valid), here)

    resets, last = _before_steps(masks.resets)
    inputs = xs, resets, masks.valid, noise.per_step
    count, rest = divmod(xs.shape[0], every)

    def in_rows(x):
        return x[: count * every].reshape(count, every, *x.shape[1:])

    state, ys = jax.lax.scan(chunk, state, jax.tree.map(in_rows, inputs))
    ys = ys.reshape(count * every, *ys.shape[2:])
    if rest:
        state, tail = chunk(state, jax.tree.map(lambda x: x[-rest:], inputs))
        ys = jnp.concatenate([ys, tail])
    return _after_last(cell, last, state), ys


def _before_steps(resets):
    """The gaps before each step, and the one after the last."""
    return (None, None) if resets is None else (resets[:-1], resets[-1])


def _after_last(cell, reset, state):
    if reset is None:
        return state
    return select(reset, cell.initial_state(reset.shape), state)
