"""What an evaluation measures: the loss of a model on a text, in all its units."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import jaxtext as jt
from common.screen import Screen
from jaxtext.text import Ids
from jaxtext.training import DynamicRule, evaluate_dynamic, gradient_rms, surprisals
from jaxtext.training import predictions as predict
from jaxtext.types import Params

# Gradient statistics, as in Krause et al.'s own program: 100 streams, in segments of
# the length that dynamic evaluation takes; of so many batches at most.
STREAMS, BATCHES = 100, 50


class Static(NamedTuple):
    """The loss of a model that does not change.

    Attributes:
      nats: Mean nats per symbol.
      by_position: Positions in a window, mean nats there, and of how many symbols;
        empty without windows.
      ends: How many of the symbols end a document.
      nats_of_ends: The sum of their nats.
    """

    nats: float
    by_position: Sequence[tuple[str, float, int]]
    ends: int = 0
    nats_of_ends: float = 0.0


def static_loss(
    model: jt.LanguageModel,
    params: Params,
    ids: Ids,
    window: int | None,
    display: Screen,
) -> Static:
    """Predicts each symbol of a text but the first.

    Args:
      model: The model.
      params: Its parameters.
      ids: The text.
      window: Begin anew after this many predictions; ``None`` carries the state on.
      display: Shows a bar.
    """
    display.start("evaluating", len(ids) - 1)
    total, done, ends, of_ends = 0.0, 0, 0, 0.0
    sums, counts = np.zeros(window or 1), np.zeros(window or 1, int)
    for piece in predict(model, params, ids, window=window, progress=display.advance):
        total += float(piece.nats.sum(dtype=np.float64))
        if window:
            at = np.arange(done, done + len(piece.nats)) % window
            sums += np.bincount(at, piece.nats, window)
            counts += np.bincount(at, minlength=window)
        if model.end is not None:
            read = np.asarray(ids[done + 1 : done + 1 + len(piece.nats)])
            ends += int((read == model.end).sum())
            of_ends += float(piece.nats[read == model.end].sum(dtype=np.float64))
        done += len(piece.nats)
    by_position, begin, end = [], 0, 1
    while window and begin < window:  # positions 1, 2, 3–4, 5–8, …
        if count := int(counts[begin:end].sum()):
            where = f"{end}" if end - begin == 1 else f"{begin + 1}–{end}"
            by_position.append((where, float(sums[begin:end].sum()) / count, count))
        begin, end = end, min(2 * end, window)
    return Static(total / done, by_position, ends, of_ends)


def gradient_statistics(
    model: jt.LanguageModel,
    params: Params,
    train: Ids,
    rule: DynamicRule,
    display: Screen,
) -> Params:
    """What dynamic evaluation has to know of the training text.

    Args:
      model: The model.
      params: Its parameters.
      train: What it was trained on.
      rule: How it learns.
      display: Shows a bar.
    """
    size, length = jt.text.fit(len(train), STREAMS, rule.segment)
    streams = jt.text.Streams(train, size, length)
    count = min(BATCHES, streams.batches_per_epoch)
    display.start("gradient statistics", count)

    def batches():
        for k in range(count):
            display.advance(k)
            yield streams.batch(seed=0, k=k)

    return gradient_rms(model, params, batches())


def dynamic_loss(
    model: jt.LanguageModel,
    params: Params,
    train: Ids,
    ids: Ids,
    rule: DynamicRule,
    display: Screen,
) -> float:
    """Nats per symbol of a text while the model goes on learning from it.

    Args:
      model: The model.
      params: Its parameters.
      train: What it was trained on, for gradient statistics.
      ids: The text.
      rule: How it learns.
      display: Shows a bar.
    """
    rms = gradient_statistics(model, params, train, rule, display)
    display.start("dynamic evaluation", len(ids) - 1)
    return evaluate_dynamic(model, params, rms, ids, rule, progress=display.advance)


def ensemble_loss(
    members: Sequence[tuple[jt.LanguageModel, Params]],
    ids: Ids,
    window: int | None,
    display: Screen,
) -> float:
    """Nats per symbol of a text, predicted with the mean of models' probabilities.

    ::

        -1/(n - 1) Σ_{t=2}^{n} log (1/K Σ_k p_k(s_t | s_1 … s_tm1))

    Args:
      members: The ``K`` models and their parameters.
      ids: The text, ``[n]``.
      window: As for `static_loss`.
      display: Shows a bar for each member.
    """
    logs = []
    for model, params in members:
        display.start("evaluating the ensemble", len(ids) - 1)
        progress = display.advance
        nats = surprisals(model, params, ids, window=window, progress=progress)
        logs.append(-nats.astype(np.float64))
    return math.log(len(logs)) - float(np.logaddexp.reduce(logs).mean())


def of_static(static: Static, symbols: int, size: int) -> dict[str, Any]:
    """The loss of a model that does not change, in all its units.

    For documents, the loss of a character is that without the ends, and there are those
    of a symbol, ends included, and of a whole document.

    Args:
      static: What was measured.
      symbols: How many symbols were predicted, ends included.
      size: How many bytes they stand for.
    """
    characters = symbols - static.ends
    if not static.ends:
        return {"characters": symbols, **in_all_units("", static.nats, symbols, size)}
    of_characters = (static.nats * symbols - static.nats_of_ends) / max(1, characters)
    return {
        "characters": characters,
        **in_all_units("", of_characters, characters, size),
        "documents": static.ends,
        **of_documents("", static.nats, symbols, static.ends),
    }


def of_documents(
    prefix: str, nats: float, symbols: int, documents: int
) -> dict[str, float]:
    """A loss with the ends of documents, a symbol and a document.

    Args:
      prefix: What the names of the numbers begin with.
      nats: Mean nats per symbol.
      symbols: How many symbols were predicted.
      documents: How many of these end a document.
    """
    return {
        f"{prefix}nats_per_symbol": nats,
        f"{prefix}bits_per_symbol": nats / math.log(2),
        f"{prefix}nats_per_document": nats * symbols / documents,
    }


def in_all_units(prefix: str, nats: float, count: int, size: int) -> dict[str, Any]:
    """A loss in all its units.

    Args:
      prefix: What the names of the numbers begin with.
      nats: Mean nats per symbol.
      count: How many symbols were predicted.
      size: How many bytes they stand for.
    """
    return {
        f"{prefix}nats_per_char": nats,
        f"{prefix}bits_per_char": nats / math.log(2),
        f"{prefix}nats_per_byte": nats * count / size,
        f"{prefix}bits_per_byte": nats * count / size / math.log(2),
        f"{prefix}perplexity": math.exp(min(nats, 700.0)),  # beyond, no float has it
    }
