"""How far back does a loss reach? The gradient that arrives k steps before it.

    python experiments/gradient_reach.py
    python experiments/gradient_reach.py --seed 1 --out runs/other
    python experiments/gradient_reach.py --steps 300      # sooner, and learnt less

Left: a plain RNN whose recurrent weights, an orthogonal matrix, are scaled below, at
and above one, without its tanh and with it. The gradient is multiplied by them once a
step: it vanishes, or explodes. Right: RNN, LSTM and GRU as they begin, and after they
have been trained to add two numbers among 200, as memory.py does; what it has trained
already is not trained again.

    norm at k = |∂ loss_T / ∂ state_{T-k}|, a mean over examples, relative to k = 1

The state is all that one step hands to the next: h, and of an LSTM c too. Relative, for
a network that has learnt its task has hardly any loss, and so hardly any gradient.

The picture is OUT/gradient-reach.png. The norms are printed as one JSON object where
standard output is no terminal. Exit status: 0 done, 2 bad input, or standard output
cannot be written, 130 stopped by Ctrl-C.
"""

import jaxtext.needs_experiments

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from matplotlib.figure import Figure

import jaxtext as jt
from common.few import FEW
from common.figures import COLOURS, NAMES, save
from common.flags import read
from common.screen import Screen, print_result, screen
from common.values import Directory, Seed, at_least
from jaxtext.cells.affine import affine
from jaxtext.streams import script
from jaxtext.types import Array, Params
from recall.learn import begin, losses
from recall.run import Run, trained
from recall.suite import PROBLEMS, build
from recall.tasks import TASKS, Task

Curves = dict[str, Array]

SCALES = {0.9: "#3a7d44", 1.0: "#7b5ea7", 1.1: "#d9822b"}  # and their colours
PROBLEM, EXAMPLES = "adding-200", 64


@dataclass(frozen=True)
class Config:
    """How far back does a loss reach? The gradient that arrives k steps before it."""

    seed: Seed = 0
    """Another seed draws other weights, and other texts."""
    steps: Annotated[int, at_least(FEW)] | None = None
    """Let cells learn for so many steps. Default: as memory.py does."""
    out: Directory = Path("runs/memory")
    """Where runs of memory.py are, or go, and the picture."""


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

    def step(params, h_tm1, x, noise=None):
        del noise
        h = affine(params, x, h_tm1, h_tm1.dtype)
        return h, h

    return jt.rnn(hidden)._replace(step=step, backends=())


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Measures, draws, and returns the exit status."""
    config = read(Config, argv, __doc__)
    with screen() as display:
        result = look(config, display)
    print_result(result)
    return 0


def look(config: Config, display: Screen) -> dict[str, Any]:
    """Measures, draws, and says what was found.

    Raises:
      InputError: If what was kept of a run is damaged, or of another protocol.
      OSError: If runs, or the picture, cannot be kept.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    scaled, cells = measure(config, display)
    path = config.out / "gradient-reach.png"
    save(draw(scaled, cells), path)
    norms = {name: _told(curve) for name, curve in (scaled | cells).items()}
    display.say("  norm at k, relative to k = 1")
    for name, found in norms.items():
        told = ", ".join(f"{norm:.1e} at {k}" for k, norm in found.items() if norm)
        display.say(f"  {name:<18} {told}")
    display.say(f"  picture            {path}")
    return {"norms": norms, "picture": str(path)}


def measure(config: Config, display: Screen) -> tuple[Curves, Curves]:
    """Curves ``[T]`` of the scaled plain RNN, and of the three cells."""
    problem = PROBLEMS[PROBLEM]
    task, (_, longest) = TASKS[problem.task], problem.scaled.train_sizes
    key, example_key = jax.random.split(jax.random.key(config.seed))
    examples = task.draw(example_key, jnp.full(EXAMPLES, longest), longest)
    inputs, targets = examples.inputs, examples.targets[:, -1]

    scaled, cells = {}, {}
    for kind, make in ("without tanh", linear), ("with tanh", jt.rnn):
        cell = make(problem.scaled.hidden)
        params = begin(task, cell, problem.scaled, key).learner.params
        for scale in SCALES:
            recurrent = params["recurrent"]
            kernel = scale * recurrent["recurrent_kernel"]
            recurrent = {**recurrent, "recurrent_kernel": kernel}
            scaled[f"{scale:g}, {kind}"] = reach(
                task, cell, {**params, "recurrent": recurrent}, inputs, targets
            )
    for name in problem.cells:
        protocol = problem.protocol(name)
        if config.steps is not None:
            protocol = protocol._replace(steps=config.steps)
        cell = build(name, protocol.hidden, longest)
        params = begin(task, cell, protocol, key).learner.params
        cells[f"{name}, new"] = reach(task, cell, params, inputs, targets)
        display.start(f"{name} learns", total=protocol.steps)

        def progress(done, loss):
            display.advance(done, note=f"squared error {loss:.3f}")

        run = Run(PROBLEM, name, config.seed, protocol)
        params = trained(run, config.out, progress).learner.params
        cells[f"{name}, trained"] = reach(task, cell, params, inputs, targets)
    display.stop()
    return scaled, cells


def draw(scaled: Curves, cells: Curves) -> Figure:
    """Two panels, norms on a logarithmic scale against ``k``."""
    figure = Figure(figsize=(11, 4.5), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    colours = 2 * list(SCALES.values())
    for (name, curve), colour in zip(scaled.items(), colours, strict=True):
        style = "--" if name.endswith("with tanh") else "-"
        left.plot(curve / curve[1], style, color=colour, label=name)
    left.set_title("A plain RNN, recurrent weights scaled")
    for name, curve in cells.items():
        cell, _, state = name.partition(", ")
        style, width = {"new": ("--", 1), "trained": ("-", 2)}[state]
        label = f"{NAMES[cell]}, {state}"
        right.plot(curve / curve[1], style, lw=width, color=COLOURS[cell], label=label)
    right.set_title("Cells, new and trained to add two numbers of 200")
    for axes in left, right:
        axes.set(yscale="log", xlabel="k, steps before the loss", xlim=(1, None))
        axes.grid(alpha=0.25)
        axes.legend(fontsize="small")
    left.set_ylabel("|∂ loss at T / ∂ state at T - k|, relative to k = 1")
    right.set_ylim(1e-12, 1e3)
    return figure


def _told(curve):
    norms = {k: float(curve[k] / curve[1]) for k in (1, 10, 50, 100, 199)}
    return {str(k): x if math.isfinite(x) else None for k, x in norms.items()}


if __name__ == "__main__":
    sys.exit(main())
