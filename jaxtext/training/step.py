"""A step of truncated backpropagation through time, as a pure function."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.of_model import a_model
from jaxtext.quantities import count, fraction, shown
from jaxtext.text.batches import Batch
from jaxtext.training.objective import a_batch, make_objective
from jaxtext.training.state import Skipped, TrainState, keeps_average
from jaxtext.types import Array, Params


class Metrics(NamedTuple):
    """The metrics of one step.

    Attributes:
      loss: The mean cross-entropy over the batch, before the update and without label
        smoothing, in nats per symbol.
      gradient_norm: The global norm of the gradient, before any clipping.
      skipped: How many steps were skipped, this one included.
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

        L = -1/N Σ log p(target | the symbols before it)
        params ← params + optimizer(∂L/∂params)

    The sum is over the ``N`` targets of the batch: all ``B P``, or with ``lengths``
    those that are valid. With ``label_smoothing`` ε the gradient is that of L', but the
    metrics still report L. With an ``average_decay`` the state's `average` follows the
    parameters; no step depends on it::

        L' = (1 - ε) L - ε/(N V) Σ Σ_v log p(v | the symbols before it)
        average ← d average + (1 - d) params,   d = min(decay, (1 + t)/(10 + t))

    where ``t`` counts the steps, this one included. So the decay is smaller at first,
    and the average soon forgets the initial parameters.

    The recurrent state is carried from batch to batch; the gradient is not (truncated
    backpropagation). A step is skipped if the loss, the gradient or the new parameters
    are not finite, as in a batch without a valid target. A skipped step is counted and
    changes nothing else in the state, so the parameters of a state are always finite.

    Args:
      model: The model.
      optimizer: Any Optax transformation. If its update accepts extra arguments, it
        gets ``value``, which is L (L' with smoothing), ``grad``, its gradient, and
        ``value_fn``, a function of the parameters that reads this batch again from the
        same carry and with the same noise. All three are of the whole batch. A
        transformation that needs other arguments, such as ``sophia``, raises an error.
        The optimizer does not see skipped steps, so ``apply_if_finite`` counts none.
      axis_name: The mapped axis that the batch is divided over. Losses, gradients and
        ``N`` are summed over it. ``None``: the batch is not divided.
      slices: In how many parts to process the batch, one after the other. The step is
        the same and takes a fraction of the memory. It must divide the batch size.
      average_decay: The decay of the average, at least 0 and below 1. 0 is for states
        without an average.
      label_smoothing: ε, at least 0 and below 1.

    Returns:
      The step. It is not compiled: wrap it in ``jax.jit``, or use
      `jaxtext.training.data_parallel`. It raises `InputError` if only one of state and
      step has an average.

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
        a_model(model),
        axis_name=axis_name,
        slices=slices,
        label_smoothing=label_smoothing,
    )

    def averaged(state, params):
        if not average_decay:
            return state.average
        t = state.step + 1
        d = jnp.minimum(average_decay, (1 + t) / (10 + t))
        return jax.tree.map(lambda a, p: a + (1 - d) * (p - a), state.average, params)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        if not isinstance(state, TrainState):
            raise InputError(
                "state: expected a TrainState from jt.training.create_state, got "
                f"{shown(state)}"
            )
        a_batch(batch)
        if keeps_average(state) != bool(average_decay):
            raise InputError(
                f"state: average_decay={average_decay} needs a state from "
                f"create_state(average={bool(average_decay)}), got another"
            )
        if batch.inputs.shape[0] % slices:
            raise InputError(
                f"slices: expected a divisor of the batch of {batch.inputs.shape[0]} "
                f"on each device, got {slices}"
            )
        key = jax.random.fold_in(state.key, state.step)
        read = state.carry, key, batch
        # Traces of the device show its operations by these names.
        with jax.named_scope("gradient"):
            losses, grads, carry = objective.gradient(state.params, *read)
        loss, norm = losses.cross_entropy, optax.tree.norm(grads)

        def value_fn(params: Params) -> Array:
            return objective.value(params, *read)

        with jax.named_scope("update"):
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
    """Calls an optimizer's update with those extra arguments that it accepts.

    ``optax.with_extra_args_support`` would go by the type of the optimizer. That is not
    enough: ``MultiSteps`` accepts more than its type says, ``optax.contrib.sam`` less.
    """
    takes = inspect.signature(optimizer.update).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        extra = {name: x for name, x in extra.items() if name in takes}
    try:
        return optimizer.update(*operands, **extra)
    except (AttributeError, TypeError, ValueError) as error:
        *_, state, params = operands
        made = jax.tree.structure(jax.eval_shape(optimizer.init, params))
        if jax.tree.structure(state) != made:
            raise InputError(
                "state.opt_state: expected what this optimizer's init makes, got that "
                "of another; give create_state and the step the same optimizer"
            ) from error
        error.add_note(
            "jaxtext passes an optimizer value, grad and value_fn, beside gradient, "
            "state and params; one that needs more arguments needs your own train step"
        )
        raise
