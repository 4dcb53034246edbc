"""Types of flags that take their words as they are.

tyro reads the word None as the value ``None`` where a flag may be left out. A file, or
a host, may have that name, so the types here know no such word: what was typed is what
is meant, and ``None`` is what a flag is that was not given.
"""

from pathlib import Path
from typing import Annotated, TypeAlias

from tyro.constructors import PrimitiveConstructorSpec


def _one(kind, metavar):
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: kind(words[0]),
        is_instance=lambda value: value is None or isinstance(value, kind),
        str_from_instance=lambda value: ["none"] if value is None else [str(value)],
    )


_SEVERAL = PrimitiveConstructorSpec(
    nargs="*",
    metavar="[STR [STR ...]]",
    instance_from_str=tuple,
    is_instance=lambda value: value is None or isinstance(value, tuple),
    str_from_instance=lambda value: ["none"] if value is None else list(value),
)

OptionalPath: TypeAlias = Annotated[Path | None, _one(Path, "PATH")]
OptionalWord: TypeAlias = Annotated[str | None, _one(str, "STR")]
OptionalWords: TypeAlias = Annotated[tuple[str, ...] | None, _SEVERAL]
