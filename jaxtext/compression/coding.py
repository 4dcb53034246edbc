"""Arithmetic coding of symbols by a model's probabilities.

The coder is that of the package constriction. It rounds each probability to a multiple
of 2⁻²⁴, above 0, in an order of operations that does not depend on the machine. So
equal probabilities give equal codes, and a symbol costs 24 bits at most.
"""

import importlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxtext.compression.reader import Reader
from jaxtext.errors import InputError
from jaxtext.versions import lacking

Progress = Callable[[int, int], None] | None
WORD = np.dtype("<u4")  # what a code is made of
_LEAST = np.finfo(np.float32).tiny  # below it, float32 has no precise logarithm


def encode(
    reader: Reader, ids: np.ndarray, streams: int, progress: Progress = None
) -> tuple[bytes, float]:
    """Codes symbols.

    Args:
      reader: The model, before it has read anything, with so many streams.
      ids: ``[n]`` integers.
      streams: Into how many parts they are cut, which are read side by side.
      progress: Called with the number of symbols so far and in all.

    Returns:
      The code, and how many bits it should have: ``Σ_t -log2 p(s_t | s_1 … s_tm1)``,
      where ``s_1`` is the first symbol of its part.

    Raises:
      InputError: If the package constriction is not installed, or probabilities are not
        finite.
    """
    package = _constriction()
    family, coder = _family(package), package.stream.queue.RangeEncoder()
    bits = 0.0
    for column in _columns(len(ids), streams):
        symbols = np.where(column.there, ids[column.places], 0).astype(np.int32)
        said = reader.probabilities()
        reader.read(symbols)  # the device goes on while these are coded
        symbols, said = symbols[column.there], said[column.there]
        chosen = np.maximum(np.take_along_axis(said, symbols[:, None], 1), _LEAST)
        bits -= float(np.log2(chosen).sum(dtype=np.float64))
        _check_finite(bits)
        if said.shape[1] > 1:  # or there is nothing to say
            coder.encode(symbols, family, said)
        if progress is not None:
            progress(column.end, len(ids))
    return coder.get_compressed().astype(WORD).tobytes(), bits


def decode(
    reader: Reader, code: bytes, count: int, streams: int, progress: Progress = None
) -> np.ndarray:
    """Decodes symbols.

    Args:
      reader: As for `encode`. It must give the same probabilities, bit for bit.
      code: What `encode` returned.
      count: ``n``.
      streams: As for `encode`.
      progress: As for `encode`.

    Returns:
      ``[n]`` int32. With other probabilities than the encoder had, any symbols.

    Raises:
      InputError: As `encode`; or if no symbols have this code.
    """
    package = _constriction()
    words = np.frombuffer(code, WORD).astype(np.uint32)
    family, coder = _family(package), package.stream.queue.RangeDecoder(words)
    ids = np.zeros(count, np.int32)
    for column in _columns(count, streams):
        said, symbols = reader.probabilities(), np.zeros(streams, np.int32)
        _check_finite(said.sum())
        if said.shape[1] > 1:
            try:
                symbols[column.there] = coder.decode(family, said[column.there])
            except AssertionError as error:
                raise InputError(
                    "the compressed file cannot be decoded: the probabilities are not "
                    "those that it was made with"
                ) from error
        ids[column.places[column.there]] = symbols[column.there]
        reader.read(symbols)
        if progress is not None:
            progress(column.end, count)
    return ids


class _Column(NamedTuple):
    """The symbols that are coded at one step."""

    places: np.ndarray  # [B], where in the text
    there: np.ndarray  # [B] bool, false where a stream has ended
    end: int  # how many symbols are coded after it


def _columns(count: int, streams: int) -> Iterator[_Column]:
    # The streams of `jaxtext.training.evaluate`, whose lengths differ by at most one.
    starts = np.arange(streams + 1) * count // streams
    lengths, end = np.diff(starts), 0
    for step in range(int(lengths.max(initial=0))):
        there = step < lengths
        end += int(there.sum())
        yield _Column(np.where(there, starts[:-1] + step, 0), there, end)


def _family(package: Any) -> Any:
    return package.stream.model.Categorical(perfect=False)


def _constriction() -> Any:
    try:
        return importlib.import_module("constriction")
    except ImportError as error:
        advice = "constriction is not installed; run: pip install 'jaxtext[compress]'"
        raise InputError(lacking("compress") or advice) from error


def _check_finite(value) -> None:
    if not np.isfinite(value):
        raise InputError(
            "the model's probabilities are not finite, so nothing can be coded with "
            "them; choose another checkpoint, or a lower `rate`"
        )
