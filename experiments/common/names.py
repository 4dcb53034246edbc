"""File names and commands as one types them."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from jaxtext.buckets import scheme


def as_typed(path: str | Path) -> str:
    """A path as one would type it here: relative, if it is below this directory."""
    if scheme(path) is not None:
        return str(path)
    path = Path(path).absolute()
    here = Path.cwd()
    return no_flag(str(path.relative_to(here) if path.is_relative_to(here) else path))


def no_flag(name: str) -> str:
    """A file name that no command mistakes for a flag."""
    return f"./{name}" if name.startswith("-") and name != "-" else name


def command(*words: str) -> str:
    r"""A command line for the shell.

    A word with bytes that are not UTF-8, which no terminal can show, is written as Bash
    and Zsh read it: ``$'caf\351'``.
    """
    return " ".join(map(_quoted, words))


def this_python() -> str:
    """What to type for the Python that runs this: ``python``, if that is the one."""
    found = shutil.which("python")
    same = found is not None and Path(found).absolute() == Path(sys.executable)
    return "python" if same else as_typed(sys.executable)


def _quoted(word):
    try:
        word.encode()
    except UnicodeEncodeError:
        told = (
            chr(byte) if 0x20 <= byte < 0x7F and byte not in b"'\\" else f"\\{byte:03o}"
            for byte in os.fsencode(word)
        )
        return f"$'{''.join(told)}'"
    return shlex.quote(word)
