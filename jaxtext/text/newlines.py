"""Line ends: LF on Unix, CRLF on Windows, CR on old Macs.

A text that ends its lines with CRLF has two symbols where one says the same. A model
learns both, writes both, and does not know a text with other line ends.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import numpy as np

# What is done with line ends: turn each into LF, or keep them as they are.
Newlines: TypeAlias = Literal["lf", "keep"]
NEWLINES: tuple[Newlines, ...] = get_args(Newlines)

CR, LF = b"\r", b"\n"


def to_line_feeds(text: bytes) -> bytes:
    r"""Turns CRLF and CR into LF in a text in UTF-8.

    Example:
      >>> to_line_feeds(b"one\r\ntwo\r")
      b'one\ntwo\n'
    """
    return text.replace(CR + LF, LF).replace(CR, LF)


class LineFeeds:
    r"""Turns CRLF and CR into LF in a text that comes in pieces.

    A CR at the end of a piece is held back, for the next may begin with its LF.

    Args:
      turned: Called with the number of line ends that were turned, piece by piece.

    Attributes:
      held: How many symbols are held back: 0 or 1.

    Example:
      >>> feeds = LineFeeds(print)
      >>> piece = b"one\r\ntwo\r"
      >>> raw, points = feeds.turn(piece, np.frombuffer(piece, np.uint8))
      1
      >>> raw, points.tobytes(), feeds.held
      (b'one\ntwo', b'one\ntwo', 1)
      >>> feeds.rest()[0]
      1
      b'\n'
    """

    def __init__(self, turned: Callable[[int], None]):
        self._turned = turned
        self.held: int = 0

    def turn(self, raw: bytes, points: np.ndarray) -> tuple[bytes, np.ndarray]:
        """Turns the line ends of the next piece.

        Args:
          raw: The piece in UTF-8, in which the last character need not be complete.
          points: The code points of the characters that end in it.

        Returns:
          The piece and its code points.
        """
        if CR not in raw and not self.held:
            return raw, points
        if self.held:
            raw = CR + raw
            points = np.concatenate([np.array([ord(CR)], points.dtype), points])
        self.held = int(raw.endswith(CR))
        if self.held:
            raw, points = raw[:-1], points[:-1]
        self._turned(raw.count(CR))
        raw = to_line_feeds(raw)
        is_cr = points == ord(CR)
        is_pair = is_cr.copy()
        is_pair[:-1] &= points[1:] == ord(LF)
        is_pair[-1:] = False
        points = np.where(is_cr, np.array(ord(LF), points.dtype), points)[~is_pair]
        return raw, points

    def rest(self) -> tuple[bytes, np.ndarray]:
        """What is held back at the end, as `turn` returns it."""
        self._turned(self.held)
        raw, self.held = LF * self.held, 0
        return raw, np.frombuffer(raw, np.uint8)
