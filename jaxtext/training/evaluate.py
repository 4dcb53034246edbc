"""How well a model predicts a text, in nats per symbol."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.text.file_array import Ids, windows
from jaxtext.types import Params


def evaluate(
    model: LanguageModel,
    params: Params,
    ids: Ids,
    *,
    streams: int = 1,
    chunk: int = 1024,
    progress: Callable[[int, int], None] | None = None,
) -> float:
    """Mean cross-entropy of a text under the model, in nats per symbol.

    ::

        -1/(n - 1) Σ_{t=2}^{n} log p(s_t | s_1 … s_tm1)

    With one stream, the protocol called *carried*: the text is read once from the zero
    state, which is then carried to its end. More streams read as many consecutive
    parts side by side, each from the zero state: faster, and a little worse, since
    each part begins without what came before it.

    Args:
      model: The model.
      params: Its parameters.
      ids: ``[n]`` integers, at least two; from a file they are read chunk by chunk.
      streams: How many parts to read side by side.
      chunk: Symbols of each stream in one call of the compiled function.
      progress: Called after each chunk with the symbols predicted so far and in all.
        What it raises ends the evaluation.

    Returns:
      Nats per symbol. Divide by ``ln 2`` for bits.

    Raises:
      InputError: If there are fewer than two symbols.

    Example:
      >>> import jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=4)
      >>> ids = np.array([0, 1, 2, 3] * 5)
      >>> state = model.initial_state((1,))
      >>> variables = model.init(jax.random.key(0), state, ids[None])
      >>> 1.0 < evaluate(model, variables["params"], ids) < 2.0  # uniform: ln 4 = 1.39
      True
    """
    n = len(ids) - 1
    if n < 1:
        raise InputError(f"evaluation needs at least 2 symbols, got {len(ids)}")
    streams = min(streams, n)
    # Stream b predicts ids[starts[b] + 1 : starts[b + 1] + 1].
    starts = np.arange(streams + 1) * n // streams
    longest = int(np.diff(starts).max())
    chunk = min(chunk, longest)
    state = model.initial_state((streams,))
    total, done = 0.0, 0
    for offset in range(0, longest, chunk):
        begins = starts[:-1] + offset
        counts = begins[:, None] + np.arange(chunk) < starts[1:, None]
        # A shorter stream goes on into the next, which does not count, and none beyond
        # the text: the last one is among the longest. Every chunk is of one shape.
        width = min(chunk, longest - offset)
        symbols = windows(ids, begins, width + 1)
        symbols = np.pad(symbols, ((0, 0), (0, chunk - width)))
        inputs, targets = symbols[:, :-1], symbols[:, 1:]
        state, loss = _read_chunk(model, params, state, inputs, targets, counts)
        total += float(loss)
        done += int(counts.sum())
        if progress is not None:
            progress(done, n)
    return total / n


@partial(jax.jit, static_argnums=0)
def _read_chunk(model, params, state, inputs, targets, counts):
    inputs, targets = inputs.astype(jnp.int32), targets.astype(jnp.int32)
    state, logits = model.apply({"params": params}, state, inputs)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return state, jnp.sum(losses, where=counts)
