"""The one exception that is meant for the eyes of whoever typed the command."""

import unicodedata

# Control characters, halves of a character, ends of lines and of paragraphs.
_UNFIT = {"Cc", "Cs", "Zl", "Zp"}


class InputError(ValueError):
    r"""Something the caller gave cannot be used.

    The message is one line: what was expected, what came, what to do about it.
    Experiment scripts print it and exit with status 2; library users catch it as
    a ``ValueError``. What it names, such as a file, may hold anything; it is told by
    `one_line`.

    Example:
      >>> print(InputError("expected a text, got a\nb"))
      expected a text, got a\nb
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


def one_line(text: str) -> str:
    r"""A text as one line that any terminal, page or picture can show.

    Names of files may hold new lines, what moves the cursor, and bytes that are not
    UTF-8, which are half a character each in Python (``os.fsdecode``).

    Returns:
      The text, such characters being told as in Python's own strings.

    Example:
      >>> import os
      >>> print(one_line("two\nlines, " + os.fsdecode(b"caf\xe9")))
      two\nlines, caf\xe9
    """
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _UNFIT:
        return character
    if 0xDC80 <= ord(character) < 0xDD00:  # a byte
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
