"""Reads files of any size in blocks, as code points or as bytes."""

import codecs
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxtext.errors import InputError
from jaxtext.text.encodings import foreign
from jaxtext.text.formats import Opened, opened, refuse_nul
from jaxtext.text.newlines import LineFeeds, Newlines
from jaxtext.text.signatures import Format
from jaxtext.text.vocabulary import Kind, code_points

CHUNK = 1 << 20  # bytes read at a time


class Block(NamedTuple):
    """A piece of the text."""

    raw: bytes  # in UTF-8; for kind "bytes", the bytes of the file
    points: np.ndarray  # the code points (or bytes) that end in this block, as uint8
    # if all are known to be below 256 (bytes or ASCII), else uint32


class How(NamedTuple):
    """How files are read.

    Attributes:
      newlines: ``"lf"`` turns line ends into LF, ``"keep"`` leaves them as they are.
        With ``"bytes"`` they always are.
      any_bytes: As for `formats.opened`.
      turned: Called with the number of line ends that were turned, piece by piece.
    """

    newlines: Newlines = "lf"
    any_bytes: bool = False
    turned: Callable[[int], None] = lambda count: None


USUAL = How()

# Added between two files of a text, if the first does not end in it.
BOUNDARY = Block(b"\n", np.frombuffer(b"\n", np.uint8))


class Checked(NamedTuple):
    """What the beginnings of files tell.

    Attributes:
      size: The size of all files on disk, in bytes.
      marked_up: How many are texts that are marked up, by format.
    """

    size: int
    marked_up: Counter[Format]


def check(paths: Sequence[Path], kind: Kind, *, any_bytes: bool = False) -> Checked:
    """Checks the beginning of each file.

    Args:
      paths: The files.
      kind: What they will be read as.
      any_bytes: As for `formats.opened`.

    Returns:
      Their total size, and how many are marked up.

    Raises:
      InputError: If a file cannot be read, or its first bytes show that it is not a
        text. The message names it.

    Example:
      >>> check([Path(codecs.__file__)], "chars").size > 0
      True
    """
    size, marked_up = 0, Counter[Format]()
    for path in paths:
        with opened(path, kind, any_bytes) as source:
            size += path.stat().st_size
            if source.markup is not None:
                marked_up[source.markup] += 1
    return Checked(size, marked_up)


def blocks(
    paths: Sequence[Path],
    kind: Kind,
    limit: int | None,
    advance: Callable[[int], None] = lambda size: None,
    how: How = USUAL,
) -> Iterator[Block]:
    """Reads files as one text, one after the other, in constant memory.

    Packed files are unpacked. If a file does not end in a newline, one is added before
    the next file. With ``"chars"``, UTF-16 and UTF-32 with a byte order mark are
    converted to UTF-8, the mark is not part of the text, and line ends become LF.

    Args:
      paths: The files, in order.
      kind: ``"chars"`` decodes them; ``"bytes"`` does not.
      limit: How many symbols of `kind` to read. Default: all.
      advance: Called after each block has been used, with the number of bytes of the
        file that were read for it.
      how: What is done with line ends and with packed files.

    Yields:
      Consecutive blocks. Their `raw`, joined, is the text up to its end or the limit. A
      block has no points if its only character continues in the next block.

    Raises:
      InputError: If a file cannot be read or unpacked, or with ``"chars"`` is not text.

    Example:
      >>> first = next(blocks([Path(codecs.__file__)], "chars", 10))
      >>> len(first.raw), first.points.dtype
      (10, dtype('uint8'))
    """
    remaining, raw = limit, BOUNDARY.raw
    for path in paths:
        if remaining == 0:
            return
        with opened(path, kind, how.any_bytes) as source:
            if source.is_empty:
                continue
            if not raw.endswith(BOUNDARY.raw):
                yield BOUNDARY
                remaining = None if remaining is None else remaining - 1
            position = 0
            feeds = (
                LineFeeds(how.turned)
                if kind == "chars" and how.newlines == "lf"
                else None
            )
            for block in _blocks_of(path, source, kind, remaining, feeds):
                raw = block.raw or raw
                if remaining is not None:
                    remaining -= len(block.points)
                yield block
                advance(source.position() - position)
                position = source.position()


def counter(total: int, progress: Callable[[int, int], None]) -> Callable[[int], None]:
    """Creates a function that adds up progress, and reports at most `total`.

    The sum may be larger than `total` if that is a limit in characters, since a
    character may have more than one byte.

    Args:
      total: The amount of work.
      progress: Called with the amount done so far and `total`.

    Returns:
      A function to call with each additional amount.

    Example:
      >>> advance = counter(3, print)
      >>> advance(2), advance(2)
      2 3
      3 3
      (None, None)
    """
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done = min(done + count, total)
        progress(done, total)

    return advance


def _blocks_of(
    path: Path,
    source: Opened,
    kind: Kind,
    remaining: int | None,
    feeds: LineFeeds | None,
) -> Iterator[Block]:
    """Yields the blocks of one file, up to `remaining` symbols."""
    decoder = codecs.getincrementaldecoder(source.encoding)()
    utf8 = source.encoding == "utf-8"
    offset = source.file.tell()
    held = 0
    while remaining is None or remaining > held:
        # A symbol has at least one byte, so this never reads beyond the limit.
        size = CHUNK if remaining is None else min(CHUNK, remaining - held)
        data = source.file.read(size)
        # Most texts are mostly ASCII, where a byte is a character.
        if kind == "bytes" or (utf8 and data.isascii() and not _pending(decoder)):
            raw, points = data, np.frombuffer(data, np.uint8)
        else:
            text = _decode(decoder, data, path, offset, source.encoding)
            raw, points = data if utf8 else text.encode(), code_points(text)
        if kind == "chars":
            refuse_nul(path, raw, offset)
        if not data:
            break
        offset += len(data)
        if feeds is not None:
            (raw, points), held = feeds.turn(raw, points), feeds.held
        if remaining is not None:
            remaining -= len(points)
        yield Block(raw, points)
    if held and feeds is not None:
        yield Block(*feeds.rest())


def _decode(
    decoder: codecs.IncrementalDecoder,
    data: bytes,
    path: Path,
    offset: int,
    encoding: str,
) -> str:
    """Decodes what was read at `offset`. Empty data means the end of the file."""
    pending = _pending(decoder)
    try:
        return decoder.decode(data, final=not data)
    except UnicodeDecodeError as error:
        at = offset - pending + error.start
        byte = error.object[error.start]
        what = foreign(error.object) if encoding == "utf-8" else "it is damaged"
        raise InputError(
            f"expected {encoding.upper()} text, but {path} has byte 0x{byte:02x} at "
            f"offset {at} ({error.reason}); {what}, or use `vocab='bytes'`"
        ) from error


def _pending(decoder: codecs.IncrementalDecoder) -> int:
    """Returns how many bytes of an incomplete character the decoder holds."""
    return len(decoder.getstate()[0])
