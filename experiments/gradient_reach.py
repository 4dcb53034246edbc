"""How far back does a loss reach? The gradient that arrives k steps before it.

    python experiments/gradient_reach.py
    python experiments/gradient_reach.py --seed 1 --out runs/other
    python experiments/gradient_reach.py --steps 300      # sooner, and learnt less

Left: a plain RNN whose recurrent weights, an orthogonal matrix, are scaled below, at
and above one, without its tanh and with it. The gradient is multiplied by them once a
step: it vanishes, or explodes. Right: RNN, LSTM and GRU before training, and after they
have learnt to add two numbers among 200 as in memory.py. Runs that memory.py has
trained already are not trained again.

    norm at k = |∂ loss_T / ∂ state_{T-k}|, a mean over examples, relative to k = 1

The state is everything that one step hands to the next: h, and in an LSTM c too. Norms
are relative because a network that has learnt its task has almost no loss, and so
almost no gradient.

The picture is OUT/gradient-reach.png. The norms are printed as one JSON object if
standard output is not a terminal. Exit status: 0 done, 2 bad input, or standard output
cannot be written, 130 stopped by Ctrl-C.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from matplotlib.figure import Figure

from common.few import FEW
from common.figures import COLOURS, NAMES, save
from common.flags import read
from common.programs import Keeping, keep_programs
from common.screen import Screen, print_result, screen
from common.script import script
from common.values import Directory, Seed, at_least
from recall.reach import Curves, cell_curves, scaled_curves

SCALES = {0.9: "#3a7d44", 1.0: "#7b5ea7", 1.1: "#d9822b"}  # and their colours


@dataclass(frozen=True)
class Config(Keeping):
    """How far back does a loss reach? The gradient that arrives k steps before it."""

    seed: Seed = 0
    """Another seed draws other weights, and other texts."""
    steps: Annotated[int, at_least(FEW)] | None = None
    """Train cells for so many steps. Default: as memory.py does."""
    out: Directory = Path("runs/memory")
    """Directory of the picture, and of the runs of memory.py."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Measures, draws, and returns the exit status."""
    config = read(Config, argv, __doc__)
    keep_programs(config.compilation_cache)
    with screen() as display:
        result = look(config, display)
    print_result(result)
    return 0


def look(config: Config, display: Screen) -> dict[str, Any]:
    """Measures, draws, and prints the norms.

    Raises:
      InputError: If a saved run is damaged, or has another protocol.
      OSError: If runs, or the picture, cannot be written.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    scaled = scaled_curves(config.seed, list(SCALES))
    cells = cell_curves(config.seed, config.steps, config.out, display)
    path = config.out / "gradient-reach.png"
    save(draw(scaled, cells), path)
    norms = {name: _told(curve) for name, curve in (scaled | cells).items()}
    display.say("  norm at k, relative to k = 1")
    for name, found in norms.items():
        told = ", ".join(f"{norm:.1e} at {k}" for k, norm in found.items() if norm)
        display.say(f"  {name:<18} {told}")
    display.say(f"  picture            {path}")
    return {"norms": norms, "picture": str(path)}


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
