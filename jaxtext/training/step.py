"""One step of truncated backpropagation through time, as a pure function."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxtext.model import LanguageModel
from jaxtext.text.batches import Batch
from jaxtext.training.state import Skipped, TrainState
from jaxtext.types import Array


class Metrics(NamedTuple):
    """What one step tells about itself.

    Attributes:
      loss: Mean cross-entropy over the batch before the update, nats per symbol.
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
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Makes the pure function ``(state, batch) -> (state, metrics)``.

    ::

        L = -1/(B P) Σ log p(target | the symbols before it)
        params ← params + optimizer(∂L/∂params)

    The gradient is cut where the batch begins; the recurrent state is not (truncated
    backpropagation). A step is skipped if its loss, its gradient or the parameters it
    would lead to are not finite: it keeps the parameters, the optimizer's state and the
    carry that it was given, and only counts. So a state never holds such parameters.

    Args:
      model: The model.
      optimizer: Any Optax transformation.
      axis_name: The mapped axis that the batch is spread over, if it is: gradient and
        loss are added up over it, and divided by all the symbols that were predicted.
      slices: How many parts of the batch to go through one after the other, adding up
        their gradients: the same step in a fraction of the memory. Divides the batch.

    Returns:
      The step. It is not compiled: wrap it in ``jax.jit``, or see
      `jaxtext.training.data_parallel`.

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
    """

    def loss_fn(params, carry, key, batch, streams):
        targets = batch.targets.astype(jnp.int32)
        carry, logits = model.apply(
            {"params": params},
            carry,
            batch.inputs.astype(jnp.int32),
            resets=batch.resets,
            streams=streams,
            last=targets.shape[1],
            rngs={"dropout": key},
        )
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        return loss.sum(), carry

    def gradient(params, carry, key, batch):
        """Summed loss, its gradient, and the carry after the batch, slice by slice."""
        streams = jnp.arange(batch.inputs.shape[0])
        if axis_name is not None:
            streams += jax.lax.axis_index(axis_name) * streams.size

        def of_slice(total, part):
            carry, batch, streams = part
            value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
            (loss, carry), grads = value_and_grad(params, carry, key, batch, streams)
            return jax.tree.map(jnp.add, total, (loss, grads)), carry

        zero = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
        parts = jax.tree.map(
            lambda x: x.reshape(slices, x.shape[0] // slices, *x.shape[1:]),
            (carry, batch, streams),
        )
        total, carry = jax.lax.scan(of_slice, zero, parts)
        return total, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), carry)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        total, carry = gradient(state.params, state.carry, key, batch)
        predicted = batch.targets.size
        if axis_name is not None:
            total, predicted = jax.lax.psum((total, predicted), axis_name)
        loss, grads = jax.tree.map(lambda x: x / predicted, total)
        norm = optax.tree.norm(grads)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        finite &= jnp.isfinite(optax.tree.norm(params))

        bad = 1 - finite.astype(jnp.int32)
        in_a_row, in_all = state.skipped
        skipped = Skipped(bad * (in_a_row + 1), in_all + bad)
        after = state._replace(params=params, opt_state=opt_state, carry=carry)
        after = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state)
        after = after._replace(step=state.step + 1, skipped=skipped)
        return after, Metrics(loss, norm, skipped)

    return train_step
