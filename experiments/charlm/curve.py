"""The loss curve of a run."""

import math
from collections.abc import Iterable
from typing import Any

from matplotlib.figure import Figure

from charlm.series import Series
from common.figures import png
from jaxtext.errors import one_line
from jaxtext.runs.log import Record

POINTS = 10_000  # of a curve, which are all of a run of 100,000 steps


def draw_curve(records: Iterable[Record], title: str) -> bytes:
    """Draws training and validation loss against the step.

    Args:
      records: Those of a `MetricsLog`. Their ``loss`` and ``val_nats_per_char`` are
        drawn. If there are more than `POINTS`, neighbours are joined to their mean.
      title: The picture's title.

    Returns:
      A PNG.
    """
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.subplots()
    curves = [
        ("loss", "training", {"color": "#9db4c8", "linewidth": 1}),
        (
            "val_nats_per_char",
            "validation",
            {"color": "#c23b22", "linewidth": 1.8, "marker": "o", "markersize": 3.5},
        ),
    ]
    series = {field: Series(POINTS) for field, *_ in curves}
    for record in records:
        for field, of in series.items():
            if record.get(field) is not None:
                of.add(record["step"], record[field])
    for field, label, style in curves:
        if points := series[field].points():
            axes.plot(*zip(*points, strict=True), label=label, **style)
    axes.set(xlabel="step", ylabel="nats per character")
    axes.set_title(one_line(title), parse_math=False)  # a directory's name may hold a $
    axes.grid(alpha=0.25)
    if axes.lines:
        axes.legend()
        bits = axes.secondary_yaxis("right", functions=(_to_bits, _to_nats))
        bits.set_ylabel("bits per character")
    return png(figure)


def _to_bits(nats: Any) -> Any:
    return nats / math.log(2)


def _to_nats(bits: Any) -> Any:
    return bits * math.log(2)
