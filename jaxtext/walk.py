"""Ways to walk time: step by step, by a cell's own backend, in chunks, backwards.

All of it is time-major, and every way computes the same function.
"""

from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxtext.dispatch import choose
from jaxtext.kernels.masks import kept, select, stepped
from jaxtext.outcome import taken
from jaxtext.types import Array, BackendName, Cell, Masks, Noise, Params, State, Walk

Remat: TypeAlias = int | Literal["gates"] | None


class Seen(NamedTuple):
    """The states and gates of a whole sequence, in place of the last state.

    A cell made of others passes on the states that a walk returns, so it returns these
    in the structure of its own state.

    Attributes:
      state: The state after the last step.
      states: The states after each step, each ``[T, B, …]``.
      gates: Its gates at each step, each ``[T, B, H]``.
    """

    state: Any
    states: Any
    gates: Any


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
    watch: bool = False,
) -> tuple[State, Array]:
    """Walks time-major ``xs`` forwards.

    Args:
      cell: The cell.
      params: Its parameters.
      state: The state before the first step.
      xs: The inputs.
      masks: What happens around each step.
      noise: The noise of all steps.
      backend: As for `jaxtext.unroll`.
      remat: As for `jaxtext.unroll`.
      watch: Whether to return what each cell did, `Seen`, in place of its last state.
    """
    if isinstance(remat, int) and cell.step is not None:
        walk = partial(over_time, backend=backend, watch=watch)
        return _in_chunks(remat, walk, cell, params, state, xs, masks, noise)
    if cell.sequence is not None:
        walk = partial(over_time, backend=backend, remat=remat, watch=watch)
        return cell.sequence(walk, params, state, xs, masks, noise)
    before, last = before_steps(masks)
    chosen = choose(cell, params, state, xs, before, backend).backend
    reads = _reads(before)
    given, state = state, _where_read(cell, reads, state)
    if chosen is None or watch:
        walk = partial(step_by_step, again=remat is not None, watch=watch)
        state, ys = walk(cell, params, state, xs, before, noise)
    else:
        keep = remat is None
        state, ys = chosen.sequence(params, state, xs, before, noise, keep)
    return _after_last(cell, last, _where_unread(reads, given, state)), ys


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
    state, seen = apart(state)
    return _together(state, flip(seen)), flip(ys)


def step_by_step(
    cell: Cell,
    params: Params,
    state: State,
    xs: Array,
    masks: Masks,
    noise: Noise,
    again: bool = False,
    watch: bool = False,
) -> tuple[State, Array]:
    """A scan of the cell's step.

    Args:
      cell: A cell that is not made of others.
      params: Its parameters.
      state: The state before the first step.
      xs: The inputs.
      masks: With resets ``[T, B]``, before each step.
      noise: The noise of all steps.
      again: Whether values within a step are computed again in the backward pass.
      watch: As for `over_time`.
    """
    gates = cell.gates
    assert cell.step is not None  # or it would have a `sequence`

    def body(state, inputs):
        x, reset, valid, per_step = inputs
        if reset is not None:
            state = select(reset, cell.initial_state(reset.shape), state)
        here = Noise(noise.per_sequence, per_step)
        after, y = taken(cell, params, state, x, here)
        after, y = stepped(valid, after, state), kept(valid, y)
        named = gates(params, state, x, here) if watch and gates else {}
        seen = Seen((), after, kept(valid, dict(named))) if watch else None
        return after, (y, seen)

    if again:
        body = jax.checkpoint(body, prevent_cse=False)  # a scan's body needs no care
    steps = xs, masks.resets, masks.valid, noise.per_step
    state, (ys, seen) = jax.lax.scan(body, state, steps)
    return state if seen is None else seen._replace(state=state), ys


def apart(state: Any) -> tuple[State, Any]:
    """The last states, and what was `Seen`; ``None`` in place of what was not."""

    def last(x):
        return x.state if isinstance(x, Seen) else x

    def seen(x):
        return x._replace(state=()) if isinstance(x, Seen) else None

    return tuple(jax.tree.map(part, state, is_leaf=_is_seen) for part in (last, seen))


def _together(state, seen):
    """The inverse of `apart`."""

    def both(seen, last):
        return last if seen is None else seen._replace(state=last)

    return jax.tree.map(both, seen, state, is_leaf=lambda x: x is None or _is_seen(x))


def _is_seen(x):
    return isinstance(x, Seen)


def _in_chunks(every, walk, cell, params, state, xs, masks, noise):
    """Keeps only the state at the start of each chunk, and computes the rest again."""

    @partial(jax.checkpoint, prevent_cse=False)
    def chunk(state, inputs):
        xs, resets, valid, per_step = inputs
        if resets is not None:
            resets = jnp.concatenate([resets, jnp.zeros_like(resets[:1])])
        here = Noise(noise.per_sequence, per_step)
        state, ys = walk(cell, params, state, xs, Masks(resets, valid), here)
        state, seen = apart(state)
        return state, (ys, seen)

    before, last = before_steps(masks)
    inputs = xs, *before, noise.per_step
    count, rest = divmod(xs.shape[0], every)

    def in_rows(x):
        return x[: count * every].reshape(count, every, *x.shape[1:])

    def in_a_row(x):
        return x.reshape(count * every, *x.shape[2:])

    state, found = jax.lax.scan(chunk, state, jax.tree.map(in_rows, inputs))
    found = jax.tree.map(in_a_row, found)
    if rest:
        state, tail = chunk(state, jax.tree.map(lambda x: x[-rest:], inputs))
        found = jax.tree.map(lambda *x: jnp.concatenate(x), found, tail)
    ys, seen = found
    return _after_last(cell, last, _together(state, seen)), ys


def before_steps(masks: Masks) -> tuple[Masks, Array | None]:
    """The masks with the gaps before each step, and the gap after the last."""
    resets = masks.resets
    if resets is None:
        return masks, None
    return masks._replace(resets=resets[:-1]), resets[-1]


def _where_read(cell, reads, state):
    """The state where a step reads it, and the initial one elsewhere.

    The gradient through a step that is masked out is 0 times its slope. That is NaN if
    the state is not finite, and no mask after it would help.
    """
    if reads is None:
        return state
    read, _ = reads
    return select(read, state, cell.initial_state(read.shape))


def _where_unread(reads, given, state):
    """The state that was given where neither a step nor a reset has changed it."""
    if reads is None:
        return state
    read, since_reset = reads
    changed = read[None] | since_reset  # by each step
    state, seen = apart(state)
    state = select(changed[-1], state, given)
    if isinstance(seen, Seen):
        length = changed.shape[0]
        states = jax.tree.map(lambda x: jnp.broadcast_to(x, (length, *x.shape)), given)
        seen = seen._replace(states=select(changed, seen.states, states))
    return _together(state, seen)


def _reads(masks):
    """Whether a step reads the state that is given, and where a reset has cleared it.

    The former is ``[B]``, and the latter ``[T, B]``. ``None``: every step is taken.
    """
    resets, valid = masks
    if valid is None or valid.shape[0] == 0:
        return None
    if resets is None:
        return valid.any(0), jnp.zeros_like(valid)
    since_reset = jax.lax.cummax(resets.astype(jnp.int32)) != 0
    return (valid & ~since_reset).any(0), since_reset


def _after_last(cell, reset, state):
    if reset is None:
        return state
    state, seen = apart(state)
    state = select(reset, cell.initial_state(reset.shape), state)
    return _together(state, seen)
