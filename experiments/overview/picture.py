"""The curves of many runs in one picture."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from charlm.curve import TRAINING, VALIDATION, label_axes
from overview.differing import differing, labels
from overview.seen import Seen

FEW = 10  # groups of runs that colours can tell apart
NAMED = 12  # names that a legend has at most
_LONGEST = 34  # characters of a name in the legend


def draw(runs: Sequence[Seen]) -> Figure:
    """Draws the validation loss of each run, or its training loss if it has no other.

    Runs that differ in nothing but their seed have one colour and one name. Up to `FEW`
    groups have colours of their own. More have the colours of their ranks, from dark,
    the best, to light, and the best and the worst are named.
    """
    drawn = [run for run in runs if run.curves]
    figure = Figure(figsize=(10, 5.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    groups = _groups(drawn)
    few = len(groups) <= FEW
    named = _named(list(groups))
    scale = colormaps["viridis"]
    for rank, (name, of) in enumerate(groups.items()):
        place = rank / max(1, len(groups) - 1)
        colour = f"C{rank}" if few else scale(0.92 * place)
        label = _legend(name, len(of)) if name in named else None
        for run in of:
            if few and VALIDATION in run.curves and TRAINING in run.curves:
                xs, ys = zip(*run.curves[TRAINING], strict=True)
                axes.plot(xs, ys, color=colour, linewidth=0.6, alpha=0.25)
            points = run.curves.get(VALIDATION) or run.curves[TRAINING]
            xs, ys = zip(*points, strict=True)
            style: dict[str, Any] = {"linewidth": 1.6 if few else 1.1, "label": label}
            if few or len(points) == 1:
                style |= {"marker": "o", "markersize": 3}
            # The best ones lie above the others.
            axes.plot(xs, ys, color=colour, zorder=3 - place, **style)
            label = None
    label_axes(axes)
    if drawn:
        axes.set_ylim(_limits(drawn))
        if any(VALIDATION in run.curves for run in drawn):
            axes.set_ylabel("validation loss, nats per character")
        if len(named) < len(groups):
            left_out = f"{len(groups) - len(named)} more between them"
            axes.plot([], [], color=scale(0.5), label=left_out)
        figure.legend(loc="outside right upper", fontsize="small", title="best first")
    return figure


def _groups(runs: Sequence[Seen]) -> dict[str, list[Seen]]:
    """Runs by what differs apart from the seed, the best group first."""
    names = [name for name in differing(runs) if name != "seed"]
    found = dict[str, list[Seen]]()
    told = labels(runs, names) if names else [run.place.name for run in runs]
    for run, label in zip(runs, told, strict=True):
        found.setdefault(label, []).append(run)
    return dict(sorted(found.items(), key=lambda item: min(map(_best, item[1]))))


def _best(run):
    if run.best is not None:
        return run.best
    return math.inf if run.loss is None else run.loss


def _named(names: list[str]) -> set[str]:
    """Those that the legend names: all, or the best and the worst."""
    if len(names) <= NAMED:
        return {*names}
    return {*names[: NAMED - 2], names[-1]}


def _legend(name, count):
    short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    short = short.replace("$", r"\$")  # it would begin a formula
    return short.lstrip("_") + (f" ({count} runs)" if count > 1 else "")


def _limits(runs):
    """Where losses are that matter: not those of the first steps, nor of divergence."""
    losses, late = [], []
    for run in runs:
        for points in run.curves.values():
            ys = np.array([y for _, y in points])
            losses.append(ys.min())
            late.append(np.quantile(ys, 0.75))
    low, high = min(losses), float(np.quantile(late, 0.9))
    margin = 0.08 * (high - low) or 0.1
    return low - margin, high + margin
