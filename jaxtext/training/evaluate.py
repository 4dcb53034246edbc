"""How well a model predicts a text, in nats per symbol."""

from collections.abc import Callable, Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.text.batches import Batch
from jaxtext.text.file_array import Ids
from jaxtext.training.objective import count_targets, read, valid_targets
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
    """Mean cross-entropy of a text under the model, in nats per symbol.

    ::

        -1/(n - 1) Σ_{t=2}^{n} log p(s_t | s_1 … s_tm1)

    The protocol called *carried*: the text is read once from the zero state, which is
    then carried to its end. More than one stream read as many consecutive parts side by
    side, each from the zero state: faster, and a little worse, since each part begins
    without what came before it.

    With a window of ``W``, the protocol called *cold-W*: the text is cut into
    consecutive windows of ``W`` predictions (the last one may be shorter), and each is
    read from the zero state. So a symbol is predicted from the 1 to ``W`` symbols
    before it that are in its window; all count alike. This is how Transformers with a
    context of ``W`` are usually evaluated, such as nanoGPT with 256.

    Args:
      model: The model.
      params: Its parameters.
      ids: ``[n]`` integers, at least two; from a file they are read piece by piece.
      window: ``W``; ``None`` is carried.
      streams: How many parts to read side by side. Carried: default 1. In windows
        only the speed depends on it; default: some 8192 symbols of windows.
      chunk: Carried, symbols of each stream in one call of the compiled function.
      progress: Called after each such call with the symbols predicted so far and in
        all. What it raises ends the evaluation.

    Returns:
      Nats per symbol. Divide by ``ln 2`` for bits.

    Raises:
      InputError: If there are fewer than two symbols, or the window is below 1.

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
    """Mean cross-entropy over the targets of batches, in nats per symbol.

    Each batch is read from the zero state, so batches may come in any order and have
    any shapes. All valid targets count alike, and padding does not count: the result
    does not depend on how documents are divided into batches or how far they are
    padded.

    Args:
      model: The model.
      params: Its parameters.
      batches: Any number of batches, such as `jaxtext.text.pad_documents` makes. The
        model is compiled for each shape.

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
    for batch in batches:
        nats, targets = _sum_losses(model, params, batch)
        total, predicted = total + float(nats), predicted + int(targets)
    if not predicted:
        raise InputError("batches: expected at least one symbol to predict, got none")
    return total / predicted


@partial(jax.jit, static_argnums=0)
def _sum_losses(model, params, batch):
    """The sum of a batch's losses, and the number of its valid targets."""
    state = model.initial_state(batch.inputs.shape[:1])
    _, _, losses = read(model, params, state, batch)
    return jnp.sum(losses, where=valid_targets(batch)), count_targets(batch)
