"""The page of an evaluation: every symbol, coloured by how surprising it was."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from common.pages import document, name, shown, symbol_of, table, tag
from common.surprisal import STYLE, kind, legend
from jaxtext.text import Vocabulary
from jaxtext.training import Predicted

_STYLE = f"""
.bar {{ background: rgb(225 60 20 / .7); display: inline-block; height: .7rem; }}
.text .s {{ border-left: 2px solid rgb(60 120 220); }}
{STYLE}"""


def page(
    title: str,
    figures: Mapping[str, str],
    notes: Sequence[str],
    by_position: Sequence[tuple[str, float, int]],
    text: str,
) -> str:
    """The whole page.

    Args:
      title: What it is of.
      figures: Names and values, for the table at its head.
      notes: Sentences above the text.
      by_position: Positions in a window, mean nats there, and of how many symbols; may
        be empty.
      text: HTML, as `heat_map` makes it.
    """
    rows = [tag("th", what) + tag("td", value) for what, value in figures.items()]
    parts = [
        table(rows),
        *_positions(by_position),
        tag("h2", "Surprisal of each symbol"),
        *(tag("p", note) for note in notes),
        legend(),
        f'<div class="text">{text}</div>',
    ]
    return document(title, _STYLE, parts)


def heat_map(
    vocabulary: Vocabulary,
    ids: np.ndarray,
    predicted: Iterable[Predicted],
    window: int | None,
) -> str:
    """The text as HTML, an element for each symbol.

    Args:
      vocabulary: What the ids mean.
      ids: ``[n]``. The first of them is not predicted.
      predicted: The predictions of the others, piece by piece.
      window: The model began anew after so many predictions, which a line marks;
        ``None`` if it did not.
    """
    names = [name(vocabulary, symbol) for symbol in range(len(vocabulary))]
    texts = [shown(vocabulary, symbol) for symbol in range(len(vocabulary))]

    def cell(symbol, shade, told):
        return symbol_of(texts[symbol], f"{names[symbol]}: {told}", shade)

    cells = [cell(int(ids[0]), "", "the first, which is not predicted")]
    for piece in predicted:
        for nats, likeliest, probabilities in zip(*piece, strict=True):
            pairs = zip(likeliest, probabilities, strict=True)
            guesses = ", ".join(f"{names[x]} {p:.1%}" for x, p in pairs)
            bits = nats / math.log(2)
            told = f"{nats:.2f} nats, {bits:.2f} bits; likeliest {guesses}"
            shade = kind(nats)
            if window and (len(cells) - 1) % window == 0:
                shade += " s"
            cells.append(cell(int(ids[len(cells)]), shade, told))
    return "".join(cells)


def _positions(by_position):
    if not by_position:
        return
    yield tag("h2", "Mean loss by position in the window")
    widest = max(nats for _, nats, _ in by_position) or 1.0
    rows = [tag("th", "position", "nats", "", "symbols")]
    for where, nats, count in by_position:
        width = f"width: {20 * nats / widest:.2f}rem"
        bar = f'<td><span class="bar" style="{width}"></span></td>'
        numbers = tag("td", where, f"{nats:.4f}")
        rows.append(numbers + bar + tag("td", f"{count:,}"))
    yield table(rows)
