"""The exception for bad input, whose message is meant for the user."""

import contextlib
import unicodedata
from collections.abc import Iterator

# Control characters, surrogates, line separators and paragraph separators.
_UNFIT = {"Cc", "Cs", "Zl", "Zp"}


class InputError(ValueError):
    r"""An argument, file or other input cannot be used.

    The message is one line: what was expected, what was found, and what to do. Scripts
    print it and exit with status 2. Library users can catch it as a ``ValueError``.
    Names in it, such as that of a file, may have any characters; `one_line` escapes
    them.

    Example:
      >>> print(InputError("expected a text, got a\nb"))
      expected a text, got a\nb
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


def one_line(text: str) -> str:
    r"""Returns a text as one line that any terminal, page or picture can show.

    File names may have newlines, characters that move the cursor, and bytes that are
    not UTF-8, which Python represents by surrogates (``os.fsdecode``).

    Returns:
      The text, with such characters escaped as in Python's string literals.

    Example:
      >>> import os
      >>> print(one_line("two\nlines, " + os.fsdecode(b"caf\xe9")))
      two\nlines, caf\xe9
    """
    return "".join(map(_shown, text))


@contextlib.contextmanager
def reverse_mode_only(way_out: str) -> Iterator[None]:
    """Says what to do where JAX finds a derivative that has no forward mode.

    Raises:
      InputError: In place of JAX's error about ``custom_vjp``.
    """
    try:
        yield
    except TypeError as error:
        if "custom_vjp" not in str(error):
            raise
        raise InputError(
            "forward mode (jax.jvp, jax.jacfwd, jax.hessian): this derivative is "
            f"written for reverse mode; {way_out}"
        ) from error


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _UNFIT:
        return character
    if 0xDC80 <= ord(character) < 0xDD00:  # a byte
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
