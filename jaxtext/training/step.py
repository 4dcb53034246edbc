"""One step of truncated backpropagation through time, as a pure function."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.quantities import count, fraction
from jaxtext.text.batches import Batch
from jaxtext.training.objective import make_objective
from jaxtext.training.state import Skipped, TrainState, keeps_average
from jaxtext.types import Array, Params


class Metrics(NamedTuple):
    """What one step tells about itself.

    Attributes:
      loss: Mean cross-entropy over the batch before the update, nats per symbol; never
        smoothed.
      gradient_norm: Global norm of the gradient, before any clipping.
      skipped: How many steps were skipped up to and with this one.
    """

    loss: Array
    gradient_norm: Array
    skipped: Skipped


def make_train_step(
    model: LanguageModel,
    optimizer: optax.GradientTransformation,
    *,
    axis_name: str | None = None,
    slices: int = 1,
    average_decay: float = 0.0,
    label_smoothing: float = 0.0,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Makes the pure function ``(state, batch) -> (state, metrics)``.

    ::

        L = -1/(B P) Σ log p(target | the symbols before it)
        params ← params + optimizer(∂L/∂params)

    With ``label_smoothing`` ε the gradient is that of L', whose targets are spread over
    all V symbols a little; L is told nevertheless. With an ``average_decay`` the
    state's `average` follows its parameters, and no step depends on it::

        L' = (1 - ε) L - ε/(B P V) Σ Σ_v log p(v | the symbols before it)
        average ← d average + (1 - d) params,   d = min(decay, (1 + t)/(10 + t))

    where t are the steps taken, this one included: a young average forgets sooner what
    it began as.

    The gradient is cut where the batch begins; the recurrent state is not (truncated
    backpropagation). A step is skipped if its loss, its gradient or the parameters it
    would lead to are not finite: it keeps the parameters, their average, the
    optimizer's state and the carry that it was given, and only counts. So a state never
    holds such parameters.

    Args:
      model: The model.
      optimizer: Any Optax transformation. If its update takes more than gradient, state
        and parameters, it gets: ``value``, L (L' with smoothing), ``grad``, its
        gradient, and ``value_fn``, a function of parameters that reads this batch again
        from the same carry and with the same noise; all three of the whole batch. One
        that wants more, as ``sophia`` does, raises its own error. A step that is
        skipped is none to the optimizer: ``apply_if_finite`` counts nothing.
      axis_name: The mapped axis that the batch is spread over, if it is: gradient and
        loss are added up over it, and divided by all the symbols that were predicted.
      slices: How many parts of the batch to go through one after the other, adding up
        their gradients: the same step in a fraction of the memory. Divides the batch.
      average_decay: Of the average, below 1; 0 for states that keep none.
      label_smoothing: ε, at least 0 and below 1.

    Returns:
      The step. It is not compiled: wrap it in ``jax.jit``, or see
      `jaxtext.training.data_parallel`. It raises `InputError` for a state that keeps an
      average without a decay, or none with one.

    Raises:
      InputError: If a number is out of range.

    Example:
      >>> import jaxtext as jt, numpy as np
      >>> model = jt.LanguageModel(jt.lstm(16), vocab_size=3)
      >>> optimizer = optax.adam(1e-2)
      >>> state = jt.training.create_state(model, optimizer, jax.random.key(0), 2)
      >>> batch = jt.text.Streams(np.arange(99) % 3, 2, 8).batch(seed=0, k=0)
      >>> state, metrics = make_train_step(model, optimizer)(state, batch)
      >>> int(state.step), int(metrics.skipped.in_all)
      (1, 0)

    References:
      Williams and Peng, "An efficient gradient-based algorithm for on-line training
      of recurrent network trajectories", 1990.

      Kingma and Ba, "Adam: a method for stochastic optimization", 2015, section 7.2
      (the exponential average), after Polyak and Juditsky, "Acceleration of stochastic
      approximation by averaging", 1992.

      Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016
      (label smoothing).
    """
    average_decay = fraction("average_decay", average_decay)
    label_smoothing = fraction("label_smoothing", label_smoothing)
    slices = count("slices", slices)

    objective = make_objective(
        model, axis_name=axis_name, slices=slices, label_smoothing=label_smoothing
    )

    def averaged(state, params):
        if not average_decay:
            return state.average
        t = state.step + 1
        d = jnp.minimum(average_decay, (1 + t) / (10 + t))
        return jax.tree.map(lambda a, p: a + (1 - d) * (p - a), state.average, params)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        if keeps_average(state) != bool(average_decay):
            raise InputError(
                f"a step with average_decay {average_decay} takes a state made with "
                f"create_state(average={bool(average_decay)})"
            )
        if batch.inputs.shape[0] % slices:
            raise InputError(
                f"slices: expected a divisor of the batch of {batch.inputs.shape[0]} "
                f"on each device, got {slices}"
            )
        key = jax.random.fold_in(state.key, state.step)
        read = state.carry, key, batch
        losses, grads, carry = objective.gradient(state.params, *read)
        loss, norm = losses.cross_entropy, optax.tree.norm(grads)

        def value_fn(params: Params) -> Array:
            return objective.value(params, *read)

        updates, opt_state = _update(
            optimizer,
            (grads, state.opt_state, state.params),
            {"value": losses.objective, "grad": grads, "value_fn": value_fn},
        )
        params = optax.apply_updates(state.params, updates)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        finite &= jnp.isfinite(optax.tree.norm(params))

        bad = 1 - finite.astype(jnp.int32)
        in_a_row, in_all = state.skipped
        skipped = Skipped(bad * (in_a_row + 1), in_all + bad)
        average = averaged(state, params)
        after = state._replace(
            params=params, opt_state=opt_state, carry=carry, average=average
        )
        after = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state)
        after = after._replace(step=state.step + 1, skipped=skipped)
        return after, Metrics(loss, norm, skipped)

    return train_step


def _update(optimizer, operands, extra):
    """What an optimizer makes of a gradient, told of `extra` what its update takes.

    Not by ``optax.with_extra_args_support``, which goes by the type: ``MultiSteps``
    takes more than its type says, ``optax.contrib.sam`` less.
    """
    takes = inspect.signature(optimizer.update).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        extra = {name: x for name, x in extra.items() if name in takes}
    try:
        return optimizer.update(*operands, **extra)
    except (TypeError, ValueError) as error:
        error.add_note(
            "beside gradient, state and params, an optimizer is told value, grad and "
            "value_fn; one that wants more has to be trained by a step of your own"
        )
        raise
