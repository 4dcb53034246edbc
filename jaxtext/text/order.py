"""Documents in another order in each epoch, without a copy of the text.

An epoch reads a text that consists of all documents in a random order. It is never
written down. A file holds where each document begins in it and in the text, 16 bytes a
document, and a window of it is put together from pieces of the text.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxtext.files import unfinished
from jaxtext.text.cache import writing
from jaxtext.text.documents import Documents
from jaxtext.text.file_array import FileArray, Ids, pieces, windows
from jaxtext.text.shuffle import shuffled

_AT_ONCE = 1 << 21  # documents at a time; each time, all ends are read
_EVERY = 256  # of so many documents, one is found in memory
_PURPOSE = 3  # of the seed; the start of an epoch is drawn apart


class Shuffled:
    """Documents in a random order, which is another one in each epoch.

    Give this to `Streams` in place of ids. The order is a pure function of seed and
    epoch. It is found when the epoch is first asked for, in constant memory: for text
    in a file it is in an unnamed file beside it, which disappears with this object.

    Args:
      documents: The documents.

    Example:
      >>> from jaxtext.text import Documents
      >>> text = Shuffled(Documents.of([9, 3, 1, 9, 4, 9, 5, 9], end=9))
      >>> text.epoch(seed=0, epoch=0).windows(np.array([0]), text.size).tolist()
      [[9, 3, 1, 9, 4, 9, 5, 9]]
    """

    def __init__(self, documents: Documents):
        self.documents: Documents = documents
        self._found: tuple[tuple[int, int], Epoch] | None = None

    @property
    def size(self) -> int:
        """``N``, the number of symbols, ends included."""
        return self.documents.size

    @property
    def end(self) -> int:
        """The id of the symbol that ends documents."""
        return self.documents.end

    def epoch(self, seed: int, epoch: int) -> "Epoch":
        """The text of an epoch. That of the last one that was asked for is kept.

        Args:
          seed: The seed of the run, at least 0.
          epoch: Counts from 0.

        Raises:
          InputError: If the cache cannot be written, or the text cannot be read.
        """
        which = (seed, epoch)
        if self._found is None or self._found[0] != which:
            self._found = None  # first, so that there are never two files
            self._found = which, Epoch(self.documents, (*which, _PURPOSE))
        return self._found[1]


class Epoch:
    """The text of one epoch of `Shuffled`, ``[N]``, of which windows can be read.

    Args:
      documents: The documents.
      seed: Determines their order.
    """

    def __init__(self, documents: Documents, seed: tuple[int, ...]):
        self._ids: Ids = documents.ids
        self._count = len(documents) + 1
        index = []

        def found() -> Iterator[np.ndarray]:
            done = 0
            for records in _records(documents, seed):
                index.append(records[-done % _EVERY :: _EVERY, 0].copy())
                done += len(records)
                yield records

        if isinstance(documents.ids, FileArray):
            folder = documents.ids.path.parent
            with writing(folder), unfinished(folder) as file:
                for records in found():
                    file.write(records.data)
                file.flush()
                self._records: Ids = FileArray(Path(file.name)).view(np.dtype(np.int64))
        else:
            self._records = np.concatenate([x.reshape(-1) for x in found()])
        self._index = np.concatenate(index)

    def windows(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Reads windows of the same length, as `FileArray.windows`.

        Args:
          starts: Where each window starts, ``[n]`` integers.
          length: The length of each window.

        Returns:
          The windows, ``[n, length]``.
        """
        most = min(length, self._count)  # documents in a window
        read = min(_EVERY + most, self._count)
        first = _EVERY * (np.searchsorted(self._index, starts, "right") - 1)
        first = np.minimum(first, self._count - read)
        records = windows(self._records, 2 * first, 2 * read)
        begins, sources = records[:, ::2], records[:, 1::2]
        place = (begins <= starts[:, None]).sum(1) - 1  # where the window begins
        places = place[:, None] + np.arange(most + 1)
        over = places >= read  # beyond the last record, or not needed
        places = np.minimum(places, read - 1)
        begins = np.where(
            over, np.iinfo(np.int64).max, np.take_along_axis(begins, places, 1)
        )
        sources = np.take_along_axis(sources, places[:, :-1], 1)
        low = np.maximum(begins[:, :-1], starts[:, None])
        sizes = np.minimum(begins[:, 1:], starts[:, None] + length) - low
        needed = sizes > 0
        offsets = (sources + low - begins[:, :-1])[needed]
        found = pieces(self._ids, offsets, sizes[needed])
        return found.reshape(len(starts), length)


def _records(documents: Documents, seed: tuple[int, ...]) -> Iterator[np.ndarray]:
    """``[n, 2]`` int64: where documents begin in the epoch, and in the text."""
    total, count = 0, len(documents)
    for first in range(0, count, _AT_ONCE):
        places = np.arange(first, min(first + _AT_ONCE, count))
        begins, sizes = _found(documents.ends, shuffled(places, count, seed))
        ends = total + np.cumsum(sizes)
        yield np.stack([ends - sizes, begins], axis=1)
        total = int(ends[-1])
    # The end of the last document, which none begins with.
    yield np.array([[total, len(documents.ids) - 1]])


def _found(ends: Ids, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where documents begin in the text, and how far it is to the next one."""
    if not isinstance(ends, FileArray):
        return ends[documents], ends[documents + 1] - ends[documents]
    # Read from beginning to end, since reading here and there takes a call for each.
    order = np.argsort(documents)
    documents = documents[order]
    begins, sizes = np.empty_like(documents), np.empty_like(documents)
    for first in range(0, len(ends) - 1, _AT_ONCE):
        part = np.asarray(ends[first : first + _AT_ONCE + 1])
        low, high = np.searchsorted(documents, [first, first + _AT_ONCE])
        which = documents[low:high] - first
        begins[order[low:high]] = part[which]
        sizes[order[low:high]] = part[which + 1] - part[which]
    return begins, sizes
