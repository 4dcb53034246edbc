"""Rules of a flag that its type cannot express, stated beside its field.

A field that is made with `option` carries them:

    clip: Positive = option(1.0, needs=ADAMW)

`check` applies the rules of a whole configuration.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from common.flags import Typed, flag
from jaxtext.errors import InputError


class Needs(NamedTuple):
    """A condition without which a flag has no effect.

    Attributes:
      holds: ``configuration -> bool``.
      expected: What to say is expected where the condition does not hold.
    """

    holds: Callable[[Any], Any]
    expected: str


def option(
    default: Any,
    *,
    needs: Needs | None = None,
    check: Callable[[Any], str | None] | None = None,
    **traits: bool,
) -> Any:
    """A dataclass field with rules.

    Args:
      default: The field's default.
      needs: The flag is refused if it was typed and this does not hold. A flag that a
        preset set is not typed: another flag may take its effect away.
      check: ``configuration -> message``: what follows the flag's name in the error, or
        ``None`` if the value goes with all the others.
      **traits: Named properties of the field, which `fields_without` looks up.
    """
    metadata = {"needs": needs, "check": check, **traits}
    return dataclasses.field(default=default, metadata=metadata)


def fields_without(kind: type[Any], trait: str) -> set[str]:
    """Names of the fields that were made with ``trait=False``."""
    fields = dataclasses.fields(kind)
    return {x.name for x in fields if not x.metadata.get(trait, True)}


def check(config: Any, words: Typed) -> None:
    """Raises `InputError` for flags that do not go together, or have no effect.

    Args:
      config: A configuration.
      words: The flags that were typed.
    """
    fields = dataclasses.fields(config)
    for field in fields:
        test = field.metadata.get("check")
        message = test and test(config)
        if message is not None:
            raise InputError(f"{flag(field.name)}: {message}")
    for field in fields:
        needs, value = field.metadata.get("needs"), getattr(config, field.name)
        if needs is None or field.name not in words or _is_off(value):
            continue
        if not needs.holds(config):
            raise InputError(
                f"{flag(field.name)}: expected {needs.expected}, got {value}; give "
                f"that, or leave {flag(field.name)} out"
            )


def _is_off(value):
    """Whether a value turns its flag off, as a rate of 0 does."""
    return value is None or value is False or (isinstance(value, float) and value == 0)
