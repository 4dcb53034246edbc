"""The bytes of a file, separated into what a model reads and all the rest.

A vocabulary of bytes has a symbol for everything. One of characters lacks most of them,
and a file need not be UTF-8. What has no symbol is kept apart: where it stood, and its
bytes.
"""

import lzma
import struct
from typing import NamedTuple

import numpy as np

from jaxtext.text import Vocabulary
from jaxtext.text.vocabulary import code_points

_SURROGATES = 0xD800, 0xE000  # in a decoded text, each is a byte that is not UTF-8
_COUNT = struct.Struct("<Q")


class Separated(NamedTuple):
    """The parts of a file.

    Attributes:
      ids: ``[N]`` integers, the symbols of the vocabulary in the order of the file.
      rest: What has no symbol, as `join` takes it. Empty if there is nothing.
    """

    ids: np.ndarray
    rest: bytes


def separate(data: bytes, vocabulary: Vocabulary) -> Separated:
    r"""Separates the bytes of a file.

    Args:
      data: Any bytes.
      vocabulary: The symbols. For one of characters, `data` is read as UTF-8.

    Example:
      >>> parts = separate(b"abba\xff", Vocabulary("chars", "ab"))
      >>> parts.ids
      array([0, 1, 1, 0], dtype=uint8)
      >>> join(parts, Vocabulary("chars", "ab"))
      b'abba\xff'
    """
    if vocabulary.kind == "bytes":
        return Separated(np.frombuffer(data, np.uint8), b"")
    # A byte that is not UTF-8 becomes one surrogate, and a surrogate that byte again.
    text = data.decode("utf-8", "surrogateescape")
    points = code_points(text, "surrogatepass")
    known = np.isin(points, code_points(vocabulary.characters))
    ids = vocabulary.encode_points(points[known])
    return Separated(ids, b"" if known.all() else _pack(points, known))


def join(parts: Separated, vocabulary: Vocabulary) -> bytes:
    """The bytes of the file again.

    Args:
      parts: What `separate` returned.
      vocabulary: The same one.

    Raises:
      ValueError: If `parts` were not made by `separate`.
    """
    text = vocabulary.to_bytes(parts.ids)
    if not parts.rest:
        return text
    sizes = _sizes(code_points(vocabulary.characters))[parts.ids]
    ends = np.concatenate([[0], np.cumsum(sizes)])  # in bytes, after each symbol
    pieces, begin = [], 0
    for before, unknown in _unpack(parts.rest):
        pieces += text[begin : ends[before]], unknown
        begin = ends[before]
    return b"".join([*pieces, text[begin:]])


def _pack(points, known):
    """What is not known: runs of it, by the number of symbols before each."""
    edges = np.flatnonzero(np.diff(known, prepend=True, append=True))
    starts, ends = edges[::2], edges[1::2]
    sizes = np.concatenate([[0], np.cumsum(np.where(known, 0, _sizes(points)))])
    before, lengths = np.cumsum(known)[starts], sizes[ends] - sizes[starts]
    unknown = points[~known].tobytes().decode("utf-32-le", "surrogatepass")
    return lzma.compress(
        _COUNT.pack(len(starts))
        + before.astype("<u8").tobytes()
        + lengths.astype("<u8").tobytes()
        + unknown.encode("utf-8", "surrogateescape"),
        lzma.FORMAT_ALONE,  # it has no checksum; the file has one of everything
        preset=9,
    )


def _unpack(rest):
    """Yields how many symbols stand before a run, and its bytes."""
    whole = lzma.decompress(rest, lzma.FORMAT_ALONE)
    (count,) = _COUNT.unpack_from(whole)
    before, lengths = np.frombuffer(whole, "<u8", 2 * count, _COUNT.size).reshape(2, -1)
    end = _COUNT.size + 16 * count
    for symbols, length in zip(before.tolist(), lengths.tolist(), strict=True):
        end, begin = end + length, end
        yield symbols, whole[begin:end]


def _sizes(points):
    """How many bytes each character has in UTF-8; a byte that is not UTF-8, one."""
    of_characters = 1 + (points > 0x7F) + (points > 0x7FF) + (points > 0xFFFF)
    escaped = (points >= _SURROGATES[0]) & (points < _SURROGATES[1])
    return np.where(escaped, 1, of_characters)
