"""Learning a task: pure functions, with many steps in one compiled call."""

from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxtext as jt
from jaxtext.types import Array, Key, Params
from recall.tasks import Task


class Protocol(NamedTuple):
    """How a task is learnt and tested.

    Attributes:
      train_sizes: Least and greatest size while training.
      test_sizes: Sizes to test, each on its own.
      steps: Updates.
      batch_size: Examples in each.
      hidden: Units of the cell.
      learning_rate: Adam's. Gradients are clipped to a norm of one, and an update that
        is not finite is left out.
      schedule: Whether the rate falls to zero by the end, in half a cosine, or stays.
      sampling: How training sizes are drawn; log-uniform: as many from 1 to 10 as from
        10 to 100.
    """

    train_sizes: tuple[int, int]
    test_sizes: tuple[int, ...]
    steps: int
    batch_size: int = 32
    hidden: int = 64
    learning_rate: float = 3e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    sampling: Literal["uniform", "log-uniform"] = "log-uniform"


class Learner(NamedTuple):
    """All that a step changes."""

    params: Params
    opt_state: optax.OptState


class Training(NamedTuple):
    """How far training has come: the learner, and the loss of each step so far."""

    learner: Learner
    losses: np.ndarray


def begin(task: Task, cell: jt.Cell, protocol: Protocol, key: Key) -> Training:
    """Makes a new network: the cell, and a matrix to answer with."""
    cell_key, output_key = jax.random.split(key)
    shape = protocol.hidden, task.output_size or 1
    params = {
        "recurrent": cell.init(cell_key, task.input_size),
        "kernel": jax.nn.initializers.lecun_normal()(output_key, shape),
        "bias": jnp.zeros(shape[1]),
    }
    opt_state = _optimizer(protocol).init(params)
    return Training(Learner(params, opt_state), np.zeros(0, np.float32))


def train(
    task: Task, cell: jt.Cell, protocol: Protocol, training: Training, key: Key
) -> Iterator[Training]:
    """Trains to the end, a hundredth at a time.

    Args:
      task: The task.
      cell: The cell.
      protocol: The protocol.
      training: Where to start. Its learner is consumed.
      key: Each step draws its own examples from it.

    Yields:
      How far training has come. The learner is consumed when the next one is asked for.
    """
    learner, before = training
    chunk = max(1, protocol.steps // 100)
    while len(before) < protocol.steps:
        steps = min(chunk, protocol.steps - len(before))
        learner, more = _learn(
            task, cell, protocol, learner, key, steps, jnp.int32(len(before))
        )
        before = np.concatenate([before, np.asarray(more)])
        yield Training(learner, before)


def outputs(cell: jt.Cell, params: Params, inputs: Array) -> Array:
    """Computes the answers after each step: ``[B, T, output_size]``, logits."""
    start = cell.initial_state(inputs.shape[:1])
    _, ys = jt.unroll(cell, params["recurrent"], start, inputs)
    return ys @ params["kernel"] + params["bias"]


def losses(task: Task, said: Array, targets: Array) -> Array:
    """Cross-entropy in nats, or the squared error of a number.

    Args:
      task: The task.
      said: ``[…, output_size]``, or ``[…, 1]`` for a number.
      targets: ``[…]``.
    """
    if not task.output_size:
        return (said[..., 0] - targets) ** 2
    return optax.softmax_cross_entropy_with_integer_labels(said, targets)


@partial(jax.jit, static_argnums=(0, 1, 4))
def score(
    task: Task, cell: jt.Cell, params: Params, key: Key, longest: int, sizes: Array
) -> Array:
    """Scores the answers to one example of each size ``[B]``.

    Returns:
      ``[B]``: the share of right answers, or the squared error.
    """
    examples = task.draw(key, sizes, longest)
    said = outputs(cell, params, examples.inputs)
    if task.output_size:
        each = (said.argmax(-1) == examples.targets).astype(jnp.float32)
    else:
        each = losses(task, said, examples.targets)
    return each.mean(1, where=examples.mask)


@partial(jax.jit, static_argnums=(0, 1, 2, 5), donate_argnums=3)
def _learn(task, cell, protocol, learner, key, steps, first):
    """Takes so many steps from step `first` on; returns the learner, and the losses."""
    longest = protocol.train_sizes[1]
    optimizer = _optimizer(protocol)

    def mean_loss(params, examples):
        said = outputs(cell, params, examples.inputs)
        return losses(task, said, examples.targets).mean(1, where=examples.mask).mean()

    def step(learner, k):
        size_key, example_key = jax.random.split(jax.random.fold_in(key, k))
        examples = task.draw(example_key, _sizes(protocol, size_key), longest)
        loss, grads = jax.value_and_grad(mean_loss)(learner.params, examples)
        updates, opt_state = optimizer.update(grads, learner.opt_state, learner.params)
        return Learner(optax.apply_updates(learner.params, updates), opt_state), loss

    return jax.lax.scan(step, learner, first + jnp.arange(steps))


def _sizes(protocol, key):
    least, longest = protocol.train_sizes
    shape = (protocol.batch_size,)
    if protocol.sampling == "uniform":
        return jax.random.randint(key, shape, least, longest + 1)
    share = jax.random.uniform(key, shape)
    sizes = least * ((longest + 1) / least) ** share
    return jnp.minimum(sizes.astype(int), longest)  # which rounding could go beyond


def _optimizer(protocol):
    rate = protocol.learning_rate
    if protocol.schedule == "cosine":
        rate = optax.cosine_decay_schedule(rate, protocol.steps)
    adam = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    return optax.apply_if_finite(adam, max_consecutive_errors=protocol.steps)
