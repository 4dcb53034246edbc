"""The picture of a comparison: loss against speed."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common.figures import COLOURS, NAMES
from comparison.report import is_whole
from comparison.runs import RATES, Compared


def draw(compared: Sequence[Compared]) -> Figure:
    """Loss against speed: a row a text, a column for what is equal, a dot a run."""
    texts = list(dict.fromkeys(x.text for x in compared))
    figure = Figure(figsize=(10, 5 * len(texts)), dpi=120, layout="constrained")
    grid = figure.subplots(len(texts), 2, squeeze=False, sharey="row")
    for row, text in zip(grid, texts, strict=True):
        for axes, what in zip(row, ("width", "parameters"), strict=True):
            for cell in RATES:
                of = [
                    x
                    for x in compared
                    if (x.text, x.what, x.cell) == (text, what, cell) and is_whole(x)
                ]
                if not of:
                    continue
                result = of[0].result
                label = (
                    f"{NAMES[cell]}: {of[0].hidden} units, {result['parameters']:,} "
                    f"parameters,\n{result['steps']:,} steps, "
                    f"{result['peak_memory_mb']:.0f} MB"
                )
                axes.scatter(
                    [x.result["chars_per_second"] for x in of],
                    [x.result["val_nats_per_char"] for x in of],
                    color=COLOURS[cell],
                    label=label,
                )
            axes.set_xlabel("characters a second")
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.xaxis.set_major_locator(MaxNLocator(5))  # as long as they are
            axes.set_title(f"{text}, equal {what}, equal time", parse_math=False)
            axes.grid(alpha=0.25)
            if axes.collections:
                axes.set_xlim(0, 1.1 * axes.dataLim.x1)
                # Below, where there are no dots that it could hide.
                axes.legend(
                    fontsize="small", loc="upper left", bbox_to_anchor=(0, -0.18)
                )
        row[0].set_ylabel("nats per character")
    return figure
