"""Which documents stand in a text of documents, compared symbol by symbol."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxtext.text.documents import Documents

_AT_ONCE = 1 << 20  # symbols, or documents


def isin(candidates: Sequence[ArrayLike], documents: Documents) -> np.ndarray:
    """Says which of some documents stand in a text, as a whole document there.

    The text is read once, in constant memory: about ten million symbols a second, of
    short documents.

    Args:
      candidates: ``n`` documents, ``[n_i]`` integers each, without ends.
      documents: Those of the text.

    Returns:
      ``[n]`` booleans.

    Example:
      >>> documents = Documents.of([9, 3, 1, 9, 4, 9], end=9)
      >>> isin([[3, 1], [3], [4], []], documents)
      array([ True, False,  True, False])
    """
    found = np.zeros(len(candidates), bool)
    sought: dict[int, list[int]] = defaultdict(list)  # indices, by length
    for i, candidate in enumerate(candidates):
        if len(row := np.asarray(candidate)):
            sought[len(row)].append(i)
    dtype = np.int32
    rows = {
        size: np.array([np.asarray(candidates[i]) for i in indices], dtype)
        for size, indices in sought.items()
    }
    for text, starts, sizes in _parts(documents, max(sought, default=0)):
        for size in np.intersect1d(sizes, list(sought)).tolist():
            at = starts[sizes == size, None] + np.arange(size)
            there = text[at].astype(dtype, copy=False)
            found[sought[size]] |= np.isin(_whole(rows[size]), _whole(there))
    return found


def _parts(
    documents: Documents, longest: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Parts of the text, and where each of their documents begins, and its length.

    Documents that are longer than `longest` are left out.
    """
    ids = documents.ids
    for begin in range(0, len(documents), _AT_ONCE):
        ends = np.asarray(documents.ends[begin : begin + _AT_ONCE + 1])
        starts, sizes = ends[:-1] + 1, np.diff(ends) - 1
        kept = sizes <= longest
        starts, sizes = starts[kept], sizes[kept]
        at = 0
        while at < len(starts):
            # As many as lie within so many symbols, and one at least.
            last = np.searchsorted(starts, starts[at] + _AT_ONCE)
            own = slice(at, int(last))
            first, stop = int(starts[at]), int(starts[last - 1] + sizes[last - 1])
            yield np.asarray(ids[first:stop]), starts[own] - first, sizes[own]
            at = int(last)


def _whole(rows: np.ndarray) -> np.ndarray:
    """Rows as values that are compared whole."""
    return np.ascontiguousarray(rows).view(f"V{rows.shape[1] * rows.itemsize}").ravel()
