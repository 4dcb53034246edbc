"""What a document is: how a text is cut into documents while it is read.

A document is a piece of text that has nothing to do with the one before it: a name in a
list of names, a poem, a message. Here every document is followed by `END`, and the
first one is preceded by it. So the ends are part of the text, and a text of documents
is read in blocks and in constant memory like any other.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from jaxtext.errors import InputError
from jaxtext.text.reader import USUAL, Block, How, blocks
from jaxtext.text.rows import row_documents
from jaxtext.text.sources import Spec, names_data_set
from jaxtext.text.vocabulary import END, Kind, from_code_points

Mode = Literal["none", "files", "lines", "paragraphs", "jsonl", "csv"]
MODES: tuple[Mode, ...] = get_args(Mode)
ROWS = ("jsonl", "csv")  # modes in which a document is a field of a row

_END, _NEWLINE = ord(END), ord("\n")


def document_blocks(
    paths: Sequence[Path],
    mode: Mode,
    field: str | None,
    limit: int | None,
    advance: Callable[[int], None] = lambda size: None,
    how: How = USUAL,
) -> Iterator[Block]:
    r"""Reads files as documents, in constant memory.

    Empty documents are left out. No document goes beyond the end of its file.

    Args:
      paths: The files, in order.
      mode: What a document is.

        - ``"files"``: a whole file.
        - ``"lines"``: a line, without the newline.
        - ``"paragraphs"``: lines up to one or more blank ones.
        - ``"jsonl"``: a string in a row of JSON lines.
        - ``"csv"``: a cell in a row of a table with a header. Cells are separated by
          commas, semicolons or tabs, whichever the header has most of.
      field: The name of the field or the column, for ``"jsonl"`` and ``"csv"``. Rows
        of JSON without it are left out; those that are nothing but a string need none.
      limit: How many symbols to read, ends included. The document in which the limit is
        reached ends there. Default: all.
      advance: As for `reader.blocks`.
      how: As for `reader.blocks`.

    Yields:
      Consecutive blocks. In `raw` and `points`, NUL is the end of a document. The
      first character of the first block is NUL, and so is the last of the last.

    Raises:
      InputError: As `reader.blocks`. Also if a row is not JSON, has no such field, or
        its field is no string; or if `field` is missing.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder, "names")
      ...     _ = path.write_text("anna\n\nbert\n")
      ...     b"".join(x.raw for x in document_blocks([path], "lines", None, None))
      b'\x00anna\x00bert\x00'
    """
    if mode in ROWS:
        pieces = row_documents(paths, mode, field, advance, how)
    else:
        cut = {"files": iter, "lines": _lines, "paragraphs": _paragraphs}[mode]
        pieces = _of_files(paths, cut, advance, how)
    for points in _tidy(pieces, limit):
        if points.dtype == np.uint8:  # which only ASCII is
            yield Block(points.tobytes(), points)
        else:
            yield Block(from_code_points(points).encode(), points)


def text_blocks(
    paths: Sequence[Path],
    kind: Kind,
    mode: Mode,
    field: str | None,
    limit: int | None,
    advance: Callable[[int], None] = lambda size: None,
    how: How = USUAL,
) -> Iterator[Block]:
    """Reads files as documents, or with the mode ``"none"`` as one text.

    Args:
      paths: The files, in order.
      kind: What they are read as.
      mode: What a document is.
      field: As for `document_blocks`.
      limit: How many symbols to read. Default: all.
      advance: As for `reader.blocks`.
      how: As for `reader.blocks`.

    Returns:
      The blocks of `reader.blocks` or `document_blocks`.

    Raises:
      InputError: As these do; and if the arguments do not go together.
    """
    check_mode(mode, field, kind)
    if mode == "none":
        return blocks(paths, kind, limit, advance, how)
    return document_blocks(paths, mode, field, limit, advance, how)


def usual_mode(specs: Spec | Sequence[Spec], paths: Sequence[Path], kind: Kind) -> Mode:
    """What a document is if nobody says so.

    Several files are a document each. A single file is one text, and so is a data set.

    Args:
      specs: What the text was called.
      paths: The files that these stand for.
      kind: What they are read as.

    Example:
      >>> usual_mode("poems", (Path("poems/a"), Path("poems/b")), "chars")
      'files'
    """
    several = len(paths) > 1 and not names_data_set(specs)
    return "files" if several and kind == "chars" else "none"


def check_mode(mode: str, field: str | None, kind: Kind) -> None:
    """Raises `InputError` for what does not go together.

    Example:
      >>> check_mode("lines", None, "chars")
    """
    if mode not in MODES:
        raise InputError(f"documents: expected {', '.join(MODES)}, got {mode!r}")
    if mode != "none" and kind == "bytes":
        raise InputError(
            f"documents: expected `vocab='chars'` with {mode}, got 'bytes', in which "
            "every value is taken and none is left for the end of a document"
        )
    if field is not None and mode not in ROWS:
        raise InputError(
            f"field: expected documents of jsonl or csv with it, got {mode}; leave it "
            "out"
        )
    if field is None and mode == "csv":
        raise InputError("field: expected the name of a column, for csv, got none")


def _tidy(pieces: Iterable[np.ndarray], limit: int | None) -> Iterator[np.ndarray]:
    """Leaves out empty documents, and puts an end at the beginning, and at a limit."""
    remaining = limit
    yield np.array([_END], np.uint8)
    at_end = True  # whether the last symbol was an end
    for points in filter(len, pieces):
        ends = points == _END
        repeated = ends & np.concatenate([[at_end], ends[:-1]])
        if repeated.any():
            points = points[~repeated]
        if remaining is not None:
            points = points[:remaining]
            remaining -= len(points)
        if len(points):
            at_end = bool(points[-1] == _END)
            yield points
        if remaining == 0:
            break
    if not at_end:
        yield np.array([_END], np.uint8)


def _of_files(paths, cut, advance, how):
    for path in paths:
        yield from cut(x.points for x in blocks([path], "chars", None, advance, how))
        yield np.array([_END], np.uint8)


def _lines(pieces):
    for points in pieces:
        yield np.where(points == _NEWLINE, points.dtype.type(_END), points)


def _paragraphs(pieces):
    """Puts ends in the place of newlines with nothing but blanks between them."""
    held = np.empty(0, np.uint8)  # blanks and newlines, of which more may follow
    begun = False
    for points in pieces:
        if held.size:
            points = np.concatenate([held, points])
        newlines = points == _NEWLINE
        inked = np.flatnonzero(~(newlines | _is_blank(points)))
        if not len(inked):
            held = points
            continue
        first, end = inked[0], inked[-1] + 1
        if not begun:  # before the first line, there is no newline to keep
            above = np.flatnonzero(newlines[:first])
            newlines[above] = False
            first = above[-1] + 1 if len(above) else 0
            begun = True
        else:
            first = 0
        held = points[end:]
        dropped = _blank_lines(np.flatnonzero(newlines[:end]), inked, end)
        # Of several ends in a row, `_tidy` keeps one.
        marked = np.where(dropped, points.dtype.type(_END), points[:end])
        yield marked[first:]
    # The newline at the end of a file ends its last line, and is no part of it.
    newlines = np.flatnonzero(held == _NEWLINE)
    if begun:
        yield held[: newlines[0]] if len(newlines) else held


def _is_blank(points):
    return (points == ord(" ")) | (points == ord("\t")) | (points == ord("\r"))


def _blank_lines(newlines, inked, size):
    """``[size]`` booleans, true from a newline to the last one before other ink."""
    before = np.searchsorted(inked, newlines)  # how much ink there is before each
    linked = before[1:] == before[:-1]  # nothing but blanks between it and the next
    change = np.zeros(size + 1, np.int8)
    change[newlines[:-1][linked]] += 1
    change[newlines[1:][linked] + 1] -= 1
    # Where one run of lines goes on, +1 and -1 are one place apart and overlap.
    return np.cumsum(change[:-1], dtype=np.int32) > 0
