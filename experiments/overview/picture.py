"""The curves of many runs in one picture."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from charlm.curve import TRAINING, VALIDATION, label_axes
from common.flags import flag
from overview.differing import differing
from overview.seen import Seen

NAMED = 10  # groups of runs that colours can tell apart
_OTHERS = "#c9ccd1"
_LONGEST = 40  # characters of a line in the legend


def draw(runs: Sequence[Seen]) -> Figure:
    """Draws the validation loss of each run, or its training loss if it has no other.

    Runs that differ in nothing but their seed have one colour and one name. If there
    are more than `NAMED` such groups, the best ones have colours and names, and the
    others are grey.
    """
    drawn = [run for run in runs if run.curves]
    figure = Figure(figsize=(10, 5.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    fields, groups = _groups(drawn)
    few = len(groups) <= NAMED
    for rank, (name, of) in enumerate(groups.items()):
        named = rank < NAMED
        style: dict[str, Any] = {
            "color": f"C{rank}" if named else _OTHERS,
            "zorder": 3 - rank / len(groups),  # the best ones lie above the others
        }
        for run in of:
            if few and VALIDATION in run.curves and TRAINING in run.curves:
                axes.plot(*_xy(run, TRAINING), linewidth=0.6, alpha=0.25, **style)
            xs, ys = _xy(run, VALIDATION if VALIDATION in run.curves else TRAINING)
            marker = "o" if few or len(xs) == 1 else None
            axes.plot(
                *(xs, ys),
                linewidth=1.6 if named else 0.9,
                marker=marker,
                markersize=3,
                label=_legend(name, len(of)) if named and run is of[0] else None,
                **style,
            )
    label_axes(axes)
    if drawn:
        axes.set_ylim(_limits(drawn))
        if any(VALIDATION in run.curves for run in drawn):
            axes.set_ylabel("validation loss, nats per character")
        if not few:
            axes.plot([], [], color=_OTHERS, label=f"{len(groups) - NAMED} others")
        title = textwrap.fill(f"{', '.join(fields) or 'run'}; best first", _LONGEST)
        figure.legend(loc="outside right upper", fontsize="small", title=title)
    return figure


def _xy(run, name):
    return zip(*run.curves[name], strict=True)


def _groups(runs: Sequence[Seen]) -> tuple[list[str], dict[str, list[Seen]]]:
    """The fields that differ apart from the seed, and the runs by their values.

    The best group comes first. If nothing differs, each run is a group.
    """
    fields = {name: of for name, of in differing(runs).items() if name != "seed"}
    groups = dict[str, list[Seen]]()
    for k, run in enumerate(runs):
        values = [of[k] for of in fields.values()] or [run.place.name]
        groups.setdefault(", ".join(values), []).append(run)
    ranked = sorted(groups.items(), key=lambda item: min(map(_best, item[1])))
    return [flag(name).removeprefix("--") for name in fields], dict(ranked)


def _best(run):
    if run.best is not None:
        return run.best
    return math.inf if run.loss is None else run.loss


def _legend(name, count):
    short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    short = short.replace("$", r"\$")  # it would begin a formula
    return short.lstrip("_") + (f" ({count} runs)" if count > 1 else "")


def _limits(runs):
    """Where losses are that matter: not those of the first steps, nor of divergence."""
    losses, late = [], []
    for run in runs:
        for points in run.curves.values():
            ys = np.array([y for _, y in points if np.isfinite(y)])
            if not len(ys):
                continue
            losses.append(ys.min())
            late.append(np.quantile(ys, 0.75))
    if not losses:
        return 0.0, 1.0
    low, high = min(losses), float(np.quantile(late, 0.9))
    margin = 0.08 * (high - low) or 0.1
    return low - margin, high + margin
