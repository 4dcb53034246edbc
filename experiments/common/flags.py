"""The words of a command line, read into a configuration: a dataclass.

Each field is a flag. Its type says what the flag takes (`common.values`). The string
below the field is what ``--help`` says of it (`common.help`). The class that the field
stands in, which may be one that the configuration inherits from, is its group.

All scripts share two rules. A word that is not understood is refused, and the error
names the nearest flag. What was typed can be told from what is a default.

A field may have the metadata ``alone``: the value of its flag if none follows it.

A word that begins with a hyphen is a flag, unless it is a number or the hyphen alone.

One field may have the metadata ``bare``: its value may stand without its flag.
"""

import argparse
import dataclasses
import difflib
import functools
import re
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from common.help import add_help, documentation
from common.values import convert, value_of
from jaxtext.errors import InputError
from jaxtext.streams import say

C = TypeVar("C")

# The words after each flag that was typed, by its field; None after --no-FLAG where
# that stands for no value.
Typed = dict[str, list[str] | None]

_HELP = ("-h", "--help")


def read(
    kind: type[C], argv: Sequence[str] | None = None, about: str | None = None
) -> C:
    """Reads a command line.

    Args:
      kind: A dataclass, with a flag for each field.
      argv: The words. Default: those of this process.
      about: The script's docstring, which ``--help`` shows.

    Raises:
      InputError: As `typed` and `build`.
      SystemExit: With status 0, after ``--help``.
    """
    return build(kind, typed(kind, argv, about))


def typed(
    kind: type[Any], argv: Sequence[str] | None = None, about: str | None = None
) -> Typed:
    """Finds the flags that were typed, with the words after each.

    If a flag is typed twice, the last one counts, and a note says so.

    Args:
      kind: A dataclass, with a flag for each field.
      argv: The words. Default: those of this process.
      about: The script's docstring, which ``--help`` shows.

    Raises:
      InputError: If a flag is unknown, in which case the error names the nearest ones,
        or is followed by words that it does not take.
      SystemExit: With status 0, after ``--help``.
    """
    argv = sys.argv[1:] if argv is None else argv
    if any(word in _HELP for word in argv):
        _parser(kind, about).print_help()
        raise SystemExit(0)
    words = _split(kind, _with_bare(kind, argv))
    for name in words:
        _convert(kind, name, words[name])
    return words


