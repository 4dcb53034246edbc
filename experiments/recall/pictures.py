"""Pictures of the results of ``memory.py``, and their summary in numbers."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from common.figures import COLOURS, NAMES, save
from recall.run import Line
from recall.suite import PROBLEMS


def summary(lines: Sequence[Line]) -> dict[str, dict[str, Any]]:
    """Median and worst score over seeds, by problem and cell."""
    return {
        problem: {
            cell: _summary(of_cell) for cell, of_cell in _by(of_problem, "cell").items()
        }
        for problem, of_problem in _by(lines, "problem").items()
    }


def _summary(lines):
    scores = [line["score"] for line in lines if line["score"] is not None]
    steps = min(line["protocol"]["steps"] for line in lines)
    if not scores:
        return {"measure": lines[0]["measure"], "seeds": 0, "steps": steps}
    worst = min if lines[0]["measure"] == "accuracy" else max
    return {
        "measure": lines[0]["measure"],
        "median": float(f"{statistics.median(scores):.4g}"),
        "worst": float(f"{worst(scores):.4g}"),
        "seeds": len(scores),
        "steps": steps,
    }


def draw(lines: Sequence[Line], out: Path) -> Iterator[Path]:
    """Draws the pictures that there are results for, and returns their paths."""
    by_picture = defaultdict(list)
    problems, cells = list(PROBLEMS), list(NAMES)
    for line in sorted(
        lines, key=lambda x: (problems.index(x["problem"]), cells.index(x["cell"]))
    ):
        by_picture[PROBLEMS[line["problem"]].picture].append(line)
    for picture, found in by_picture.items():
        path = out / f"{picture}.png"
        figure = Figure(figsize=(10, 4.5), dpi=120, layout="constrained")
        _DRAW[picture](figure, found)
        save(figure, path)
        yield path


# Equal curves have to be visible beside or through one another.
_MARKERS = {"rnn": "o-", "lstm": "s-", "lstm-chrono": "d-", "gru": "x--"}


def _by_size(figure, lines):
    """Accuracy against distance: the median of the seeds, and all between the ends."""
    axes = figure.subplots()
    for cell, of_cell in _by(lines, "cell").items():
        sizes = [int(size) for size in of_cell[0]["scores"]]
        scores = _array([list(line["scores"].values()) for line in of_cell])
        colour, middle = COLOURS[cell], np.median(scores, 0)
        axes.plot(sizes, middle, _MARKERS[cell], color=colour, label=NAMES[cell])
        axes.fill_between(sizes, scores.min(0), scores.max(0), alpha=0.2, color=colour)
    axes.axhline(lines[0]["baseline"], color="k", ls=":", lw=1, label="guessing")
    axes.set(
        xscale="log",
        xlabel="characters since the bracket was opened",
        ylabel="closed by the right kind",
        ylim=(0, 1.03),
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter(_percent)
    title = PROBLEMS[lines[0]["problem"]].title
    seeds = len({line["seed"] for line in lines})
    of = f"Median and range of {seeds} seeds" if seeds > 1 else "One seed"
    axes.set_title(f"{title} {of}")
    axes.grid(alpha=0.25)
    axes.legend()


def _curves(figure, lines):
    """Loss against steps, a panel a size, a curve a seed."""
    by_problem = _by(lines, "problem")
    panels = figure.subplots(1, len(by_problem), squeeze=False, sharey=True)[0]
    for axes, (problem, of_problem) in zip(panels, by_problem.items(), strict=True):
        for cell, of_cell in _by(of_problem, "cell").items():
            for k, line in enumerate(of_cell):
                label = None if k else NAMES[cell]
                losses = _array(line["losses"])
                style, colour = _MARKERS[cell][1:], COLOURS[cell]
                axes.plot(line["steps"], losses, style, color=colour, label=label)
        axes.set(yscale="log", xlabel="steps", title=PROBLEMS[problem].title)
        baseline = of_problem[0]["baseline"]
        if of_problem[0]["measure"] == "accuracy":
            baseline = -np.log(baseline)  # the picture is of nats
        axes.axhline(baseline, color="k", ls=":", lw=1, label="without memory")
        axes.grid(alpha=0.25)
    of_numbers = lines[0]["measure"] != "accuracy"
    panels[0].set_ylabel("mean squared error" if of_numbers else "nats a symbol")
    shown = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        shown |= dict(zip(labels, handles, strict=True))
    figure.legend(shown.values(), shown.keys(), loc="outside right upper")


def _scores(figure, lines):
    """Accuracy of each seed, a group of columns a task."""
    by_problem = _by(lines, "problem")
    cells = list(_by(lines, "cell"))
    axes = figure.subplots()
    labelled = set()
    for column, of_problem in enumerate(by_problem.values()):
        for cell, of_cell in _by(of_problem, "cell").items():
            scores = _array([line["score"] for line in of_cell])
            x = column + 0.2 * (cells.index(cell) - (len(cells) - 1) / 2)
            label = None if cell in labelled else NAMES[cell]
            labelled.add(cell)
            axes.bar(x, np.median(scores), 0.17, color=COLOURS[cell], label=label)
            axes.plot([x] * len(scores), scores, "k_", ms=9)
        baseline = of_problem[0]["baseline"]
        axes.plot([column - 0.4, column + 0.4], [baseline] * 2, "k:", lw=1)
    titles = [PROBLEMS[problem].title for problem in by_problem]
    axes.set_xticks(range(len(by_problem)), titles)
    protocol = lines[0]["protocol"]
    tested, trained = protocol["test_sizes"], protocol["train_sizes"]
    axes.set(ylim=(0, 1.03), ylabel=f"accuracy, words of {tested[0]} to {tested[-1]}")
    axes.yaxis.set_major_formatter(_percent)
    axes.set_title(f"Learnt from words of up to {trained[1]} (dotted: without reading)")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper")


_DRAW = {
    "brackets": _by_size,
    "adding": _curves,
    "copy": _curves,
    "languages": _scores,
}


def _array(numbers):
    """An array of floats, NaN for what JSON has no number for."""
    return np.array(numbers, float)


def _percent(share, _):
    return f"{share:.0%}"


def _by(lines, field):
    found = defaultdict(list)
    for line in lines:
        found[line[field]].append(line)
    return found
