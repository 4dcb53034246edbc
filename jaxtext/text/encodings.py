"""Guesses the encoding of a text that is not in UTF-8, to name what converts it."""

import re

# A letter of a Western language in one byte, between letters of ASCII or at their edge.
_WESTERN = re.compile(rb"(?<![\x80-\xff])[\x80-\xff](?![\x80-\xff])")
_HIGH = re.compile(rb"[\x80-\xff]")
# What Windows-1252 has in addition to Latin-1: curly quotes, dashes, the euro.
_WINDOWS = re.compile(rb"[\x80-\x9f]")
_UNUSED = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")  # no characters of Windows-1252


def foreign(data: bytes) -> str:
    """Says what a piece of a text seems to be that is not in UTF-8, and what to do.

    Args:
      data: The piece.

    Example:
      >>> foreign("voilà, déjà vu".encode("latin-1"))
      'it looks like Latin-1; convert it: iconv -f LATIN1 -t UTF-8 FILE > FILE.txt'
    """
    high = len(_HIGH.findall(data))
    if 2 * len(_WESTERN.findall(data)) > high and not _UNUSED.search(data):
        windows = _WINDOWS.search(data)
        looks, name = (
            ("Latin-1", "LATIN1") if not windows else ("Windows-1252", "WINDOWS-1252")
        )
        return f"it looks like {looks}; convert it: {_iconv(name)}"
    return (
        "find its encoding, for example with chardetect FILE, and convert it: "
        f"{_iconv('ENCODING')}"
    )


def _iconv(name: str) -> str:
    return f"iconv -f {name} -t UTF-8 FILE > FILE.txt"
