"""How Newton's method converges over a sequence, iteration by iteration.

    python benchmarks/convergence.py --picture docs/pictures/newton.png
    python benchmarks/convergence.py --corpus my.txt --lengths 256 16384

`jaxtext.para_gru` and `jaxtext.para_lstm` have a small Jacobian, and Newton's method
uses all of it. `jaxtext.gru` and `jaxtext.lstm` have a dense one. For these, only the
part is used in which a unit depends on its own state (quasi-Newton; Gonzalez et al.,
2024): each iteration is as cheap, but more of them are needed.

Each cell reads the text with its weights as they start, and after training on the rest
of the text. The residual after an iteration is the largest error of a step,
``max |s_t - f(s_tm1, x_t)| / max(1, |s_t|)``. The last line on standard output is one
JSON object.
"""

import jaxtext.needs_experiments

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from measuring import record
from measuring.command import chosen, command
from measuring.markdown import markdown
from measuring.pictures import save

import jaxtext as jt
from jaxtext.kernels import newton
from jaxtext.kernels.affine_scan import Matrix, Vector, transposed
from jaxtext.streams import say
from jaxtext.types import Array, Cell, Params

Name = Literal["para_gru", "para_lstm", "gru", "lstm"]
CELLS: dict[Name, Callable[..., Cell]] = {
    "para_gru": jt.para_gru,
    "para_lstm": jt.para_lstm,
    "gru": jt.gru,
    "lstm": jt.lstm,
}
DENSE = "gru", "lstm"
TOLERANCE = newton.tolerance("float32")
COLOURS = dict(zip(CELLS, ("#2f6f9f", "#c23b22", "#3a7d44", "#e0a030"), strict=True))
LINES = {"new": "--", "trained": "-"}


@dataclass(frozen=True)
class Config:
    """Count the iterations of Newton's method, and draw how it converges."""

    corpus: str = "tinyshakespeare"
    """The text to train on. The last tenth is the sequence to solve."""
    cells: tuple[Name, ...] = get_args(Name)
    """Cells."""
    hidden: int = 64
    """Width of the layer."""
    lengths: tuple[int, ...] = (64, 256, 1024, 4096)
    """Numbers of steps."""
    most: int = 256
    """Give up after so many iterations."""
    train_steps: int = 1000
    """Steps of training, 16 sequences of 64 characters each."""
    picture: Path | None = None
    """Draw the residuals and the numbers of iterations to this PNG file."""
    out: Path | None = None
    """Also write the JSON to this file."""


def measure(config: Config) -> dict[str, Any]:
    """Iterates with each cell, weights and length, and returns the residuals."""
    read = jt.text.load([config.corpus])
    text, rest = jt.text.split(read.ids, 0.1)
    symbols = jnp.asarray(np.asarray(rest[: max(config.lengths)]))
    rows = []
    for name in config.cells:
        cell = CELLS[name](config.hidden)
        new, trained, loss = train(cell, text, len(read.vocabulary), config.train_steps)
        say(f"{name}: {loss:.3f} nats a character after {config.train_steps} steps")
        for weights, params in (("new", new), ("trained", trained)):
            for length in config.lengths:
                xs = symbols[:length, None]
                found = list(residuals(cell, params, xs, config.most, name in DENSE))
                row = {"cell": name, "weights": weights, "length": len(xs)}
                row["iterations"] = len(found) if _solved(found) else None
                rows.append({**row, "residuals": found, "nats_per_char": loss})
                say(f"{name}, {weights}, {len(xs)} steps: {_told(rows[-1])}")
    if config.picture is not None:
        save(draw(rows), config.picture)
    return {
        "rows": rows,
        **chosen(config, "corpus", "hidden", "most", "train_steps"),
        **record.environment(),
    }


def train(
    cell: Cell, text: Any, symbols: int, steps: int
) -> tuple[Params, Params, float]:
    """Trains a model of one layer.

    Returns:
      The cell's parameters before and after, and the last loss.
    """
    model = jt.LanguageModel(cell, vocab_size=symbols)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
    state = jt.training.create_state(model, optimizer, jax.random.key(0), 16)
    new = jax.tree.map(np.asarray, state.params["recurrent"])
    step = jax.jit(jt.training.make_train_step(model, optimizer), donate_argnums=0)
    streams = jt.text.Streams(text, 16, 64)
    loss = float("nan")
    for k in range(steps):
        state, metrics = step(state, streams.batch(seed=0, k=k))
        loss = float(metrics.loss)
    return new, state.params["recurrent"], loss


