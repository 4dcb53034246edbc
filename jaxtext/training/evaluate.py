"""The loss of a model on a text, in nats per symbol."""

from collections.abc import Callable, Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.of_model import model_params
from jaxtext.text.batches import Batch
from jaxtext.text.file_array import Ids
from jaxtext.training.objective import a_batch, count_targets, read, valid_targets
from jaxtext.training.surprisal import predictions
from jaxtext.types import Params


def evaluate(
    model: LanguageModel,
    params: Params,
    ids: Ids,
    *,
    window: int | None = None,
    streams: int | None = None,
    chunk: int = 1024,
    progress: Callable[[int, int], None] | None = None,
) -> float:
    """The mean cross-entropy of a model on a text, in nats per symbol.

    ::

        -1/(n - 1) Σ_{t=2}^{n} log p(s_t | s_1 … s_tm1)

    Without a window the protocol is *carried*: the text is read from the zero state,
    and the state is carried to the end. With several `streams`, the text is cut into
    that many parts, which are read in parallel, each from the zero state. This is
    faster, and the loss is slightly higher, since a part does not know what came before
    it.

    With a window of ``W`` the protocol is *cold-W*: the text is cut into windows of
    ``W`` predictions, the last of which may be shorter, and each is read from the zero
    state. So each symbol is predicted from the 1 to ``W`` symbols before it in its
    window. Transformers with a context of ``W`` are usually evaluated so, such as
    nanoGPT with 256.

    Args:
      model: The model.
      params: Its parameters.
      ids: ``[n]`` integers, at least two. A file is read piece by piece.
      window: ``W``. ``None``: the state is carried.
      streams: How many parts to read in parallel. Without a window the default is 1.
        With one, the result does not depend on it, and by default windows of about
        8192 symbols in all are read at once.
      chunk: Without a window, how many symbols of each stream one call of the compiled
        function reads.
      progress: Called after each such call with the number of symbols predicted so far
        and in all. An error that it raises ends the evaluation.

    Returns:
      Nats per symbol. Divide by ``ln 2`` for bits.

    Raises:
      InputError: If there are fewer than two symbols, or a number is out of range.

    Example:
      >>> import jax, jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=4)
      >>> ids = np.array([0, 1, 2, 3] * 5)
      >>> state = model.initial_state((1,))
      >>> variables = model.init(jax.random.key(0), state, ids[None])
      >>> 1.0 < evaluate(model, variables["params"], ids) < 2.0  # uniform: ln 4 = 1.39
      True
    """
    pieces = predictions(
        model,
        params,
        ids,
        window=window,
        streams=streams,
        chunk=chunk,
        progress=progress,
    )
    total = sum(float(piece.nats.sum(dtype=np.float64)) for piece in pieces)
    return total / (len(ids) - 1)


def evaluate_batches(
    model: LanguageModel, params: Params, batches: Iterable[Batch]
) -> float:
    """The mean cross-entropy over the targets of batches, in nats per symbol.

    Each batch is read from the zero state, so batches may come in any order and have
    different shapes. All valid targets have the same weight, and padding has none. So
    the result does not depend on how documents are divided into batches, nor on how far
    they are padded.

    Args:
      model: The model.
      params: Its parameters.
      batches: The batches, such as those of `jaxtext.text.pad_documents`. The model is
        compiled once for each shape.

    Returns:
      Nats per symbol. Divide by ``ln 2`` for bits.

    Raises:
      InputError: If there is no valid target.

    Example:
      >>> import jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=4)
      >>> params = model.init(jax.random.key(0), None, [[0]])["params"]
      >>> documents = [[0, 1, 2, 3, 0], [3, 2], [1, 1, 1]]
      >>> together = evaluate_batches(model, params, [jt.text.pad_documents(documents)])
      >>> alone = (jt.text.pad_documents([document]) for document in documents)
      >>> bool(np.isclose(together, evaluate_batches(model, params, alone)))
      True
    """
    total, predicted = 0.0, 0
    params = model_params(model, params)
    for batch in batches:
        nats, targets = _sum_losses(model, params, a_batch(batch))
        total, predicted = total + float(nats), predicted + int(targets)
    if not predicted:
        raise InputError("batches: expected at least one symbol to predict, got none")
    return total / predicted


@partial(jax.jit, static_argnums=0)
def _sum_losses(model, params, batch):
    """The sum of a batch's losses, and the number of its valid targets."""
    state = model.initial_state(batch.inputs.shape[:1])
    _, losses = read(model, params, state, batch)
    return jnp.sum(losses, where=valid_targets(batch)), count_targets(batch)
