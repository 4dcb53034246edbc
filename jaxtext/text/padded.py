"""Batches of separate documents, padded to one length."""

from collections.abc import Sequence

import numpy as np

from jaxtext.errors import InputError
from jaxtext.quantities import count
from jaxtext.text.batches import Batch
from jaxtext.text.file_array import Ids, as_ids


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
