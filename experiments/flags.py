"""The words of a command line: which flags they are, and what to say of those that err.

tyro turns words into a configuration. What this file adds holds for every script: what
is not known is answered with the nearest that is, and what was typed can be told from
what is a default.
"""

import dataclasses
import difflib
import sys
import typing
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeVar

import tyro

from jaxtext.errors import InputError
from jaxtext.streams import say

C = TypeVar("C")

Typed = dict[str, list[str]]  # values of each flag that was typed, by its field's name


def read(kind: type[C], argv: Sequence[str] | None = None) -> C:
    """Reads a command line.

    Args:
      kind: A dataclass, with a flag for each field.
      argv: The words. Default: those of this process.

    Raises:
      InputError: As `typed`.
      SystemExit: With status 2 for words that tyro does not understand, which it has
        told then, and 0 after ``--help``.
    """
    typed(kind, argv)
    return tyro.cli(kind, args=argv)


def typed(kind: type[Any], argv: Sequence[str] | None = None) -> Typed:
    """Which flags are typed, with their values. Of one typed twice, the last counts.

    That it is there twice is said.

    Args:
      kind: A dataclass, with a flag for each field.
      argv: The words. Default: those of this process.

    Raises:
      InputError: For a flag that there is not, or a value of a flag that has a fixed
        set of them and not this one. What comes nearest is named.
    """
    hints = typing.get_type_hints(kind)
    fields = {flag(field.name): field.name for field in dataclasses.fields(kind)}
    fields |= {
        "--no-" + name.removeprefix("--"): field
        for name, field in fields.items()
        if hints[field] is bool
    }
    found: Typed = {}
    for name, values in _spans(sys.argv[1:] if argv is None else argv):
        if name in ("", "--help") or name.startswith("--tyro-"):
            continue
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=3, cutoff=0.6)
            hint = (
                f"did you mean {' or '.join(near)}"
                if near
                else f"if it is a value, join it to its flag, as in --FLAG={name}"
            )
            raise InputError(f"{name}: there is no such flag; {hint}; see --help")
        field = fields[name]
        for value in values:
            _check_choice(name, value, hints[field])
        if field in found:
            counts = " ".join([name, *values])
            say(f"note: {flag(field)} is given more than once; what counts is {counts}")
        found[field] = values
    return found


def without(argv: Sequence[str], *names: str) -> list[str]:
    """A command line without some flags, and without their values."""
    dropped, kept, keeping = set(map(flag, names)), [], True
    for word in argv:
        if word.startswith("--"):
            keeping = _name(word) not in dropped
        if keeping:
            kept.append(word)
    return kept


def flag(name: str) -> str:
    """What a field of a configuration is called on the command line."""
    return f"--{name.replace('_', '-')}"


def nearest_first(word: str, choices: Sequence[str]) -> list[str]:
    """Sorts choices by how much they are like a word."""

    def unlike(choice):
        return -difflib.SequenceMatcher(None, word.lower(), choice.lower()).ratio()

    return sorted(choices, key=unlike)


def _spans(argv: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each flag with the words up to the next one; those before any have no flag."""
    name: str = ""
    values: list[str] = []
    for word in argv:
        if word == "-h":
            word = "--help"
        if not word.startswith("--"):
            values.append(word)
            continue
        yield name, values
        name, values = _name(word), word.split("=", 1)[1:]
    yield name, values


def _name(word):
    return word.split("=", 1)[0].replace("_", "-")


def _check_choice(name, value, hint):
    choices = _choices(hint)
    if choices and value not in choices:
        said = ", ".join(nearest_first(value, choices))
        raise InputError(f"{name}: expected one of {said}, got {value}")


def _choices(hint) -> list[str]:
    """The fixed set of values of a type, empty if it has none."""
    if typing.get_origin(hint) is Literal:
        return [str(value) for value in typing.get_args(hint)]
    if hint is type(None):
        return ["None"]
    parts = [part for part in typing.get_args(hint) if part is not Ellipsis]
    sets = [_choices(part) for part in parts]
    return [value for one in sets for value in one] if all(sets) else []
