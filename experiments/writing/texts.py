"""The texts that a model writes, all at once, and how likely it finds them."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.screen import Screen
from jaxtext.text import Vocabulary


@dataclass(frozen=True)
class Written:
    """A text that was written.

    Attributes:
      ids: Its symbols.
      ended: Whether it ended before its length.
      log_p: The logarithm of the probability of each symbol, by the model alone;
        ``None``: it was not asked for.
    """

    ids: np.ndarray
    ended: bool
    log_p: np.ndarray | None

    @property
    def each(self) -> float:
        """The mean of ``log p`` of a symbol, in nats; 0 for an empty text."""
        assert self.log_p is not None
        return float(self.log_p.mean()) if len(self.log_p) else 0.0


def collect(
    pieces: Iterable[np.ndarray], rows: int, length: int, display: Screen
) -> np.ndarray:
    """Puts pieces of texts together, ``[B, n]``, while a bar shows how far they are."""
    display.start(f"writing {rows} texts", length)
    found, size = [np.zeros((rows, 0), np.int32)], 0
    for piece in pieces:
        found.append(piece)
        size += piece.shape[1]
        display.advance(size)
    display.stop()
    return np.concatenate(found, axis=1)


def texts(
    ids: np.ndarray, length: int, log_p: np.ndarray | None = None
) -> list[Written]:
    """The texts in rows of ids, in which -1 follows the end of a text."""
    sizes = (ids >= 0).sum(axis=1)
    return [
        Written(
            row[:size],
            bool(size < length),
            None if log_p is None else log_p[i, :size],
        )
        for i, (row, size) in enumerate(zip(ids, sizes, strict=True))
    ]


def as_json(index: int, one: Written, vocabulary: Vocabulary) -> str:
    """A text as one line of JSON."""
    raw = vocabulary.to_bytes(one.ids)
    said: dict[str, Any] = {"index": index, "text": raw.decode(errors="replace")}
    if said["text"].encode() != raw:
        said["hex"] = raw.hex()  # of bytes that are not UTF-8
    said |= {"symbols": len(one.ids), "ended": one.ended}
    if one.log_p is not None:
        total = float(one.log_p.sum(dtype=np.float64))
        said |= {"log_probability": total, "mean_log_probability": one.each}
    return json.dumps(said, ensure_ascii=False)


def likelihood(log_p: Sequence[float] | np.ndarray, symbol: str) -> str:
    """The probability of a text in words.

    Args:
      log_p: The logarithm of the probability of each symbol.
      symbol: What a symbol is called.
    """
    total = float(np.sum(log_p, dtype=np.float64))
    each = -total / max(1, len(log_p))
    return (
        f"log-probability {total:.2f} nats; {each:.4f} nats and "
        f"{each / math.log(2):.4f} bits per {symbol}, over {len(log_p):,}"
    )