def residuals(
    cell: Cell, params: Params, xs: Array, most: int, dense: bool
) -> Iterator[float]:
    """The residual after each iteration, until it is in the last places.

    Args:
      cell: The cell.
      params: Its parameters.
      xs: ``[T, B, D]``, or symbols ``[T, B]``.
      most: How many iterations to make at most.
      dense: Whether units see one another's states. If so, that is left out.
    """
    zero = cell.initial_state(xs.shape[1:2])
    start = tuple(jax.tree.leaves(zero))
    structure = jax.tree.structure(zero)

    def run(states):
        assert cell.step is not None
        state, _ = cell.step(params, structure.unflatten(states), xs)
        return tuple(jax.tree.leaves(state))

    tangents = own_slopes if dense else newton.linearised
    iteration = jax.jit(partial(newton.refined, run, start, tangents=tangents))
    states = jax.jit(partial(newton.first_guess, run, start, len(xs)))()
    worst = jnp.inf
    for _ in range(most):
        states, worst = iteration(states, worst)
        yield float(worst)
        if not TOLERANCE < worst < jnp.inf:  # solved, or not a number
            return


def own_slopes(f: Any, states: Vector) -> tuple[Vector, Matrix]:
    """``f(s)``, and for each unit the derivatives by its own states alone.

    As `newton.linearised`, but for an ``f`` whose units see one another. It takes as
    many products with the Jacobian as there are units.
    """
    found, along = jax.linearize(f, states)
    units = states[0].shape[-1]

    def of_unit(j, unit):
        tangent = tuple(
            jnp.zeros_like(x).at[..., unit].set(i == j) for i, x in enumerate(states)
        )
        return tuple(x[..., unit] for x in along(tangent))

    columns = [
        tuple(
            jnp.moveaxis(x, 0, -1)
            for x in jax.lax.map(partial(of_unit, j), jnp.arange(units))
        )
        for j in range(len(states))
    ]
    return found, transposed(tuple(columns))


def _solved(found):
    return bool(found) and found[-1] <= TOLERANCE


def _told(row):
    if row["iterations"] is not None:
        return f"{row['iterations']} iterations"
    return f"not solved: {row['residuals'][-1]:.1e} after {len(row['residuals'])}"


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Residuals over the longest sequence, and iterations against its length."""
    figure = Figure(figsize=(10, 4.6), dpi=120, layout="constrained")
    by_iteration, by_length = figure.subplots(1, 2)
    longest = max(row["length"] for row in rows)
    for name in CELLS:
        for weights, style in LINES.items():
            own = [r for r in rows if (r["cell"], r["weights"]) == (name, weights)]
            look = {"color": COLOURS[name], "linestyle": style, "marker": "."}
            solved = [r for r in own if r["iterations"] is not None]
            by_length.plot(
                [r["length"] for r in solved],
                [r["iterations"] for r in solved],
                label=f"{name}, {weights}",
                **look,
            )
            for row in own:
                if row["length"] == longest:
                    places = range(1, len(row["residuals"]) + 1)
                    # Float32 may come out exactly, which a logarithm cannot show.
                    shown = np.maximum(row["residuals"], 1e-9)
                    by_iteration.plot(places, shown, **look)
    by_iteration.set(
        xscale="log", yscale="log", xlabel="iteration", ylabel="largest error of a step"
    )
    by_iteration.axhline(TOLERANCE, color="black", linewidth=0.8)
    by_iteration.set_title(f"{longest:,} steps", fontsize=10)
    by_length.set(
        xscale="log", yscale="log", xlabel="steps", ylabel="iterations that it takes"
    )
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    for axis in (by_iteration, by_length):
        axis.xaxis.set_major_formatter("{x:g}")
    by_length.yaxis.set_major_formatter("{x:g}")
    return figure


def table(result: dict[str, Any]) -> str:
    """Iterations by cell, weights and length."""
    rows = result["rows"]
    lengths = sorted({row["length"] for row in rows})
    lines: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        place = row["cell"], row["weights"]
        count = row["iterations"]
        lines.setdefault(place, []).append("–" if count is None else str(count))
    heads = ["cell", "weights", *(f"{length:,} steps" for length in lengths)]
    return markdown(heads, [[*place, *counts] for place, counts in lines.items()])


main = command(Config, measure, table=table)

if __name__ == "__main__":
    sys.exit(main())
