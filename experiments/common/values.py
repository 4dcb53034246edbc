"""The values that a flag may have: their type, and their bounds.

The type of a configuration's field says what its flag takes: ``Count`` is a whole
number of 1 or more, ``Literal["best", "latest"] | Count`` one of two words or such a
number, ``tuple[str, ...]`` any number of words. `convert` refuses every other value.
"""

import difflib
import math
import os
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from jaxtext.buckets import SCHEMES, place, scheme
from jaxtext.errors import InputError


class Bound(NamedTuple):
    """A condition on a value.

    Attributes:
      holds: Whether a value satisfies it. NaN never does.
      expected: What the error says was expected.
    """

    holds: Callable[[Any], bool]
    expected: str


def at_least(least: int) -> Bound:
    """The bound of whole numbers from `least` on."""
    return Bound(lambda x: x >= least, f"a whole number of {least} or more")


Whole: TypeAlias = Annotated[int, at_least(0)]
Count: TypeAlias = Annotated[int, at_least(1)]
Seed: TypeAlias = Annotated[
    int, Bound(lambda x: 0 <= x < 2**32, "a whole number of 0 or more, below 2**32")
]
Positive: TypeAlias = Annotated[
    float, Bound(lambda x: 0 < x < math.inf, "a finite number above 0")
]
NotNegative: TypeAlias = Annotated[
    float, Bound(lambda x: 0 <= x < math.inf, "a finite number of 0 or more")
]
Rate: TypeAlias = Annotated[
    float, Bound(lambda x: 0 <= x < 1, "a number of at least 0 and below 1")
]


def can_be_directory(path):
    """Whether neither it nor what it lies in is something else. A bucket may be any."""
    if scheme(path) is not None:
        return scheme(path) in SCHEMES
    return all(os.path.isdir(x) for x in (path, *path.parents) if os.path.exists(x))


Directory: TypeAlias = Annotated[Path, Bound(can_be_directory, "a directory")]

_WORDS = {int: "a whole number", float: "a number", str: "a word", Path: "a path"}
_METAVARS = {int: "INT", float: "FLOAT", str: "STR", Path: "PATH"}


class Value(NamedTuple):
    """The values that a type allows.

    Attributes:
      choices: Words that are values themselves.
      type: Converts any other word; ``None`` if no other word is allowed.
      bound: The condition on a converted word.
      single: Whether one value alone is allowed.
      several: Whether any number of values is allowed, a tuple.
    """

    choices: tuple[str, ...] = ()
    type: Any = None
    bound: Bound | None = None
    single: bool = True
    several: bool = False

    @property
    def metavar(self) -> str:
        """What stands for the value in ``--help``."""
        other = [] if self.type is None else [_METAVARS[self.type]]
        return "|".join([*self.choices, *other]) + (" ..." if self.several else "")

    def expected(self, word: str = "") -> str:
        """What to say is expected. Choices that resemble `word` come first."""
        other = []
        if self.type is not None:
            other = [self.bound.expected if self.bound else _WORDS[self.type]]
        if not self.choices:
            return other[0]
        choices = nearest_first(word, self.choices)
        return "one of " + ", or ".join([", ".join(choices), *other])

    def read(self, word: str) -> Any:
        """The value that a word stands for.

        Raises:
          ValueError: If it stands for none.
        """
        if word in self.choices:
            return word
        if self.type is None or (not word and (self.type is Path or self.several)):
            raise ValueError  # an empty path would be the working directory
        value = place(word) if self.type is Path else self.type(word)
        if self.bound is not None and not self.bound.holds(value):
            raise ValueError
        return value


def value_of(hint: Any) -> Value:
    """The values of a field of a type. A union allows what any of its parts allows."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return value_of(parts[0])._replace(bound=parts[1])
    if origin is Literal:
        return Value(choices=parts)
    if origin is tuple:
        return value_of(parts[0])._replace(single=False, several=True)
    if origin in (typing.Union, types.UnionType):
        found = [value_of(part) for part in parts if part is not type(None)]
        return Value(
            tuple(word for each in found for word in each.choices),
            next((each.type for each in found if each.type is not None), None),
            next((each.bound for each in found if each.bound is not None), None),
            any(each.single for each in found),
            any(each.several for each in found),
        )
    return Value(type=hint)


def convert(flag: str, hint: Any, words: Sequence[str], advice: str = "") -> Any:
    """Converts the words after a flag to its value.

    Args:
      flag: The flag, for messages.
      hint: The type of its field, from `typing.get_type_hints` with its extras.
      words: As they were typed.
      advice: What to do about an error.

    Raises:
      InputError: If the flag does not take them.
    """
    value = value_of(hint)
    if not words or (len(words) > 1 and not value.several):
        number = "at least one value" if value.several else "one value"
        got = " ".join(map(_told, words)) or "none"
        raise InputError(
            f"{flag}: expected {number}, {value.expected()}, got {got}{advice}"
        )
    found = []
    for word in words:
        try:
            found.append(value.read(word))
        except InputError as error:
            raise InputError(f"{flag}: {error}{advice}") from error
        except ValueError:
            said = f"{flag}: expected {value.expected(word)}, got {_told(word)}{advice}"
            raise InputError(said) from None
    return found[0] if value.single and len(found) == 1 else tuple(found)


def _told(word):
    return word or "''"


def nearest_first(word: str, choices: Sequence[str]) -> list[str]:
    """Sorts choices by how much they are like a word."""

    def unlike(choice):
        return -difflib.SequenceMatcher(None, word.lower(), choice.lower()).ratio()

    return sorted(choices, key=unlike)
