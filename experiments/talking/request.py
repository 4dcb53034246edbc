"""What the page asks for: to read a text, and to write on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtext.errors import InputError
from jaxtext.text import Vocabulary
from talking.settings import Settings, from_json

MOST_SYMBOLS = 200_000  # of a text
_KINDS = {
    "tab": (str, "a name"),
    "ids": (list, "a list of symbols"),
    "given": ((str, list), "a text, or a list of symbols"),
    "turn": (int, "a whole number"),
    "settings": (dict, "an object"),
}


@dataclass(frozen=True)
class Request:
    """A request that is as it has to be.

    Attributes:
      tab: A name that the tab has chosen.
      ids: The whole text so far.
      given: Symbols after it that a person gave.
      turn: Another number writes another text.
      settings: How the network writes on.
    """

    tab: str
    ids: list[int]
    given: list[int]
    turn: int
    settings: Settings

    @classmethod
    def of(cls, body: Mapping[str, Any], vocabulary: Vocabulary) -> "Request":
        """Makes a request of an object of JSON.

        Raises:
          InputError: If a part of it is missing or wrong, or the text is too long.
        """
        for name, (kind, expected) in _KINDS.items():
            if not isinstance(body.get(name), kind):
                got = repr(body.get(name))[:40]
                raise InputError(f"{name}: expected {expected}, got {got}")
        settings, given = from_json(body["settings"]), body["given"]
        if isinstance(given, str):
            given = vocabulary.encode(given).tolist()
        symbols = [*body["ids"], *given]
        if not all(type(x) is int and 0 <= x < len(vocabulary) for x in symbols):
            raise InputError(f"ids: expected whole numbers below {len(vocabulary)}")
        if not 0 <= body["turn"] < 2**31:
            raise InputError(f"turn: expected 0 or more, got {body['turn']}")
        if len(symbols) + settings.length > MOST_SYMBOLS:
            raise InputError(
                f"expected a text of at most {MOST_SYMBOLS:,} symbols, got "
                f"{len(symbols):,} and {settings.length:,} to write; begin a new one"
            )
        return cls(body["tab"], body["ids"], given, body["turn"], settings)
