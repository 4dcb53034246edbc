"""A cell in heads: recurrent weights in blocks along the diagonal."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp

from jaxtext.errors import InputError
from jaxtext.types import Cell, Noise

Make = TypeVar("Make", bound=Callable[..., Cell])


def in_heads(make: Make) -> Make:
    """Gives a function that makes cells its argument `heads`.

    Args:
      make: ``(hidden, heads=1, …) -> cell``, which may leave `heads` aside. The cell
        has parameters and no noise.

    Returns:
      A function that makes the cell of one head, of the width ``H / N``, and several of
      them side by side, which all read the whole input::

          state_n, y_n = step(params_n, state_n, x)        n = 1 … N
          y = y_1 … y_N, concatenated

      Parameters have an axis ``N`` in front. The state has the structure of the cell's
      own, each part being that of all heads, concatenated.
    """

    @wraps(make)
    def made(hidden, *, heads, **options):
        width, rest = divmod(hidden, heads)
        if rest:
            raise InputError(
                f"heads: expected a number that divides hidden, {hidden}, got {heads}"
            )
        cell = make(width, **options)
        return cell if heads == 1 else _side_by_side(cell, heads)

    return cast(Make, made)


def _side_by_side(cell, heads) -> Cell:
    def apart(x):
        x = x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads)
        return jnp.moveaxis(x, -2, 0)

    def together(x):
        x = jnp.moveaxis(x, 0, -2)
        return x.reshape(*x.shape[:-2], heads * x.shape[-1])

    def each(run, params, state) -> Any:
        """What `run` makes of the parameters and the state of each head."""
        # Heads come first: the last two axes of a kernel's blocks have to be tiles.
        of_each = jax.vmap(run)(params, jax.tree.map(apart, state))
        return jax.tree.map(together, of_each)

    def init(key, input_size):
        keys = jax.random.split(key, heads)
        params = [cell.init(of_head, input_size) for of_head in keys]
        return jax.tree.map(lambda *x: jnp.stack(x), *params)

    def initial_state(batch_shape):
        state = cell.initial_state((heads, *batch_shape))
        return jax.tree.map(together, state)

    def step(params, state, x, noise=None):
        del noise
        return each(partial(_with, cell.step, x), params, state)

    def gates(params, state, x, noise=None):
        del noise
        return each(partial(_with, cell.gates, x), params, state)

    def sequence(walk, params, state, xs, masks, noise):
        del noise

        def run(params, state):
            return walk(cell, params, state, xs, masks, Noise())

        return each(run, params, state)

    def embed(params, vectors):
        assert cell.embed is not None
        return jax.vmap(cell.embed, in_axes=(0, None))(params, vectors)

    def all_heads(width):
        return heads * width

    return Cell(
        init,
        initial_state,
        step,
        sequence=sequence,
        embed=cell.embed and embed,
        gates=cell.gates and gates,
        output_size=jax.tree.map(all_heads, cell.output_size),
        state_size=jax.tree.map(all_heads, cell.state_size),
    )


def _with(function, x, params, state):
    return function(params, state, x)
