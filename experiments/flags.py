"""The words of a command line, read into a configuration: a dataclass.

Each field is a flag. Its type says what the flag takes (`flag_types`), the string below
it what ``--help`` says of it (`flag_help`), and the class that it stands in, which may
be one that the configuration inherits from, which group it belongs to. What holds for
every script is here: words that are not understood are refused, with what comes
nearest, and what was typed can be told from what is a default.
"""

import argparse
import dataclasses
import difflib
import functools
import re
import sys
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from flag_help import add_help, documentation
from flag_types import convert, value_of

from jaxtext.errors import InputError
from jaxtext.streams import say

C = TypeVar("C")

Typed = dict[str, list[str]]  # the words after each flag that was typed, by its field


def read(
    kind: type[C], argv: Sequence[str] | None = None, about: str | None = None
) -> C:
    """Reads a command line.

    Args:
      kind: A dataclass, with a flag for each field.
      argv: The words. Default: those of this process.
      about: The script's docstring, which ``--help`` tells.

    Raises:
      InputError: As `typed` and `build`.
      SystemExit: With status 0, after ``--help``.
    """
    return build(kind, typed(kind, argv, about))


def typed(
    kind: type[Any], argv: Sequence[str] | None = None, about: str | None = None
) -> Typed:
    """Which flags were typed, with their words. Of one typed twice, the last counts.

    That it is there twice is said.

    Args:
      kind: A dataclass, with a flag for each field.
      argv: The words. Default: those of this process.
      about: The script's docstring, which ``--help`` tells.

    Raises:
      InputError: For a flag that there is not, which is answered with what comes
        nearest, or words after a flag that it does not take.
      SystemExit: With status 0, after ``--help``.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = _parser(kind, about)
    found, unknown = parser.parse_known_args([_with_hyphens(word) for word in argv])
    if unknown:
        raise _not_known(unknown[0], kind)
    words = vars(found)
    for name in words:
        _convert(kind, name, words[name])
    return words


def build(kind: type[C], words: Typed, defaults: Mapping[str, Any] = {}) -> C:
    """The configuration that typed flags make.

    Args:
      kind: A dataclass.
      words: As `typed` returns them.
      defaults: Values of fields that were not typed, in place of the fields' own.

    Raises:
      InputError: If a flag is missing that has no default.
    """
    values = dict(defaults)
    values |= {name: _convert(kind, name, words[name]) for name in words}
    for field in dataclasses.fields(kind):  # pyright: ignore[reportArgumentType]
        if field.name not in values and _is_required(field):
            expected = value_of(_hints(kind)[field.name]).expected()
            what = documentation(kind)[field.name].split(". ")[0].rstrip(".")
            raise InputError(
                f"{flag(field.name)}: expected {expected}, got none; "
                f"add it: {what[0].lower()}{what[1:]}"
            )
    return kind(**values)


def flag(name: str) -> str:
    """What a field of a configuration is called on the command line."""
    return f"--{name.replace('_', '-')}"


@functools.cache
def _hints(kind):
    return typing.get_type_hints(kind, include_extras=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see --help")


class _Take(argparse.Action):
    """Keeps the words after a flag, and says if there were some before."""

    def __call__(self, parser, namespace, values, option_string=None):
        words = list(self.const or values or [])
        if hasattr(namespace, self.dest):
            typed = " ".join([str(option_string), *([] if self.const else words)])
            name = flag(self.dest)
            say(f"note: {name} is given more than once; what counts is {typed}")
        setattr(namespace, self.dest, words)


def _parser(kind, about):
    parser = _Parser(
        allow_abbrev=False, add_help=False, argument_default=argparse.SUPPRESS
    )
    hints = _hints(kind)

    def add(group, name, text):
        if hints[name] is bool:
            off = f"--no-{flag(name).removeprefix('--')}"
            on: Any = {"action": _Take, "nargs": 0, "dest": name}
            group.add_argument(flag(name), const=["True"], help=text, **on)
            group.add_argument(off, const=["False"], help=argparse.SUPPRESS, **on)
        else:
            metavar = value_of(hints[name]).metavar
            words: Any = {
                "action": _Take,
                "nargs": "*",
                "metavar": metavar,
                "help": text,
            }
            group.add_argument(flag(name), **words)

    add_help(parser, kind, about, add)
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    return parser


def _convert(kind, name, words):
    hint = _hints(kind)[name]
    if hint is bool:
        return words == ["True"]
    default = next(x.default for x in dataclasses.fields(kind) if x.name == name)
    advice = ""
    if isinstance(default, int | float | str):
        advice = f"; without the flag it is {default}"
    return convert(flag(name), hint, words, advice)


def _is_required(field):
    none = dataclasses.MISSING
    return field.default is none and field.default_factory is none


def _with_hyphens(word):
    """``--batch_size=3`` as ``--batch-size=3``."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if name[:2] == "--" else word


def _not_known(word, kind):
    name = word.partition("=")[0]
    known = [flag(field.name) for field in dataclasses.fields(kind)]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        hint = f"did you mean {' or '.join(near)}"
    elif re.match("-.", word):
        hint = f"if it is a value, join it to its flag, as in --FLAG={word}"
    else:
        hint = "if it is a value, its flag comes before it"
    return InputError(f"{name}: there is no such flag; {hint}; see --help")
