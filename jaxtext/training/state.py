"""Everything that a step of training changes, as one pytree."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxtext.keys import typed_key
from jaxtext.model import LanguageModel
from jaxtext.quantities import count
from jaxtext.types import Array, Key, Params, State


class Skipped(NamedTuple):
    """Steps that changed nothing, since something in them was not finite, int32.

    Attributes:
      in_a_row: Up to the last step; 0 if that was taken.
      in_all: Since the run began.
    """

    in_a_row: Array
    in_all: Array


class TrainState(NamedTuple):
    """The whole state of a training run: what a checkpoint holds.

    Attributes:
      params: The model's parameters.
      opt_state: The optimizer's state.
      carry: The recurrent state ``[B, …]`` that one batch hands to the next.
      key: The key that each step derives its noise from, ``fold_in(key, step)``; it
        never changes.
      step: Steps taken, int32; the position in the data is a function of it.
      skipped: How many of them were skipped.
      average: A moving average of the parameters, to predict with, in float32 at least;
        ``()`` where none is kept.
    """

    params: Params
    opt_state: optax.OptState
    carry: State
    key: Key
    step: Array
    skipped: Skipped
    average: Params = ()


def keeps_average(state: TrainState) -> bool:
    """Whether a moving average of the parameters is part of a state."""
    return bool(jax.tree.leaves(state.average))


def predicting(state: TrainState) -> Params:
    """The parameters to predict with: their average, if one is kept."""
    return state.average if keeps_average(state) else state.params


def create_state(
    model: LanguageModel,
    optimizer: optax.GradientTransformation,
    key: Key,
    batch_size: int,
    *,
    average: bool = False,
) -> TrainState:
    """Makes the state that training starts from.

    Args:
      model: The model.
      optimizer: Any Optax transformation.
      key: What parameters and noise are drawn from.
      batch_size: ``B``, the number of streams.
      average: Keep a moving average of the parameters, for a step that has a decay for
        it. It begins as the parameters.

    Example:
      >>> import jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=65)
      >>> state = create_state(model, optax.adam(1e-3), jax.random.key(0), 4)
      >>> state.carry.shape, int(state.step)
      ((4, 8), 0)
    """
    batch_size = count("batch_size", batch_size)
    init_key, noise_key = jax.random.split(typed_key(key))
    carry = model.initial_state((batch_size,))
    ids = jnp.zeros((batch_size, 1), jnp.int32)
    params = model.init(init_key, carry, ids)["params"]
    opt_state = optimizer.init(params)
    # Three arrays, not one three times: a step takes each for its own.
    step, in_a_row, in_all = (jnp.zeros((), jnp.int32) for _ in range(3))
    skipped = Skipped(in_a_row, in_all)
    state = TrainState(params, opt_state, carry, noise_key, step, skipped)
    if not average:
        return state

    def begin(x: Array) -> Array:
        # Of bfloat16 a decay near 1 would leave nothing to add.
        return jnp.array(x, jnp.promote_types(x.dtype, jnp.float32))

    return state._replace(average=jax.tree.map(begin, params))
