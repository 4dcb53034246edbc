"""The state of training, as one pytree."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxtext.checks import fitted
from jaxtext.errors import InputError
from jaxtext.floats import accumulation_dtype
from jaxtext.keys import typed_key
from jaxtext.model import LanguageModel
from jaxtext.of_model import a_model
from jaxtext.quantities import count, shown
from jaxtext.types import Array, Key, Params, State


class Skipped(NamedTuple):
    """Counts of skipped steps, int32. A step is skipped if it is not finite.

    Attributes:
      in_a_row: The steps skipped in a row, up to the last step; 0 if the last step was
        not skipped.
      in_all: The steps skipped since training began.
    """

    in_a_row: Array
    in_all: Array


class TrainState(NamedTuple):
    """The whole state of training, which a checkpoint holds.

    Attributes:
      params: The model's parameters.
      opt_state: The optimizer's state.
      carry: The recurrent state ``[B, …]`` after the last batch, with which the next
        one starts.
      key: The key for noise. It never changes: step ``k`` uses ``fold_in(key, k)``.
      step: The number of steps taken, int32. It also determines the next batch.
      skipped: How many steps were skipped.
      average: A moving average of the parameters, to predict with, in float32 or wider.
        ``()`` if none is kept.
    """

    params: Params
    opt_state: optax.OptState
    carry: State
    key: Key
    step: Array
    skipped: Skipped
    average: Params = ()


def keeps_average(state: TrainState) -> bool:
    """Whether a state has a moving average of the parameters."""
    return bool(jax.tree.leaves(state.average))


def predicting(state: TrainState) -> Params:
    """The parameters to predict with: the moving average, if the state has one."""
    return state.average if keeps_average(state) else state.params


@jax.jit
def copied(tree: Any) -> Any:
    """Copies of arrays, by one program and not by one for each of their shapes."""
    return jax.tree.map(jnp.copy, tree)


def create_state(
    model: LanguageModel,
    optimizer: optax.GradientTransformation,
    key: Key,
    batch_size: int,
    *,
    params: Params | None = None,
    average: bool = False,
) -> TrainState:
    """Creates the state to start training with.

    Args:
      model: The model.
      optimizer: Any Optax transformation.
      key: The key for parameters and noise.
      batch_size: ``B``, the number of streams.
      params: Parameters to start from, such as those of another run. Default: new ones.
      average: Whether to keep a moving average of the parameters, which starts as a
        copy of them. Give `make_train_step` an ``average_decay`` then.

    Returns:
      The state.

    Raises:
      InputError: If `batch_size` is below 1, `key` is not a key, or `params` do not fit
        the model.

    Example:
      >>> import jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=65)
      >>> state = create_state(model, optax.adam(1e-3), jax.random.key(0), 4)
      >>> state.carry.shape, int(state.step)
      ((4, 8), 0)
    """
    batch_size = count("batch_size", batch_size)
    a_model(model)
    if not hasattr(optimizer, "init"):
        raise InputError(
            "optimizer: expected an Optax transformation such as optax.adam(1e-3), got "
            f"{shown(optimizer)}"
        )
    init_key, noise_key = jax.random.split(typed_key(key))
    carry = model.initial_state((batch_size,))
    ids = jnp.zeros((batch_size, 1), jnp.int32)
    new = partial(model.init, init_key, carry, ids)
    if params is None:
        start: Params = new()["params"]
    else:
        start = fitted("params", jax.eval_shape(new)["params"], params, cast=False)
    opt_state = optimizer.init(start)
    # Three separate arrays, because a step that donates its state donates each.
    step, in_a_row, in_all = (jnp.zeros((), jnp.int32) for _ in range(3))
    skipped = Skipped(in_a_row, in_all)
    state = TrainState(start, opt_state, carry, noise_key, step, skipped)
    if not average:
        return state

    def begin(x: Array) -> Array:
        # In bfloat16, updates with a decay near 1 would round to nothing.
        return jnp.array(x, accumulation_dtype(x.dtype))

    return state._replace(average=jax.tree.map(begin, start))
