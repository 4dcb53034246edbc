"""The symbols that a text has most often."""

import numpy as np

from jaxtext.errors import InputError
from jaxtext.quantities import count
from jaxtext.text.file_array import Ids, as_ids

_AT_ONCE = 1 << 20  # symbols that are counted at a time


def most_frequent(ids: Ids, vocab_size: int, symbols: int) -> tuple[int, ...]:
    """The most frequent symbols of a text, the most frequent one first.

    Args:
      ids: ``[n]`` integers in ``[0, V)``. A file is read piece by piece.
      vocab_size: ``V``.
      symbols: How many to return, at least 1 and below ``V``. Among symbols that are
        equally frequent, those with smaller ids come first.

    Returns:
      Their ids.

    Raises:
      InputError: If a number is out of range.

    Example:
      >>> most_frequent([2, 0, 2, 1, 2, 1], vocab_size=4, symbols=2)
      (2, 1)
    """
    ids, symbols = as_ids(ids), count("symbols", symbols)
    if symbols >= vocab_size:
        raise InputError(
            f"symbols: expected fewer than the {vocab_size} of the vocabulary, got "
            f"{symbols}"
        )
    counts = np.zeros(vocab_size, np.int64)
    for begin in range(0, len(ids), _AT_ONCE):
        piece = np.asarray(ids[begin : begin + _AT_ONCE])
        counts += np.bincount(piece, minlength=vocab_size)
    order = np.argsort(-counts, kind="stable")
    return tuple(order[:symbols].tolist())
