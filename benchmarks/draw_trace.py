"""Draws a trace of ``char_gen.py --profile``: what host and devices did in its steps.

    python benchmarks/draw_trace.py --trace runs/mine/profile --out trace.png

It needs no viewer. The last line on standard output is one JSON object: the share of
the time between the first operation and the last in which the devices were busy.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tyro
from matplotlib.figure import Figure
from measuring.pictures import save
from measuring.trace import TRACE, events, operations

from jaxtext.errors import InputError
from jaxtext.streams import print_last_line, script

HOST = {  # rows, and their colours
    "train": "#2f6f9f",
    "batch": "#e0a030",
    "metrics": "#8a8f98",
    "validating": "#3a7d44",
    "saving": "#c23b22",
    "sampling": "#7b5ea7",
}


class Span(NamedTuple):
    """What lasted from one moment to another, in milliseconds."""

    begin: float
    end: float


@dataclass(frozen=True)
class Config:
    """Draw a trace."""

    trace: Path
    """Directory that has it, at any depth. Of several, the newest is drawn."""
    out: Path
    """The picture."""


def read(folder: Path) -> tuple[dict[str, list[Span]], list[Span]]:
    """The spans of the host by their names, and those of the devices' operations.

    Raises:
      InputError: If there is no trace.
    """
    if not any(folder.rglob(TRACE)):
        raise InputError(f"--trace: expected a trace in {folder}, found none")
    host: dict[str, list[Span]] = defaultdict(list)
    for event in events(folder):
        if event.get("ph") == "X" and event["name"] in HOST:
            host[event["name"]].append(_span(event["ts"], event.get("dur", 0.0)))
    return host, [_span(begin, took) for _, begin, took in operations(folder)]


def _span(begin, duration):
    return Span(begin / 1e3, (begin + duration) / 1e3)


def joined(spans: Sequence[Span], gap: float = 0.0) -> list[Span]:
    """The same time in as few spans as possible, which may have short gaps in them."""
    whole: list[Span] = []
    for span in sorted(spans):
        if whole and span.begin <= whole[-1].end + gap:
            whole[-1] = Span(whole[-1].begin, max(whole[-1].end, span.end))
        else:
            whole.append(span)
    return whole


def draw(host: dict[str, list[Span]], busy: list[Span]) -> Figure:
    """A row for each name of the host that there is, and one for the devices."""
    rows = {name: host[name] for name in HOST if name in host} | {"devices busy": busy}
    start = min(span.begin for spans in rows.values() for span in spans)
    figure = Figure(figsize=(9, 0.6 + 0.35 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for row, (name, spans) in enumerate(rows.items()):
        bars = [(x.begin - start, x.end - x.begin) for x in spans]
        colour = HOST.get(name, "#222222")
        # Steps follow one another closely, and batches may be too short to see.
        edge = "white" if name == "train" else colour
        axes.broken_barh(bars, (row - 0.4, 0.8), color=colour, edgecolor=edge)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return figure


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Draws, and returns the exit status."""
    config = tyro.cli(Config, args=argv)
    host, found = read(config.trace)
    busy = joined(found)
    if not busy:
        raise InputError(f"--trace: expected operations in {config.trace}, found none")
    # Operations follow one another within microseconds.
    save(draw(host, joined(busy, gap=0.02)), config.out)
    share = sum(x.end - x.begin for x in busy) / (busy[-1].end - busy[0].begin)
    print_last_line(json.dumps({"busy": share, "steps": len(host["train"])}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
