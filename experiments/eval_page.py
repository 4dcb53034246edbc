"""The page of an evaluation: every symbol, coloured by how surprising it was.

One file of HTML and CSS that asks for nothing else: no script, no network.
"""

import html
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from jaxtext.text import Vocabulary
from jaxtext.training import Predicted

STEP, SHADES = 0.5, 15  # nats a shade; the last one is for all that is beyond

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto 4rem; padding: 0 1rem;
  max-width: 64rem; background: Canvas; color: CanvasText; }
h1 { font-size: 1.25rem; } h2 { font-size: 1rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .1rem .8rem .1rem 0; text-align: left; font-weight: normal; }
th { opacity: .75; }
.bar { background: rgb(225 60 20 / .7); display: inline-block; height: .7rem; }
.text, .legend b { font: 15px/1.6 ui-monospace, Menlo, Consolas, monospace; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
b { font-weight: normal; } i { font-style: normal; opacity: .5; }
.legend b { padding: .1rem .4rem; }
.text b:hover { outline: 2px solid CanvasText; }
.text .s { border-left: 2px solid rgb(60 120 220); }
.text b:hover::after { content: attr(data-t); position: fixed; left: 0; right: 0;
  bottom: 0; padding: .5rem 1rem; background: CanvasText; color: Canvas;
  white-space: pre-wrap; }
""" + "".join(
    f".c{shade} {{ background: rgb(225 60 20 / {0.75 * shade / (SHADES - 1):.3f}); }}\n"
    for shade in range(SHADES)
)

_VISIBLE = {" ": "·", "\n": "↵\n", "\t": "→\t", "\r": "␍"}
_NAMES = {" ": "space", "\n": "new line", "\t": "tab", "\r": "carriage return"}


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
    rows = [f"{_tag('th', name)}{_tag('td', value)}" for name, value in figures.items()]
    shades = "".join(
        f'<b class="c{shade}">{shade * STEP:g}{"+" if shade == SHADES - 1 else ""}</b>'
        for shade in range(SHADES)
    )
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            _tag("title", title),
            f"<style>{_STYLE}</style>",
            _tag("h1", title),
            _table(rows),
            *_positions(by_position),
            _tag("h2", "Surprisal of each symbol"),
            *(_tag("p", note) for note in notes),
            f'<p class="legend">nats {shades}</p>',
            f'<div class="text">{text}</div>\n</html>\n',
        ]
    )


def heat_map(
    vocabulary: Vocabulary,
    ids: np.ndarray,
    predicted: Iterable[Predicted],
    window: int | None,
) -> str:
    """The text as HTML, an element for each symbol.

    Args:
      vocabulary: What the ids mean.
      ids: ``[n]``, of which nobody predicted the first.
      predicted: What was said of the others, piece by piece.
      window: After so many predictions the model began anew, if it did; there is a line
        before each that did.
    """
    names = [_name(vocabulary, symbol) for symbol in range(len(vocabulary))]
    shown = [_shown(vocabulary, symbol) for symbol in range(len(vocabulary))]

    def cell(symbol, kind, told):
        told = html.escape(f"{names[symbol]}: {told}")
        return f'<b class="{kind}" data-t="{told}">{shown[symbol]}</b>'

    cells = [cell(int(ids[0]), "", "the first, which is not predicted")]
    for piece in predicted:
        for nats, likeliest, probabilities in zip(*piece, strict=True):
            pairs = zip(likeliest, probabilities, strict=True)
            guesses = ", ".join(f"{names[x]} {p:.1%}" for x, p in pairs)
            bits = nats / math.log(2)
            told = f"{nats:.2f} nats, {bits:.2f} bits; likeliest {guesses}"
            kind = f"c{min(int(nats / STEP), SHADES - 1)}"
            if window and (len(cells) - 1) % window == 0:
                kind += " s"
            cells.append(cell(int(ids[len(cells)]), kind, told))
    return "".join(cells)


def _positions(by_position):
    if not by_position:
        return
    yield _tag("h2", "Mean loss by position in the window")
    widest = max(nats for _, nats, _ in by_position) or 1.0
    rows = [_tag("th", "position", "nats", "", "symbols")]
    for where, nats, count in by_position:
        width = f"width: {20 * nats / widest:.2f}rem"
        bar = f'<td><span class="bar" style="{width}"></span></td>'
        numbers = _tag("td", where, f"{nats:.4f}")
        rows.append(numbers + bar + _tag("td", f"{count:,}"))
    yield _table(rows)


def _table(rows):
    return "<table>\n" + "".join(f"<tr>{row}</tr>\n" for row in rows) + "</table>"


def _tag(tag, *texts):
    return "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)


def _shown(vocabulary, symbol):
    """A symbol as HTML that one can see."""
    character = _character(vocabulary, symbol)
    if character is None:
        return f"<i>\\x{symbol:02x}</i>"
    if character in _VISIBLE:
        # Lines may be broken after each of them.
        return f"<i>{_VISIBLE[character]}<wbr></i>"
    if not character.isprintable():  # or it would hide, or turn the text around
        return f"<i>U+{ord(character):04X}</i>"
    if unicodedata.combining(character):
        return f"◌{character}"
    return html.escape(character)


def _name(vocabulary, symbol):
    """A symbol in a sentence."""
    character = _character(vocabulary, symbol)
    if character is None:
        return f"byte 0x{symbol:02x}"
    if character in _NAMES:
        return _NAMES[character]
    if not character.isprintable():
        return f"U+{ord(character):04X}"
    return f"“{character}”"


def _character(vocabulary, symbol):
    """The character that a symbol is; ``None`` for a part of one, a byte."""
    if vocabulary.kind == "bytes":
        return chr(symbol) if symbol < 128 else None
    return vocabulary.characters[symbol]
