"""What may be changed while one talks: how the network writes, and how much."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.flags import check_value
from common.values import Count, Positive, Seed
from jaxtext.errors import InputError
from jaxtext.generation import Decoding
from jaxtext.text import Vocabulary
from writing.rules import Share, ShareOrZero, Temperature


@dataclass(frozen=True)
class Settings:
    """how it writes"""

    length: Count = 300
    """Characters of a turn (bytes, for a model over bytes)."""
    temperature: Temperature = 0.8
    """Below 1, likely symbols become likelier; 0 always takes the likeliest."""
    top_k: Count | None = None
    """Draw from this many of the likeliest symbols."""
    top_p: Share | None = None
    """Draw from the likeliest symbols that together have this probability."""
    min_p: ShareOrZero | None = None
    """Leave out symbols with less than this fraction of the highest probability."""
    typical_p: Share | None = None
    """Draw from the symbols of about the expected surprisal that together have this
    probability."""
    repetition_penalty: Positive | None = None
    """Divide the logits of symbols in the text by this; choose it near 1."""
    window: Count | None = None
    """How many of the last symbols that looks at. Default: all."""
    utf8: bool = True
    """Keep a model over bytes to well-formed UTF-8."""
    seed: Seed = 0
    """Another seed writes another text."""

    def decoding(self, vocabulary: Vocabulary) -> Decoding:
        """The rules of decoding.

        What is off gets a number that has no effect, so that the same program runs
        whatever is on.
        """

        def number(value, without):
            return without if value is None else value

        return Decoding(
            temperature=self.temperature,
            repetition_penalty=number(self.repetition_penalty, 1.0),
            window=self.window,
            top_k=number(self.top_k, len(vocabulary)),
            top_p=number(self.top_p, 1.0),
            min_p=number(self.min_p, 0.0),
            typical_p=number(self.typical_p, 1.0),
            utf8=self.utf8 and vocabulary.kind == "bytes",
        )


def settings_of(config: Settings) -> Settings:
    """The settings alone, of a configuration that inherits them."""
    names = [field.name for field in dataclasses.fields(Settings)]
    return Settings(**{name: getattr(config, name) for name in names})


def from_json(values: Mapping[str, Any]) -> Settings:
    """Settings from an object of JSON.

    Raises:
      InputError: If a value is out of range, or a name is unknown.
    """
    names = [field.name for field in dataclasses.fields(Settings)]
    for name, value in values.items():
        if name not in names:
            raise InputError(
                f"settings: expected any of {', '.join(names)}, got {name!r}"
            )
        check_value(Settings, name, value)
    return Settings(**values)
