"""How far back a loss reaches: the gradient of each state that led to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import jax
import jax.numpy as jnp

import jaxtext as jt
from common.screen import Screen
from jaxtext.cells.affine import affine
from jaxtext.types import Array, Params
from recall.learn import begin, losses
from recall.run import Run, trained
from recall.suite import PROBLEMS, build
from recall.tasks import TASKS, Task

Curves: TypeAlias = dict[str, Array]  # [T] each, by what they are of

PROBLEM, EXAMPLES = "adding-200", 64


def reach(
    task: Task, cell: jt.Cell, params: Params, inputs: Array, targets: Array
) -> Array:
    """The gradient of the loss after the last step, with respect to each state.

    Args:
      task: What the network is for.
      cell: One that has a step, and whose output is its hidden state.
      params: A network's, as `recall.learn.begin` makes them.
      inputs: ``[B, T, …]``.
      targets: ``[B]``, what is to be answered after the last of them.

    Returns:
      ``[T]``: the mean over examples of ``|∂ loss_T / ∂ state_{T-k}|``, k = 0 … T - 1.
    """
    assert cell.step is not None
    one_step = cell.step
    batch, length = inputs.shape[:2]
    start = cell.initial_state((batch,))

    def loss(nudges):
        """What it would be if each state were nudged a little."""

        def step(state, at):
            x, nudge = at
            state, _ = one_step(params["recurrent"], state, x)
            return jax.tree.map(jnp.add, state, nudge), None

        state, _ = jax.lax.scan(step, start, (jnp.swapaxes(inputs, 0, 1), nudges))
        h = state.h if isinstance(state, jt.LSTMState) else state
        said = h @ params["kernel"] + params["bias"]
        return losses(task, said, targets).sum()

    nudges = jax.tree.map(lambda x: jnp.zeros((length, *x.shape), x.dtype), start)
    parts = jax.tree.leaves(jax.grad(loss)(nudges))
    norms = jnp.sqrt(sum((part**2).sum(-1) for part in parts))
    return norms.mean(1)[::-1]


def linear(hidden: int) -> jt.Cell:
    """A plain RNN without its tanh: ``h_t = x_t W + h_tm1 U + b``."""

    def step(params, state, x, noise=None):
        del noise
        h = affine(params, x, state, state.dtype)
        return h, h

    return jt.with_step(jt.rnn(hidden), step)


def scaled_curves(seed: int, scales: Sequence[float]) -> Curves:
    """Curves of a plain RNN whose recurrent weights are scaled, with and without tanh.

    Args:
      seed: Of weights and examples.
      scales: What the weights, an orthogonal matrix, are multiplied by.
    """
    task, inputs, targets, key = _examples(seed)
    protocol, curves = PROBLEMS[PROBLEM].scaled, {}
    for kind, make in ("without tanh", linear), ("with tanh", jt.rnn):
        cell = make(protocol.hidden)
        params = begin(task, cell, protocol, key).learner.params
        for scale in scales:
            recurrent = params["recurrent"]
            kernel = scale * recurrent["recurrent_kernel"]
            recurrent = {**recurrent, "recurrent_kernel": kernel}
            curves[f"{scale:g}, {kind}"] = reach(
                task, cell, {**params, "recurrent": recurrent}, inputs, targets
            )
    return curves


def cell_curves(seed: int, steps: int | None, out: Path, display: Screen) -> Curves:
    """Curves of the cells, new and trained.

    Args:
      seed: Of weights and examples.
      steps: Train for so many; ``None``: as the problem's protocol does.
      out: Where runs of ``memory.py`` are, or go.
      display: Shows the training.
    """
    task, inputs, targets, key = _examples(seed)
    problem, curves = PROBLEMS[PROBLEM], {}
    for name in problem.cells:
        protocol = problem.protocol(name)
        if steps is not None:
            protocol = protocol._replace(steps=steps)
        cell = build(name, protocol.hidden, protocol.train_sizes[1])
        params = begin(task, cell, protocol, key).learner.params
        curves[f"{name}, new"] = reach(task, cell, params, inputs, targets)
        display.start(f"{name} learns", total=protocol.steps)

        def progress(done, loss):
            display.advance(done, note=f"squared error {loss:.3f}")

        run = Run(PROBLEM, name, seed, protocol)
        params = trained(run, out, progress).learner.params
        curves[f"{name}, trained"] = reach(task, cell, params, inputs, targets)
    display.stop()
    return curves


def _examples(seed):
    """The task, inputs and last targets of some examples, and a key for weights."""
    problem = PROBLEMS[PROBLEM]
    task, (_, longest) = TASKS[problem.task], problem.scaled.train_sizes
    key, example_key = jax.random.split(jax.random.key(seed))
    examples = task.draw(example_key, jnp.full(EXAMPLES, longest), longest)
    return task, examples.inputs, examples.targets[:, -1], key
