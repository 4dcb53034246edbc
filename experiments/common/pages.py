"""Pages of HTML about a text: one file each, no script, nothing from the network."""

import html
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

from jaxtext.errors import InputError, one_line
from jaxtext.runs.storage import storage
from jaxtext.text import Vocabulary

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto 4rem; padding: 0 1rem;
  max-width: 64rem; background: Canvas; color: CanvasText; }
h1 { font-size: 1.25rem; } h2 { font-size: 1rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .1rem .8rem .1rem 0; text-align: left; font-weight: normal; }
th { opacity: .75; }
.text, .legend b { font: 15px/1.6 ui-monospace, Menlo, Consolas, monospace; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
b { font-weight: normal; } i { font-style: normal; opacity: .5; }
.legend b { padding: .1rem .4rem; }
.text b:hover { outline: 2px solid CanvasText; }
.text b:hover::after { content: attr(data-t); position: fixed; left: 0; right: 0;
  bottom: 0; padding: .5rem 1rem; background: CanvasText; color: Canvas;
  white-space: pre-wrap; }
"""

_VISIBLE = {" ": "·", "\n": "↵\n", "\t": "→\t", "\r": "␍"}
_END, _END_NAME = "<i>∎\n<wbr></i>", "end of the document"
_NAMES = {" ": "space", "\n": "new line", "\t": "tab", "\r": "carriage return"}


def document(title: str, style: str, parts: Iterable[str]) -> str:
    """A whole page, from its title, its own style and its parts."""
    title = one_line(title)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            tag("title", title),
            f"<style>{_STYLE}{style}</style>",
            tag("h1", title),
            *parts,
            "</html>\n",
        ]
    )


def symbol_of(text: str, told: str, kind: str) -> str:
    """One symbol of a text: its HTML, its class, and the note that pointing shows."""
    return f'<b class="{kind}" data-t="{html.escape(told)}">{text}</b>'


def table(rows: Iterable[str]) -> str:
    """Rows of cells."""
    return "<table>\n" + "".join(f"<tr>{row}</tr>\n" for row in rows) + "</table>"


def page_in(workdir: Path, name: str, say: Callable[[str], None]) -> Path | None:
    """The default place of a page: the run's directory.

    Args:
      workdir: The run's directory.
      name: The page's.
      say: Takes a sentence if no page can be written there.

    Returns:
      ``None`` if that directory is read-only. For root, who may write anywhere, its
      mode decides.
    """
    why = storage(workdir).check_writable()
    if why is None:
        return workdir / name
    say(f"note: {workdir} {why}, so no page is written; give a place as --page")
    return None


def check_page(path: Path) -> None:
    """Raises `InputError` if a page could not be written, before the work begins."""
    if not storage(path.parent).can_take(path.name):
        raise InputError(f"cannot write the page {path}; give another place as --page")


def write_page(path: Path, page: str) -> None:
    """Writes a page, or raises `InputError`."""
    try:
        storage(path.parent).write(path.name, page.encode())
    except OSError as error:
        raise InputError(
            f"cannot write the page {path} ({error.strerror}); give another place as "
            "--page"
        ) from error


def tag(name: str, *texts: str) -> str:
    """Each text in an element of that name."""
    return "".join(f"<{name}>{html.escape(text)}</{name}>" for text in texts)


def shown(vocabulary: Vocabulary, symbol: int) -> str:
    """A symbol as visible HTML."""
    if symbol == vocabulary.end:
        return _END
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


def name(vocabulary: Vocabulary, symbol: int) -> str:
    """A symbol in a sentence."""
    if symbol == vocabulary.end:
        return _END_NAME
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
