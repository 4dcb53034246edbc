"""The rules of decoding as flags, in the symbols of a run."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import numpy as np

from common.flags import flag
from common.rules import Needs, option
from common.values import Bound, Count, Positive, Whole
from jaxtext.errors import InputError
from jaxtext.generation.decoding import BOUNDS, Decoding
from jaxtext.text import Vocabulary


def _as_in_the_library(name: str) -> Bound:
    return Bound(BOUNDS[name].holds, BOUNDS[name].expected)


Temperature: TypeAlias = Annotated[float, _as_in_the_library("temperature")]
Share: TypeAlias = Annotated[float, _as_in_the_library("top_p")]
ShareOrZero: TypeAlias = Annotated[float, _as_in_the_library("min_p")]
_PENALTY = Needs(lambda c: c.repetition_penalty, "--repetition-penalty with it")
_STOP = Needs(
    lambda config: config.stop or config.documents, "--stop or --documents with it"
)
TRUNCATING = ("top_k", "top_p", "min_p", "typical_p")


@dataclass(frozen=True)
class Rules:
    """which symbols are written"""

    top_k: Count | None = None
    """Draw among the likeliest symbols only, this many."""
    top_p: Share | None = None
    """Among the likeliest that together have this probability (nucleus)."""
    min_p: ShareOrZero | None = None
    """Among those with at least this fraction of the highest probability."""
    typical_p: Share | None = None
    """Among those whose surprisal is nearest to the entropy, which together have this
    probability."""
    repetition_penalty: Positive | None = None
    """Above 1, symbols that are in the text already become less likely."""
    window: Count | None = option(None, needs=_PENALTY)
    """The penalty looks at so many of the last symbols. Default: at all."""
    forbid: str | None = None
    """Characters that are never written."""
    only: str | None = None
    """The only characters that may be written."""
    stop: tuple[str, ...] = ()
    """The text ends when it has written one of these strings. In bash, $'\\n' is a new
    line."""
    min_length: Whole | None = option(None, needs=_STOP)
    """The symbol that would complete such a string, or end a document, is not drawn
    before so many are written."""
    utf8: bool = False
    """Keep a model over bytes to well-formed UTF-8, to the last byte."""


def decoding(rules: Rules, temperature: float, vocabulary: Vocabulary) -> Decoding:
    """What a run's `Decoding` is.

    Args:
      rules: What was typed.
      temperature: The temperature.
      vocabulary: The symbols of the run.

    Raises:
      InputError: If a character is not in the vocabulary, or a rule does not fit it.
    """
    if rules.utf8 and vocabulary.kind != "bytes":
        raise InputError(
            "--utf8: expected a model over bytes (char_gen.py --vocab bytes), got one "
            "over characters, which always writes whole ones; leave it out"
        )
    only = None if rules.only is None else _characters("only", rules.only, vocabulary)
    forbid = _characters("forbid", rules.forbid or "", vocabulary)
    if not _left(only, forbid, len(vocabulary) - vocabulary.ends):
        raise InputError(
            f"{'--forbid' if forbid else '--only'}: expected at least one character "
            "that may be written, got none left"
        )
    stop = [_encoded("stop", x, vocabulary).tolist() for x in rules.stop]
    return Decoding(
        temperature=temperature,
        repetition_penalty=rules.repetition_penalty,
        window=rules.window,
        **{name: getattr(rules, name) for name in TRUNCATING},
        forbid=forbid,
        only=only,
        stop=stop,
        min_length=rules.min_length,
        utf8=rules.utf8,
    )


def _characters(name, text, vocabulary):
    """The ids of single characters. A model over bytes has those of ASCII only."""
    if vocabulary.kind == "bytes" and not text.isascii():
        other = next(x for x in text if not x.isascii())
        raise InputError(
            f"{flag(name)}: expected ASCII characters for a model over bytes, got "
            f"{other!r}, which is several bytes"
        )
    return _encoded(name, text, vocabulary).tolist()


def _encoded(name, text, vocabulary) -> np.ndarray:
    try:
        return vocabulary.encode(text)
    except InputError as error:
        raise InputError(f"{flag(name)}: {error}") from error


def _left(only, forbid, symbols):
    return set(range(symbols) if only is None else only) - set(forbid)
