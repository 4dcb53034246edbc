"""Reading files of any size in blocks, as code points or as bytes."""

import codecs
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxtext.errors import InputError
from jaxtext.text.formats import Opened, opened, refuse_nul
from jaxtext.text.vocabulary import Kind, code_points

CHUNK = 1 << 20  # bytes read at a time


class Block(NamedTuple):
    """A piece of the text."""

    raw: bytes  # in UTF-8, or for bytes as it is
    points: np.ndarray  # the code points (or bytes) that are complete with it,
    # uint8 where all are below 256 for sure: bytes, or ASCII; else uint32


# What stands between two files of a text, if the first does not end in it.
BOUNDARY = Block(b"\n", np.frombuffer(b"\n", np.uint8))


def check(paths: Sequence[Path], kind: Kind) -> int:
    """Look at each file before any is read, and add up their sizes.

    Args:
      paths: the files.
      kind: what they are to be read as.

    Returns:
      Bytes of the files as they are on disk.

    Raises:
      InputError: naming the file that cannot be read, or by its first bytes is not what
        is asked for.

    Example:
      >>> check([Path(codecs.__file__)], "chars") > 0
      True
    """
    size = 0
    for path in paths:
        with opened(path, kind):
            size += path.stat().st_size
    return size


def blocks(
    paths: Sequence[Path],
    kind: Kind,
    limit: int | None,
    advance: Callable[[int], None] = lambda size: None,
) -> Iterator[Block]:
    """Read files one after the other in constant memory, as one text.

    What is packed is unpacked, and a new line is put between two files if the first
    does not end in one. For chars UTF-16 and UTF-32 with a byte order mark become
    UTF-8, and the mark is no part of the text. Line ends stay as they are.

    Args:
      paths: the files, in order.
      kind: ``"chars"`` decodes, ``"bytes"`` takes the bytes as they are.
      limit: ends after so many symbols of ``kind``; None reads everything.
      advance: called, when a block has been used, with the bytes of the file that were
        read for it.

    Yields:
      Consecutive blocks, the joined ``raw`` of which is the text up to its end or
      the limit. A block may hold no point where a character continues in the next.

    Raises:
      InputError: a file that cannot be read or unpacked, or for chars is no text.

    Example:
      >>> first = next(blocks([Path(codecs.__file__)], "chars", 10))
      >>> len(first.raw), first.points.dtype
      (10, dtype('uint8'))
    """
    remaining, raw = limit, BOUNDARY.raw
    for path in paths:
        if remaining == 0:
            return
        with opened(path, kind) as source:
            if source.is_empty:
                continue
            if not raw.endswith(BOUNDARY.raw):
                yield BOUNDARY
                remaining = None if remaining is None else remaining - 1
            position = 0
            for block in _blocks_of(path, source, kind, remaining):
                raw = block.raw or raw
                if remaining is not None:
                    remaining -= len(block.points)
                yield block
                advance(source.position() - position)
                position = source.position()


def counter(total: int, progress: Callable[[int, int], None]) -> Callable[[int], None]:
    """Add up what was done and report it, never as more than ``total``.

    More can come when ``total`` counts a limit in characters, some of them longer
    than a byte.

    Args:
      total: what there is to do.
      progress: called with what has been done so far and ``total``.

    Returns:
      A function to call with how much more has been done.

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
    path: Path, source: Opened, kind: Kind, remaining: int | None
) -> Iterator[Block]:
    """One file's blocks, ``remaining`` symbols of them at most."""
    decoder = codecs.getincrementaldecoder(source.encoding)()
    utf8 = source.encoding == "utf-8"
    offset = source.file.tell()
    while remaining != 0:
        # No symbol is shorter than a byte, so that reading no more bytes than symbols
        # are missing never reads beyond the limit.
        data = source.file.read(CHUNK if remaining is None else min(CHUNK, remaining))
        # Most of many a text is ASCII, where a byte is a character.
        if kind == "bytes" or (utf8 and data.isascii() and not _pending(decoder)):
            raw, points = data, np.frombuffer(data, np.uint8)
        else:
            text = _decode(decoder, data, path, offset, source.encoding)
            raw, points = data if utf8 else text.encode(), code_points(text)
        if kind == "chars":
            refuse_nul(path, raw, offset)
        if not data:
            return
        offset += len(data)
        if remaining is not None:
            remaining -= len(points)
        yield Block(raw, points)


def _decode(
    decoder: codecs.IncrementalDecoder,
    data: bytes,
    path: Path,
    offset: int,
    encoding: str,
) -> str:
    """Decode what was read at ``offset``; nothing (``b""``) is the file's end."""
    pending = _pending(decoder)
    try:
        return decoder.decode(data, final=not data)
    except UnicodeDecodeError as error:
        at = offset - pending + error.start
        byte = error.object[error.start]
        raise InputError(
            f"expected {encoding.upper()} text, but {path} has byte 0x{byte:02x} at "
            f"offset {at} ({error.reason}); convert the file or use --vocab bytes"
        ) from error


def _pending(decoder: codecs.IncrementalDecoder) -> int:
    """Count the bytes of a character that was begun and not ended."""
    return len(decoder.getstate()[0])
