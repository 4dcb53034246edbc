"""The predictions of a model for each symbol of a text."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtext.errors import InputError
from jaxtext.kernels.cross_entropy import of_logits
from jaxtext.model import LanguageModel
from jaxtext.of_model import model_params, symbols
from jaxtext.quantities import count
from jaxtext.text.file_array import Ids, as_ids, windows
from jaxtext.types import Params

_AT_ONCE = 8192  # symbols of windows that are read in parallel by default


class Predicted(NamedTuple):
    """The predictions for some symbols of a text.

    Attributes:
      nats: ``[n]`` float32, the surprisal of each symbol, ``-log p``.
      likeliest: ``[n, k]`` int32, the ``k`` symbols that were likeliest in its place,
        in order.
      probabilities: ``[n, k]`` float32, their probabilities.
    """

    nats: np.ndarray
    likeliest: np.ndarray
    probabilities: np.ndarray


def predictions(
    model: LanguageModel,
    params: Params,
    ids: Ids,
    *,
    window: int | None = None,
    streams: int | None = None,
    chunk: int = 1024,
    likeliest: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Predicted]:
    """Yields the model's predictions for every symbol of a text except the first.

    Args:
      model: The model.
      params: Its parameters.
      ids: ``[n]`` integers, at least two. A file is read piece by piece.
      window: The number of predictions in a window. Each window is read from the zero
        state. ``None``: the state is carried through the text.
      streams: How many parts to read in parallel. Without a window, the text is cut
        into that many equal parts, each read from the zero state (default 1). With one,
        it is the number of windows read at once, and only the speed depends on it
        (default: windows of about 8192 symbols in all).
      chunk: Without a window, how many symbols of each part one call of the compiled
        function reads.
      likeliest: ``k``, how many of the likeliest symbols to return, at most ``V``.
      progress: Called after each call of the compiled function with the number of
        symbols predicted so far and in all. An error that it raises ends the reading.

    Yields:
      Pieces with ``n - 1`` symbols in all. They are in the order of the text, except
      with several streams and no window.

    Raises:
      InputError: If there are fewer than two symbols, or a number is out of range.
    """
    params, ids = model_params(model, params), as_ids(ids)
    n = len(ids) - 1
    if n < 1:
        raise InputError(f"ids: expected at least 2 symbols, got {len(ids)}")
    streams = None if streams is None else count("streams", streams)
    likeliest = count("likeliest", likeliest, 0)
    if likeliest > model.vocab_size:
        raise InputError(
            f"likeliest: expected at most {model.vocab_size}, the size of the "
            f"vocabulary, got {likeliest}"
        )
    if window is None:
        parts = _carried(ids, min(streams or 1, n), count("chunk", chunk))
    else:
        window = min(count("window", window), n)
        at_once = streams or max(1, _AT_ONCE // window)
        parts = in_windows(ids, window, min(at_once, _rounded_up(-(-n // window))))
    state, done = None, 0
    for part in parts:
        for read in (part.inputs, part.targets):
            symbols("ids", read[part.counts], model.vocab_size)
        if part.fresh:
            state = model.initial_state((len(part.inputs),))
        state, said = _read(model, params, state, part.inputs, part.targets, likeliest)
        said = Predicted(*(np.asarray(x)[part.counts] for x in said))
        done += len(said.nats)
        if progress is not None:
            progress(done, n)
        yield said


def surprisals(
    model: LanguageModel,
    params: Params,
    ids: Ids,
    *,
    window: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """The surprisal of every symbol of a text except the first, in nats.

    ::

        -log p(s_t | s_1 … s_tm1)    carried
        -log p(s_t | s_k … s_tm1)    in windows, s_k the first input of its window

    Args:
      model: The model.
      params: Its parameters.
      ids: ``[n]`` integers, at least two.
      window: As for `predictions`.
      progress: As for `predictions`.

    Returns:
      ``[n - 1]`` float32, in the order of the text. `evaluate` returns their mean.

    Raises:
      InputError: If there are fewer than two symbols, or the window is below 1.

    Example:
      >>> import jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=4)
      >>> ids = np.array([0, 1, 2, 3] * 5)
      >>> state = model.initial_state((1,))
      >>> variables = model.init(jax.random.key(0), state, ids[None])
      >>> surprisals(model, variables["params"], ids, window=8).shape
      (19,)
    """
    pieces = predictions(model, params, ids, window=window, progress=progress)
    return np.concatenate([piece.nats for piece in pieces])


class Part(NamedTuple):
    """Some parts of a text, read in parallel."""

    inputs: np.ndarray  # [B, T]
    targets: np.ndarray  # [B, T]
    counts: np.ndarray  # [B, T] bool, false after the end of the text or the stream
    fresh: bool  # whether to start from the zero state


def _rounded_up(size: int) -> int:
    """The next power of two, so that texts of other sizes rarely compile again."""
    return 1 << (size - 1).bit_length()


def _carried(ids: Ids, streams: int, chunk: int) -> Iterator[Part]:
    n = len(ids) - 1
    # Stream b predicts ids[starts[b] + 1 : starts[b + 1] + 1].
    starts = np.arange(streams + 1) * n // streams
    longest = int(np.diff(starts).max())
    chunk = min(chunk, _rounded_up(longest))
    for offset in range(0, longest, chunk):
        begins = starts[:-1] + offset
        counts = begins[:, None] + np.arange(chunk) < starts[1:, None]
        # A shorter stream reads on into the next one, which does not count. None reads
        # beyond the text, since the last is among the longest. All chunks have the same
        # shape.
        width = min(chunk, longest - offset)
        read = windows(ids, begins, width + 1)
        read = np.pad(read, ((0, 0), (0, chunk - width)))
        yield Part(read[:, :-1], read[:, 1:], counts, offset == 0)


def in_windows(ids: Ids, window: int, rows: int) -> Iterator[Part]:
    """The windows of a text, `rows` of them at a time."""
    size = rows * window
    for begin in range(0, len(ids) - 1, size):
        # Neighbouring rows are neighbours in the text.
        read = np.asarray(ids[begin : begin + size + 1])
        counts = np.arange(size) < len(read) - 1
        read = np.pad(read, (0, size + 1 - len(read)))
        cut = (x.reshape(rows, window) for x in (read[:-1], read[1:], counts))
        yield Part(*cut, fresh=True)


@partial(jax.jit, static_argnums=(0, 5))
def _read(model, params, state, inputs, targets, likeliest):
    inputs, targets = inputs.astype(jnp.int32), targets.astype(jnp.int32)
    variables = {"params": params}
    if not likeliest:
        state, nats = model.apply(variables, state, inputs, targets, method="losses")
        none = jnp.zeros((*targets.shape, 0))
        return state, (nats, none.astype(jnp.int32), none)
    state, logits = model.apply(variables, state, inputs)
    nats, _ = of_logits(logits, targets)
    probabilities, ids = jax.lax.top_k(jax.nn.softmax(logits), likeliest)
    return state, (nats, ids, probabilities)
