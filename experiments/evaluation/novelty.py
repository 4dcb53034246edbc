"""Whether a model copies: how much of what it writes stands in its training text."""

import bisect
import importlib
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxtext as jt
from charlm.samples import neutral_ids
from common.screen import Screen
from jaxtext.errors import InputError
from jaxtext.generation import generate
from jaxtext.text import Ids, Vocabulary
from jaxtext.types import Params

WRITTEN = 10_000  # symbols
LENGTHS = 20, 50, 100  # of passages, in symbols
TEMPERATURES = 1.0, 0.8  # the model's own probabilities; what sample.py writes at


class Copied(NamedTuple):
    """What of a text stands in another one.

    Attributes:
      symbols: How long the text is.
      shares: For each of `LENGTHS`, the share of its symbols that belong to a passage
        of that length or longer which also stands in the other text.
      longest: The longest passage, ``[n]`` integers.
    """

    symbols: int
    shares: dict[int, float]
    longest: np.ndarray


def check_installed() -> None:
    """Raises `InputError` if the package for suffix arrays is missing."""
    _divsufsort()


def novelty(
    model: jt.LanguageModel,
    params: Params,
    vocabulary: Vocabulary,
    train: Ids,
    held_out: Ids,
    display: Screen,
) -> dict[str, Any]:
    """Lets a model write, and looks for passages of that in its training text.

    Real text repeats itself too. So the same is done with a text that was held out.

    Args:
      model: The model.
      params: Its parameters.
      vocabulary: What its symbols mean.
      train: What it was trained on.
      held_out: A text that it was not trained on. Its beginning is compared; if it is
        empty, nothing is.
      display: Shows a bar.

    Returns:
      What is found of each text, by its name, as JSON has it.
    """
    display.start("sorting the training text", 1, slow=True)
    known = Known(np.asarray(train))
    prompt = neutral_ids(vocabulary)[None]
    texts = {}
    for temperature in TEMPERATURES:
        display.start(f"writing at temperature {temperature}", WRITTEN)
        pieces = generate(
            model,
            params,
            prompt,
            WRITTEN,
            key=jax.random.key(0),
            temperature=temperature,
        )
        written = []
        for piece in pieces:
            written.append(piece[0])
            display.advance(sum(map(len, written)))
        texts[f"temperature {temperature}"] = np.concatenate(written)
    if len(held_out):
        texts["held out"] = np.asarray(held_out[:WRITTEN])
    found = {}
    for name, text in texts.items():
        display.start(f"looking for passages of it: {name}", 1)
        of = copied(known, text)
        found[name] = {
            "symbols": of.symbols,
            **{f"share_in_{n}": share for n, share in of.shares.items()},
            "longest": len(of.longest),
            "longest_passage": vocabulary.decode(of.longest),
        }
    display.stop()
    return found


class Known:
    """A text in which passages are found fast, by its suffix array.

    It takes 5 bytes of memory a symbol, 11 if there are more than 256 different ones.

    Args:
      ids: ``[N]`` integers of 8 or 16 bits.
    """

    def __init__(self, ids: np.ndarray):
        self._dtype = ids.dtype
        self._bytes = self._in_bytes(ids)
        # The package takes no array that is read-only, nor an empty one.
        ids = np.require(ids, requirements="W")
        self._sorted = _divsufsort()(ids) if len(ids) else np.zeros(0, np.int32)

    def matches(self, text: np.ndarray) -> np.ndarray:
        """How long the passage is that begins at each symbol and stands in both texts.

        Args:
          text: ``[n]`` integers.

        Returns:
          ``[n]`` integers.
        """
        whole, width = self._in_bytes(text), self._dtype.itemsize
        starts = range(0, len(whole), width)
        return np.array([self._longest(whole[x:]) // width for x in starts], int)

    def _longest(self, text):
        """How many bytes at the beginning of a text also stand in this one."""
        width, length = self._dtype.itemsize, len(text)

        def suffix(place):
            begin = int(self._sorted[place]) * width
            return self._bytes[begin : begin + length]

        # What has most in common with it stands beside the place that it would have.
        count = len(self._sorted)
        place = bisect.bisect_left(range(count), text, key=suffix)
        near = [x for x in (place - 1, place) if 0 <= x < count]
        return max((_common(suffix(x), text) for x in near), default=0)

    def _in_bytes(self, ids):
        # Bytes compare as symbols do if the more significant one comes first.
        return ids.astype(self._dtype.newbyteorder(">")).tobytes()


def copied(known: Known, text: np.ndarray) -> Copied:
    """Finds which passages of a text stand in another one.

    Args:
      known: The other text.
      text: ``[n]`` integers, at least one.
    """
    matches, shares = known.matches(text), {}
    for least in LENGTHS:
        starts = np.flatnonzero(matches >= least)
        # How many passages cover a symbol: one more from where one begins, one less
        # from where it has ended.
        change = np.bincount(starts, minlength=len(text) + 1)
        change -= np.bincount(starts + matches[starts], minlength=len(text) + 1)
        shares[least] = float(np.mean(np.cumsum(change)[:-1] > 0))
    begin = int(np.argmax(matches))
    return Copied(len(text), shares, text[begin : begin + matches[begin]])


def _common(a, b):
    """How many bytes two texts have in common at their beginning."""
    size = min(len(a), len(b))
    differ = np.frombuffer(a, np.uint8, size) != np.frombuffer(b, np.uint8, size)
    return int(np.argmax(differ)) if differ.any() else size


def _divsufsort() -> Any:
    try:
        return importlib.import_module("pydivsufsort").divsufsort
    except ImportError as error:
        raise InputError(
            "--novelty: expected the package pydivsufsort, got none; run: pip install "
            "'jaxtext[novelty]'"
        ) from error
