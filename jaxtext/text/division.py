"""Documents to train on and documents to validate on."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from jaxtext.errors import InputError
from jaxtext.files import unfinished
from jaxtext.quantities import fraction
from jaxtext.text.batches import kept_for_training
from jaxtext.text.cache import writing
from jaxtext.text.documents import Documents
from jaxtext.text.file_array import FileArray, Ids
from jaxtext.text.vocabulary import Vocabulary, code_points

_AT_ONCE = 1 << 18  # symbols at a time
_PURPOSE = 4  # of the seed


def split_documents(documents: Documents, val_fraction: float) -> tuple[Ids, Ids]:
    """Splits documents into those at the beginning and those at the end.

    Args:
      documents: The documents.
      val_fraction: The share of the end, as for `split`. The document that the cut
        falls into is at the beginning, unless it is the last one: then it is the end.

    Returns:
      ``(train, validation)``, slices of the ids. Both begin and end with
      ``documents.end``, unless there is no document in one: then it is empty.

    Raises:
      InputError: If the fraction is out of range, or leaves nothing to train on.

    Example:
      >>> documents = Documents.of(np.array([9, 3, 1, 9, 4, 9, 5, 5, 9]), end=9)
      >>> split_documents(documents, 0.6)
      (array([9, 3, 1, 9]), array([9, 4, 9, 5, 5, 9]))
    """
    ids, ends = documents.ids, documents.ends
    kept = kept_for_training(len(ids), val_fraction)
    if len(documents) == 1 or kept == len(ids):
        return ids, ids[:0]
    # The first end that is not before the cut, if documents follow it.
    low, high = 1, len(documents) - 1
    while low < high:
        middle = (low + high) // 2
        if int(np.asarray(ends[middle : middle + 1])[0]) >= kept - 1:
            high = middle
        else:
            low = middle + 1
    cut = int(np.asarray(ends[low : low + 1])[0])
    return ids[: cut + 1], ids[cut:]


def draw_documents(
    documents: Documents, vocabulary: Vocabulary, val_fraction: float, seed: int
) -> tuple[Ids, Ids]:
    """Draws documents to validate on, each by a hash of the seed and its characters.

    Whether a document is drawn does not depend on any other, nor on the order. Equal
    documents are drawn together, so none stands on both sides. Memory is constant: the
    two texts of ids in a file are in unnamed files beside it.

    Args:
      documents: The documents.
      vocabulary: What their ids mean.
      val_fraction: The probability of each document, at least 0 and below 1.
      seed: Another one draws others.

    Returns:
      ``(train, validation)``, both in the order of the text, and both with
      ``documents.end`` at the beginning, between documents and at the end. One without
      a document is empty.

    Raises:
      InputError: If the fraction is out of range, nothing is left to train on, or the
        cache cannot be written.

    Example:
      >>> vocabulary = Vocabulary("chars", "abc", ends=True)
      >>> ids = np.array([3, 0, 3, 1, 3, 2, 3, 0, 1, 3, 0, 3])
      >>> draw_documents(Documents.of(ids, end=3), vocabulary, 0.5, seed=0)
      (array([3, 0, 3, 1, 3, 0, 1, 3, 0, 3]), array([3, 2, 3]))
    """
    val_fraction = fraction("val_fraction", val_fraction)
    parts = _parts(documents, vocabulary, val_fraction, seed)
    if isinstance(documents.ids, FileArray):
        train, validation = _in_files(documents.ids, parts)
    else:
        train, validation = (np.concatenate(x) for x in zip(*parts, strict=True))
    if len(train) < 2:
        raise InputError(
            f"a validation fraction of {val_fraction} leaves none of "
            f"{len(documents):,} documents to train on; lower it"
        )
    return train, validation if len(validation) > 1 else validation[:0]


def _in_files(ids, parts):
    folder = ids.path.parent
    with writing(folder), ExitStack() as stack:
        files = [stack.enter_context(unfinished(folder)) for _ in range(2)]
        for pieces in parts:
            for file, piece in zip(files, pieces, strict=True):
                file.write(np.ascontiguousarray(piece).data)
        for file in files:
            file.flush()
        return [FileArray(Path(file.name)).view(ids.dtype) for file in files]


def _parts(documents, vocabulary, val_fraction, seed) -> Iterator[tuple]:
    """Pieces of the two texts, side by side."""
    ids, end = documents.ids, documents.end
    first = np.asarray(ids[:1])
    yield first, first
    begun = 1  # of the document that a piece begins in the middle of
    threshold = np.uint64(min(int(val_fraction * 2**64), 2**64 - 1))
    for begin, ends, sums in _sums(ids, end, vocabulary, seed):
        if not len(ends):
            continue
        drawn = _mixed(sums) < threshold
        if begun < begin:  # the beginning of the document that ends first
            for at in range(begun, begin, _AT_ONCE):
                piece = np.asarray(ids[at : min(at + _AT_ONCE, begin)])
                nothing = piece[:0]
                yield (nothing, piece) if drawn[0] else (piece, nothing)
            begun = begin
        # Each symbol goes where the document goes that ends next.
        sizes = np.diff(ends, prepend=begun - 1)
        piece = np.asarray(ids[begun : int(ends[-1]) + 1])
        chosen = np.repeat(drawn, sizes)
        yield piece[~chosen], piece[chosen]
        begun = int(ends[-1]) + 1


def _sums(ids, end, vocabulary, seed):
    """For each piece: where it begins, where documents end, and sums for these.

    A sum is over hashes of a document's characters and their places. So that of a long
    document is added up over several pieces.
    """
    points = np.zeros(len(vocabulary), np.uint64)
    points[: len(vocabulary.characters)] = code_points(vocabulary.characters)
    key = np.random.default_rng((seed, _PURPOSE)).integers(2**64, dtype=np.uint64)
    last, carried = 0, np.zeros(1, np.uint64)  # the last end, and the sum since then
    for begin in range(1, len(ids), _AT_ONCE):
        piece = np.asarray(ids[begin : begin + _AT_ONCE])
        index = np.arange(begin, begin + len(piece))
        at_end = piece == end
        since = index - np.maximum.accumulate(np.where(at_end, index, last))
        hashes = _mixed(_mixed(since.astype(np.uint64) ^ key) ^ points[piece])
        hashes[at_end] = 0
        ends = np.flatnonzero(at_end)
        total = carried + np.cumsum(hashes, dtype=np.uint64)
        total = np.concatenate([total[ends], total[-1:]])
        sums = np.diff(total, prepend=np.uint64(0))
        carried = sums[-1:]
        if len(ends):
            last = int(ends[-1]) + begin
        yield begin, ends + begin, sums[:-1]


def _mixed(x: np.ndarray) -> np.ndarray:
    """Mixes 64 bits, each of which depends on all others (splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
