"""Documents: where each begins and ends in a text, in memory or in a file."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxtext.errors import InputError
from jaxtext.files import unfinished
from jaxtext.text.cache import writing
from jaxtext.text.file_array import FileArray, Ids, as_ids, windows

_AT_ONCE = 1 << 18  # symbols, or documents, at a time


class Lengths(NamedTuple):
    """How long documents are, in characters.

    Attributes:
      shortest: The fewest.
      median: As many or fewer, in half of the documents.
      longest: The most.
    """

    shortest: int
    median: int
    longest: int


@dataclass(frozen=True, eq=False)
class Documents:
    """A text of documents, and where each of them ends.

    Args:
      ids: ``[N]`` integers. The first and the last are `end`, and one stands between
        two documents: it ends one and begins the next.
      ends: ``[D + 1]`` int64, the places of `end` in `ids`, in order. Document ``i`` is
        ``ids[ends[i] + 1 : ends[i + 1]]``.
      end: The id of the symbol that ends documents.

    Example:
      >>> documents = Documents.of([9, 3, 1, 9, 4, 9], end=9)
      >>> len(documents), documents[0].tolist(), documents.ends.tolist()
      (2, [3, 1], [0, 3, 5])
    """

    ids: Ids
    ends: Ids
    end: int

    @classmethod
    def of(cls, ids: Ids | Sequence[int], end: int) -> "Documents":
        """Finds the ends of documents in a text.

        Args:
          ids: As for `Documents`. If they are in a file, so are the ends that are
            found: in an unnamed file beside it, which disappears with the array.
          end: The id of the symbol that ends documents.

        Raises:
          InputError: If the first or the last of the ids is not `end`, or there are
            fewer than two; or if the file cannot be written.
        """
        text: Ids = as_ids(ids)
        around = [int(np.asarray(x)[0]) for x in (text[:1], text[-1:]) if len(x)]
        if len(text) < 2 or around != [end, end]:
            raise InputError(
                f"ids: expected documents that begin and end with {end}, the symbol "
                "between them, got others; put one at the beginning and one at the end"
            )
        if not isinstance(text, FileArray):
            return cls(text, np.flatnonzero(text == end), end)
        folder = text.path.parent
        with writing(folder), unfinished(folder) as file:
            for begin, piece in _pieces(text):
                file.write((np.flatnonzero(piece == end) + begin).data)
            file.flush()
            ends = FileArray(Path(file.name)).view(np.dtype(np.int64))
        return cls(text, ends, end)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int) -> np.ndarray:
        """Document ``i``, ``[n_i]`` integers, without the ends around it."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"document {i} of {len(self)}")
        begin, end = np.asarray(self.ends[i % len(self) : i % len(self) + 2]).tolist()
        return np.asarray(self.ids[begin + 1 : end])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    @property
    def size(self) -> int:
        """``N``, the number of symbols, ends included."""
        return len(self.ids)

    def epoch(self, seed: int, epoch: int) -> "Documents":
        """The documents in the order of an epoch, which is always the same here."""
        return self

    def windows(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Reads windows of the text, as `FileArray.windows`."""
        return windows(self.ids, starts, length)

    def lengths(self) -> Lengths:
        """The lengths of the shortest, the median and the longest document.

        Example:
          >>> Documents.of([9, 3, 1, 9, 4, 9], end=9).lengths()
          Lengths(shortest=1, median=1, longest=2)
        """
        # There are few distinct lengths: their sum is less than the text's.
        counts = Counter[int]()
        for begin in range(0, len(self), _AT_ONCE):
            ends = np.asarray(self.ends[begin : begin + _AT_ONCE + 1])
            found = np.unique(np.diff(ends) - 1, return_counts=True)
            counts.update(dict(zip(*(x.tolist() for x in found), strict=True)))
        lengths = np.array(sorted(counts))
        reached = np.cumsum([counts[int(length)] for length in lengths])
        median = lengths[np.searchsorted(reached, -(-len(self) // 2))]
        return Lengths(int(lengths[0]), int(median), int(lengths[-1]))


def _pieces(ids: Ids) -> Iterator[tuple[int, np.ndarray]]:
    for begin in range(0, len(ids), _AT_ONCE):
        yield begin, np.asarray(ids[begin : begin + _AT_ONCE])