def build(kind: type[C], words: Typed, defaults: Mapping[str, Any] = {}) -> C:
    """Builds a configuration from the flags that were typed.

    Args:
      kind: A dataclass.
      words: As `typed` returns them.
      defaults: Values of fields that were not typed, in place of the fields' own.

    Raises:
      InputError: If a flag without a default is missing.
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


def check_value(kind: type[Any], name: str, value: Any) -> None:
    """Raises `InputError` unless the flag of a field can have a value.

    Args:
      kind: A dataclass.
      name: The field.
      value: What it would be set to, as JSON has it: a tuple may be a list.
    """
    hint = _hints(kind)[name]
    if value is None and _optional(kind, name):
        return
    if isinstance(value, bool) or hint is bool:
        fits = isinstance(value, bool) and hint is bool
    else:
        words = [str(x) for x in (value if isinstance(value, list) else [value])]
        found = _convert(kind, name, words)
        fits = value == (list(found) if isinstance(found, tuple) else found)
    if not fits:
        expected = "true or false" if hint is bool else value_of(hint).expected()
        raise InputError(f"{flag(name)}: expected {expected}, got {value!r}")


def spelled(name: str, value: Any) -> list[str]:
    """The words of a command line that give a field a value."""
    if value is True:
        return [flag(name)]
    if value is None or value is False or value == ():
        return [_no(name)]
    return [flag(name), *map(str, value if isinstance(value, tuple) else [value])]


def flag(name: str) -> str:
    """What a field of a configuration is called on the command line."""
    return f"--{name.replace('_', '-')}"


def with_flags(message: str) -> str:
    """A message of the library, which names arguments, with the flags of a script.

    `` `vocab='bytes'` `` becomes ``--vocab bytes``, and `` `any_bytes=True` ``
    ``--any-bytes``.
    """

    def replaced(match):
        value = match["value"]
        return flag(match["name"]) + ("" if value in (None, "True") else f" {value}")

    argument = r"`(?P<name>[a-z_]+)(?:='?(?P<value>[^`']*)'?)?`"
    return re.sub(argument, replaced, message)


def off(kind: type[Any], name: str) -> str | None:
    """The flag that turns a field off, ``--no-FLAG``; ``None`` if there is none.

    A ``bool`` has one. So has a field that may be ``None``, unless it takes a path or
    any word, and a field of several values that has none by default.
    """
    hint = _hints(kind)[name]
    optional = _optional(kind, name) and value_of(hint).type not in (str, Path)
    return _no(name) if hint is bool or optional or _default(kind, name) == () else None


def _no(name):
    return f"--no-{flag(name).removeprefix('--')}"


def _optional(kind, name):
    return type(None) in typing.get_args(_hints(kind)[name])


def _default(kind, name):
    return next(x.default for x in dataclasses.fields(kind) if x.name == name)


def _metadata(kind, name):
    return next(x.metadata for x in dataclasses.fields(kind) if x.name == name)


@functools.cache
def _hints(kind):
    return typing.get_type_hints(kind, include_extras=True)


def _parser(kind, about):
    """What lays out ``--help``."""
    parser = argparse.ArgumentParser(add_help=False)
    hints = _hints(kind)

    def add(group, name, text):
        words: Any = {"action": "store_true"}
        if hints[name] is not bool:
            words = {"nargs": "*", "metavar": value_of(hints[name]).metavar}
        group.add_argument(flag(name), help=text, **words)

    add_help(parser, kind, about, add)
    return parser


class _Part(NamedTuple):
    """A flag as it was typed, with the words up to the next one."""

    flag: str
    joined: bool  # the first of them by "="
    words: list[str]


def _split(kind, argv) -> Typed:
    """The words after each flag."""
    on, turned_off = _flags(kind)
    found: Typed = {}
    parts: dict[str, list[_Part]] = {}
    for part in _parts(argv, kind):
        name = on.get(part.flag) or turned_off[part.flag]
        parts.setdefault(name, []).append(part)
        if part.flag in turned_off or _hints(kind)[name] is bool:
            _check_alone(part, kind, name)
        if part.joined and len(part.words) > 1:
            apart = " ".join([part.flag, *part.words])
            raise InputError(
                f"{part.flag}: expected one value after =, got {len(part.words)}; "
                f"give {apart}"
            )
        if _hints(kind)[name] is bool:
            found[name] = [str(part.flag in on)]
        elif part.flag in turned_off and _optional(kind, name):
            found[name] = None
        else:
            found[name] = part.words
    for name, several in parts.items():
        if len(several) > 1:
            last = several[-1]
            typed = " ".join([last.flag, *last.words])
            say(f"note: {flag(name)} is given more than once; what counts is {typed}")
    return found


def _parts(argv, kind):
    parts: list[_Part] = []
    known = {x for flags in _flags(kind) for x in flags}
    for word in argv:
        if _is_value(word):
            if not parts:
                raise _not_known(word, kind)
            parts[-1].words.append(word)
            continue
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            name = name.replace("_", "-")  # --batch_size=3
        if name not in known:
            raise _not_known(word, kind)
        parts.append(_Part(name, bool(equals), [value] if equals else []))
    return parts


def _flags(kind):
    """The fields by the flags that set them, and by those that turn them off."""
    names = [field.name for field in dataclasses.fields(kind)]
    turned_off = {no: name for name in names if (no := off(kind, name))}
    return {flag(name): name for name in names}, turned_off


def _with_bare(kind, argv):
    """The words, with the flag of the bare field before its value.

    That is the first value that no flag before it takes.
    """
    bare = [x.name for x in dataclasses.fields(kind) if x.metadata.get("bare")]
    words, room = [], 0.0
    for word in argv:
        if not _is_value(word):
            room = _room(kind, word)
        elif room:
            room -= 1
        elif bare:
            words.append(flag(bare.pop()))
        words.append(word)
    return words


def _room(kind, word):
    """How many values a flag takes after it; of an unknown one, any number."""
    typed, equals, _ = word.partition("=")
    on, turned_off = _flags(kind)
    name = on.get(typed.replace("_", "-"))
    if name is None:
        return 0 if typed in turned_off else float("inf")
    if _hints(kind)[name] is bool:
        return 0
    several = value_of(_hints(kind)[name]).several
    return float("inf") if several else 1 - bool(equals)


def _is_value(word):
    if not word.startswith("-") or word == "-":
        return True
    try:
        float(word)
    except ValueError:
        return False
    return True


def _check_alone(part, kind, name):
    """Raises for words after a flag that takes none."""
    if part.words:
        on, no = flag(name), off(kind, name)
        other = f"{no} turns it off" if part.flag == on else f"{on} turns it on"
        got = " ".join(word or "''" for word in part.words)
        raise InputError(f"{part.flag}: expected no value, got {got}; {other}")


def _convert(kind, name, words):
    hint, default = _hints(kind)[name], _default(kind, name)
    if words is None:
        return None
    if words == [] and default == ():
        return ()
    if words == [] and (alone := _metadata(kind, name).get("alone")) is not None:
        return alone
    if hint is bool:
        return words == ["True"]
    advice = ""
    if isinstance(default, int | float | str):
        advice = f"; without the flag it is {default}"
    return convert(flag(name), hint, words, advice)


def _is_required(field):
    none = dataclasses.MISSING
    return field.default is none and field.default_factory is none


def _not_known(word, kind):
    name = word.partition("=")[0]
    # Whatever the hyphens, and in whichever case.
    known = {x.lstrip("-"): x for found in _flags(kind) for x in found}
    known["help"] = "--help"
    plain = name.lstrip("-").lower().replace("_", "-")
    near = difflib.get_close_matches(plain, known, n=3, cutoff=0.6)
    if near and word.startswith("-"):
        hint = f"did you mean {' or '.join(known[x] for x in near)}"
    elif word == "--":
        hint = "each value follows its flag, and there are no others"
    elif word.startswith("-"):
        hint = f"if it is a value, join it to its flag, as in --FLAG={word}"
    else:
        hint = "if it is a value, its flag comes before it"
    return InputError(f"{name}: there is no such flag; {hint}; see --help")
