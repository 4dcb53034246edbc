"""How well a model predicts a text, in nats per symbol."""

from collections.abc import Callable

import numpy as np

from jaxtext.model import LanguageModel
from jaxtext.text.file_array import Ids
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
