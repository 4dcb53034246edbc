"""The loss curve of a run."""

import math
from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from charlm.series import Point, Series
from common.figures import png
from jaxtext.errors import one_line
from jaxtext.runs.log import Record

POINTS = 10_000  # of a curve, which are all of a run of 100,000 steps
TRAINING, VALIDATION = "loss", "val_nats_per_char"  # the fields that are drawn


def curves(records: Iterable[Record], most: int) -> dict[str, list[Point]]:
    """The training and the validation loss of a log against the step.

    Args:
      records: Those of a `MetricsLog`. They are read one at a time.
      most: Points of each at most. If there are more, neighbours are joined.

    Returns:
      The points of ``loss`` and of ``val_nats_per_char``, as far as there are any.
    """
    series = {name: Series(most) for name in (TRAINING, VALIDATION)}
    for record in records:
        for name, of in series.items():
            if record.get(name) is not None:
                of.add(record["step"], record[name])
    return {name: of.points() for name, of in series.items() if of.points()}


def draw_curve(records: Iterable[Record], title: str) -> bytes:
    """Draws training and validation loss against the step.

    Args:
      records: Those of a `MetricsLog`. They are read one at a time.
      title: The picture's title.

    Returns:
      A PNG.
    """
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.subplots()
    styles = [
        (TRAINING, "training", {"color": "#9db4c8", "linewidth": 1}),
        (
            VALIDATION,
            "validation",
            {"color": "#c23b22", "linewidth": 1.8, "marker": "o", "markersize": 3.5},
        ),
    ]
    found = curves(records, POINTS)
    for name, label, style in styles:
        if points := found.get(name):
            axes.plot(*zip(*points, strict=True), label=label, **style)
    axes.set_title(one_line(title), parse_math=False)  # a directory's name may hold a $
    label_axes(axes)
    if axes.lines:
        axes.legend()
    return png(figure)


def label_axes(axes: Axes) -> None:
    """Says what a picture of losses against steps shows; it may have no curve yet."""
    axes.set(xlabel="step", ylabel="nats per character")
    axes.grid(alpha=0.25)
    if axes.lines:
        bits = axes.secondary_yaxis("right", functions=(_to_bits, _to_nats))
        bits.set_ylabel("bits per character")


def _to_bits(nats: Any) -> Any:
    return nats / math.log(2)


def _to_nats(bits: Any) -> Any:
    return bits * math.log(2)
