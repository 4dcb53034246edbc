"""A text that a person and a network write, which may go on from any place in it."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

import jaxtext as jt
from charlm.samples import neutral_ids
from jaxtext.generation import steps
from jaxtext.text import Vocabulary
from jaxtext.types import Array, Key, Params
from talking.settings import Settings

EVERY = 64  # symbols between two places that are kept


class Network(NamedTuple):
    """A trained network, and the symbols that it knows."""

    model: jt.LanguageModel
    params: Params
    vocabulary: Vocabulary


class Text:
    """The symbols of a text, and the network's state after them.

    The network reads a new line first, as if the text began a line; or, if it was
    trained on documents, the symbol that begins one. That is no part of the text. All
    symbols pass through the same compiled step, given or written. So nothing is
    compiled for another length, and to read the same symbols again leads to the same
    bits.

    Attributes:
      ids: The symbols.
      place: The place after them.
    """

    def __init__(self, network: Network):
        self._network = network
        self.ids: list[int] = []
        first = neutral_ids(network.vocabulary)
        self.place = steps.read(network.model, network.params, first[None])
        self._kept = {0: self.place}
        self.settings = Settings()

    @property
    def settings(self) -> Settings:
        """How the network writes. Other numbers do not compile anything."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        vocabulary = self._network.vocabulary
        decoding = settings.decoding(vocabulary)
        self._rules = steps.prepare(decoding, len(vocabulary), rows=1)
        self._settings = settings

    def write(self, key: Key) -> Iterator[steps.Choice]:
        """Lets the network write, symbol by symbol, as many as the settings say.

        With well-formed UTF-8, up to three bytes more end the last character.

        Args:
          key: The n-th symbol is the n-th that `generate` draws with this key.

        Yields:
          What was drawn, once the text has it. Whoever stops asking stops the writing.
        """
        self.place = steps.count_anew(self.place)
        self.keep()
        for n in itertools.count():
            if n >= self.settings.length and not self._is_inside_character():
                return
            choice = self.look(key)
            if np.asarray(choice.ids)[0] < 0:
                return  # no symbol is allowed
            self.add(choice.ids)
            yield choice

    def look(self, key: Key) -> steps.Choice:
        """What the network expects next, and what it draws with a key."""
        return steps.choose(self.place, self._rules, key)

    def add(self, ids: Array | np.ndarray) -> None:
        """Writes a symbol, ``[1]`` int32: what was drawn, or any other."""
        self.place = self._after(self.place, ids)
        self.ids.append(int(np.asarray(ids)[0]))
        if len(self.ids) % EVERY == 0:
            self.keep()

    def keep(self) -> None:
        """Marks a place to come back to at once."""
        self._kept[len(self.ids)] = self.place

    def go_back(self, size: int) -> None:
        """Takes all symbols away but the first `size`."""
        del self.ids[size:]
        self._kept = {at: place for at, place in self._kept.items() if at <= size}
        near = max(self._kept)
        self.place = self._kept[near]
        for symbol in self.ids[near:]:
            self.place = self._after(self.place, one(symbol))

    def agree(self, ids: Sequence[int]) -> None:
        """Becomes the text of some symbols; what it has of them already, it keeps."""
        pairs = enumerate(zip(self.ids, ids, strict=False))
        same = next(
            (at for at, (x, y) in pairs if x != y), min(len(self.ids), len(ids))
        )
        if same < len(self.ids):
            self.go_back(same)
        for symbol in ids[same:]:
            self.add(one(symbol))

    def _is_inside_character(self):
        state = self.place.memory.utf8
        is_bytes = self._network.vocabulary.kind == "bytes"
        if not (is_bytes and self.settings.utf8):
            return False
        return state is not None and bool(np.asarray(state)[0])

    def _after(self, place, ids):
        network = self._network
        return steps.follow(network.model, network.params, place, self._rules, ids)


def one(symbol: int) -> np.ndarray:
    """A symbol as `Text.add` takes it."""
    return np.array([symbol], np.int32)


def key_of(settings: Settings, turn: int) -> Key:
    """The key of a turn, so that the same commands write the same text."""
    return jax.random.fold_in(jax.random.key(settings.seed), turn)
