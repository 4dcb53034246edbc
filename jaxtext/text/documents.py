"""Documents: where each begins and ends in a text, in memory or in a file."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxtext.errors import InputError
from jaxtext.files import unfinished
from jaxtext.quantities import count
from jaxtext.text.batches import Batch
from jaxtext.text.cache import writing
from jaxtext.text.file_array import FileArray, Ids, as_ids

_AT_ONCE = 1 << 20  # symbols, or documents, at a time


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
        ids = as_ids(ids)
        if len(ids) < 2 or {int(np.asarray(x)[0]) for x in (ids[:1], ids[-1:])} != {
            end
        }:
            raise InputError(
                f"ids: expected documents that begin and end with {end}, the symbol "
                "between them, got others; put one at the beginning and one at the end"
            )
        if not isinstance(ids, FileArray):
            return cls(ids, np.flatnonzero(ids == end), end)
        folder = ids.path.parent
        with writing(folder), unfinished(folder) as file:
            for begin, piece in _pieces(ids):
                file.write((np.flatnonzero(piece == end) + begin).data)
            file.flush()
            ends = FileArray(Path(file.name)).view(np.dtype(np.int64))
        return cls(ids, ends, end)

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


def pad_documents(
    documents: Sequence[Ids | Sequence[int]], length: int | None = None
) -> Batch:
    """Makes one batch of documents, a row each.

    Every document is read from the zero state, and each of its symbols but the first is
    predicted from those before it. Padding is at the end and holds zeros.

    Args:
      documents: ``B`` documents, ``[n_i]`` integers each. One of fewer than two symbols
        has nothing to predict, so its row has length 0. Add ``[]`` to fill a batch up
        to a fixed number of rows.
      length: ``T``, to which all are padded, at least ``n_i - 1``. ``None``: the least
        that holds them all. `jax.jit` compiles a step for each ``T``, so give batches
        of similar documents the same one.

    Returns:
      A batch of inputs and targets ``[B, T]`` with lengths ``n_i - 1``.

    Raises:
      InputError: If there is no document, one is not a row of integers, or one is
        longer than `length` allows.

    Example:
      >>> batch = pad_documents([[5, 3, 8], [2, 4]])
      >>> batch.inputs.tolist(), batch.targets.tolist(), batch.lengths.tolist()
      ([[5, 3], [2, 0]], [[3, 8], [4, 0]], [2, 1])
    """
    rows = [as_ids(d) if len(d) else np.empty(0, np.uint8) for d in documents]
    if not rows:
        raise InputError("documents: expected at least one, got none")
    lengths = np.array([max(len(row) - 1, 0) for row in rows], np.int32)
    longest = int(lengths.max())
    length = max(longest, 1) if length is None else count("length", length)
    if length < longest:
        raise InputError(
            f"length: expected at least {longest}, one less than the symbols of the "
            f"longest document, got {length}; cut the document or raise the length"
        )
    inputs = np.zeros((len(rows), length), np.result_type(*(x.dtype for x in rows)))
    targets, resets = np.zeros_like(inputs), np.zeros(inputs.shape, bool)
    for i, n in enumerate(lengths):
        inputs[i, :n], targets[i, :n] = rows[i][:n], rows[i][1 : n + 1]
    resets[:, 0] = True
    return Batch(inputs, targets, resets, lengths)
