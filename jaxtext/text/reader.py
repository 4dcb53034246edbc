"""Reading files of any size in blocks, as code points or as bytes."""

import codecs
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxtext.errors import InputError
from jaxtext.text.vocabulary import Kind, code_points

CHUNK = 1 << 20  # bytes read at a time


class Block(NamedTuple):
    """A piece of the text."""

    raw: bytes  # as read
    points: np.ndarray  # the code points (or bytes) that are complete with it,
    # uint8 where all are below 256 for sure: bytes, or ASCII; else uint32


def total_size(paths: Sequence[Path]) -> int:
    """Add up the sizes of files.

    Args:
      paths: the files.

    Returns:
      Bytes.

    Raises:
      InputError: naming the file that cannot be looked at.

    Example:
      >>> total_size([Path(codecs.__file__)]) > 0
      True
    """
    size = 0
    for path in paths:
        with reading(path):
            size += path.stat().st_size
    return size


def blocks(paths: Sequence[Path], kind: Kind, limit: int | None) -> Iterator[Block]:
    """Read files one after the other in constant memory.

    Line ends and byte order marks stay as they are.

    Args:
      paths: the files, in order.
      kind: ``"chars"`` decodes UTF-8, ``"bytes"`` takes the bytes as they are.
      limit: ends after so many symbols of ``kind``; None reads everything.

    Yields:
      Consecutive blocks, the joined ``raw`` of which is the text up to its end or
      the limit. A block may hold no point where a character continues in the next.

    Raises:
      InputError: a file that cannot be read, or for chars is not UTF-8.

    Example:
      >>> first = next(blocks([Path(codecs.__file__)], "chars", 10))
      >>> len(first.raw), first.points.dtype
      (10, dtype('uint8'))
    """
    remaining = limit
    for path in paths:
        if remaining == 0:
            return
        decoder = codecs.getincrementaldecoder("utf-8")()
        offset = 0
        with reading(path), path.open("rb") as file:
            while remaining != 0:
                # No symbol is shorter than a byte, so that reading no more bytes than
                # symbols are missing never reads beyond the limit.
                raw = file.read(CHUNK if remaining is None else min(CHUNK, remaining))
                # Most of many a text is ASCII, where a byte is a character.
                if kind == "bytes" or (raw.isascii() and not _pending(decoder)):
                    points = np.frombuffer(raw, np.uint8)
                else:
                    points = code_points(_decode(decoder, raw, path, offset))
                offset += len(raw)
                if not raw:
                    break
                if remaining is not None:
                    remaining -= len(points)
                yield Block(raw, points)


def _decode(
    decoder: codecs.IncrementalDecoder, raw: bytes, path: Path, offset: int
) -> str:
    """Decode what was read at ``offset``; nothing (``b""``) is the file's end."""
    pending = _pending(decoder)
    try:
        return decoder.decode(raw, final=not raw)
    except UnicodeDecodeError as error:
        at = offset - pending + error.start
        byte = error.object[error.start]
        raise InputError(
            f"expected UTF-8 text, but {path} has byte 0x{byte:02x} at offset {at} "
            f"({error.reason}); convert the file or use --vocab bytes"
        ) from error


def _pending(decoder: codecs.IncrementalDecoder) -> int:
    """Count the bytes of a character that was begun and not ended."""
    return len(decoder.getstate()[0])


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Report whatever a disk refuses in the block, which reads a file.

    Args:
      path: the file, or what else to call it.

    Raises:
      InputError: any ``OSError`` of the block.

    Example:
      >>> with reading("the tape"):
      ...     raise OSError(5, "Input/output error")
      Traceback (most recent call last):
        ...
      jaxtext.errors.InputError: cannot read the tape (Input/output error); check ...
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot read {path} ({error.strerror or error}); check the file and its "
            "disk"
        ) from error
