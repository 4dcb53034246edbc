"""The training objective: the loss of a batch, and its gradient."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxtext.errors import InputError
from jaxtext.kernels.cross_entropy import of_logits
from jaxtext.model import LanguageModel
from jaxtext.quantities import shown
from jaxtext.text.batches import Batch
from jaxtext.types import Array, Key, Params, State


class Losses(NamedTuple):
    """Two means over the valid targets of a batch, in nats per symbol.

    Attributes:
      objective: The loss with label smoothing, of which the gradient is taken.
      cross_entropy: The loss without label smoothing.
    """

    objective: Array
    cross_entropy: Array


class Objective(NamedTuple):
    """The loss of a batch as a function of the parameters.

    Both functions take ``(params, carry, key, batch)``. If the batch is divided over
    devices, each device passes its own rows, and all get the result for the whole
    batch.

    Attributes:
      gradient: ``-> (losses, gradient, carry)``: `Losses`, the gradient of the
        objective, and the carry after the batch.
      value: ``-> objective``. Its derivative is the same gradient, in forward and in
        reverse mode, so code that differentiates it need not know about devices.
    """

    gradient: Callable[[Params, State, Key, Batch], tuple[Losses, Params, State]]
    value: Callable[[Params, State, Key, Batch], Array]


def valid_targets(batch: Batch) -> Array | None:
    """Which targets of a batch are valid, ``[B, P]``; ``None`` if all are."""
    if batch.lengths is None:
        return None
    (_, steps), (_, predicted) = batch.inputs.shape, batch.targets.shape
    places = steps - predicted + jnp.arange(predicted)
    return places[None, :] < jnp.asarray(batch.lengths)[:, None]


def count_targets(batch: Batch) -> int | Array:
    """The number of valid targets of a batch."""
    valid = valid_targets(batch)
    return batch.targets.size if valid is None else valid.sum()


def a_batch(batch: Any) -> Batch:
    """Checks that the argument has the fields of a `Batch`.

    Raises:
      InputError: If it has not.
    """
    if not all(hasattr(batch, name) for name in Batch._fields):
        raise InputError(
            "batch: expected a Batch, such as jt.text.Streams(ids, 8, 64).batch(0, 0), "
            f"got {shown(batch)}"
        )
    return batch


def read(
    model: LanguageModel, params: Params, carry: State, batch: Batch, **noise: Any
) -> tuple[State, Array]:
    """Reads a batch and compares the predictions with its targets.

    Args:
      model: The model.
      params: Its parameters.
      carry: The recurrent state before the batch.
      batch: The batch.
      **noise: ``streams`` and ``rngs``, as for `jaxtext.LanguageModel`.

    Returns:
      The recurrent state after the batch, and the losses ``[B, P]``, ``-log p`` of each
      target. In the padding the losses mean nothing.
    """
    return model.apply(
        {"params": params},
        carry,
        batch.inputs.astype(jnp.int32),
        _symbols(batch),
        lengths=batch.lengths,
        resets=batch.resets,
        method="losses",
        **noise,
    )


def _read_smoothed(model, params, carry, batch, smoothing, **noise):
    """The same with the mean of the losses of all symbols, ``[B, P]``, mixed in."""
    targets = _symbols(batch)
    carry, logits = model.apply(
        {"params": params},
        carry,
        batch.inputs.astype(jnp.int32),
        lengths=batch.lengths,
        resets=batch.resets,
        last=targets.shape[1],
        **noise,
    )
    losses, _ = of_logits(logits, targets)
    uniform = -jax.nn.log_softmax(logits).mean(-1)
    return carry, losses, (1 - smoothing) * losses + smoothing * uniform


def _symbols(batch):
    """The targets; padding may hold integers that are not symbols."""
    targets, valid = batch.targets.astype(jnp.int32), valid_targets(batch)
    return targets if valid is None else jnp.where(valid, targets, 0)


def make_objective(
    model: LanguageModel,
    *,
    axis_name: str | None = None,
    slices: int = 1,
    label_smoothing: float = 0.0,
) -> Objective:
    """Makes the objective of `jaxtext.training.make_train_step`.

    Args:
      model: The model.
      axis_name: As for `make_train_step`.
      slices: As for `make_train_step`.
      label_smoothing: As for `make_train_step`.

    Returns:
      The objective.

    Example:
      >>> import jaxtext as jt, numpy as np
      >>> model = jt.LanguageModel(jt.gru(4), vocab_size=3)
      >>> state = jt.training.create_state(model, optax.sgd(1), jax.random.key(0), 2)
      >>> batch = jt.text.Streams(np.arange(99) % 3, 2, 8).batch(seed=0, k=0)
      >>> objective = make_objective(model)
      >>> losses, _, _ = objective.gradient(state.params, state.carry, state.key, batch)
      >>> value = objective.value(state.params, state.carry, state.key, batch)
      >>> bool(jnp.isclose(value, losses.objective))
      True
    """

    def sums(params, carry, key, batch, streams):
        noise = {"streams": streams, "rngs": {"dropout": key}}
        if label_smoothing:
            carry, losses, smoothed = _read_smoothed(
                model, params, carry, batch, label_smoothing, **noise
            )
        else:
            carry, losses = read(model, params, carry, batch, **noise)
            smoothed = losses
        valid = valid_targets(batch)
        total = jnp.sum(losses, where=valid)
        objective = jnp.sum(smoothed, where=valid)
        return objective, (Losses(objective, total), carry)

    def mean(of_slice, zero, carry, batch):
        """Adds up over slices and devices, and divides by the valid targets."""
        streams = jnp.arange(batch.inputs.shape[0])
        if axis_name is not None:
            streams += jax.lax.axis_index(axis_name) * streams.size

        def add(total, part):
            found, carry = of_slice(*part)
            return jax.tree.map(jnp.add, total, found), carry

        parts = jax.tree.map(
            lambda x: x.reshape(slices, x.shape[0] // slices, *x.shape[1:]),
            (carry, batch, streams),
        )
        total, carry = jax.lax.scan(add, zero, parts)
        predicted = count_targets(batch)
        if axis_name is not None:
            total, predicted = jax.lax.psum((total, predicted), axis_name)
        carry = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), carry)
        return jax.tree.map(lambda x: x / predicted, total), carry

    def gradient(params, carry, key, batch):
        def of_slice(carry, batch, streams):
            grad = jax.grad(sums, has_aux=True)
            grads, (losses, carry) = grad(params, carry, key, batch, streams)
            return (losses, grads), carry

        nothing = Losses(jnp.zeros(()), jnp.zeros(()))
        zero = nothing, jax.tree.map(jnp.zeros_like, params)
        (losses, grads), carry = mean(of_slice, zero, carry, batch)
        return losses, grads, carry

    def value(params, carry, key, batch):
        def of_slice(carry, batch, streams):
            objective, (_, carry) = sums(params, carry, key, batch, streams)
            return objective, carry

        @jax.custom_jvp
        def of_params(params):
            return mean(of_slice, jnp.zeros(()), carry, batch)[0]

        @of_params.defjvp
        def _(primals, tangents):
            # JAX would differentiate the sum over devices as a sum of separate losses.
            (params,), (moved,) = primals, tangents
            losses, grads, _ = gradient(params, carry, key, batch)
            slope = jnp.asarray(optax.tree.vdot(grads, moved))
            return losses.objective, slope.astype(losses.objective.dtype)

        return of_params(params)

    return Objective(gradient, value)
