"""Properties of the places in a text, to be compared with the units of a network."""

import re

import numpy as np

COLUMNS = 80  # of a line; what is beyond counts as its end

# Strings and comments as Python has them. In prose, a mark that is not closed on its
# line and an apostrophe within a word open nothing.
_TOKEN = re.compile(
    r'''
      (?P<quoted>
        """ .*? (?:"""|\Z)
      | \'\'\' .*? (?:\'\'\'|\Z)
      | " (?:\\.|[^\\"\n])* "
      | (?:(?<!\w)|(?<=\b[bfru])|(?<=\b[bfru]{2})) ' (?:\\.|[^\\'\n])* ' (?![^\W\d_])
      )
    | (?P<comment> \# [^\n]*)
    | (?P<open> [(\[{])
    | (?P<close> [)\]}])
    | (?P<blank> \n\s*?\n)
    ''',
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_SPEAKER = re.compile(r"^[A-Z][A-Za-z ]*:$", re.MULTILINE)


def properties(text: str) -> dict[str, np.ndarray]:
    """Measures of each place in a text, after its character has been read.

    Args:
      text: ``n`` characters, of prose, of a play, or of a program, from its beginning:
        otherwise the inside and the outside of quotations may be confused.

    Returns:
      By name, ``[n]`` float32: a number, or 1 where the property holds and 0 elsewhere.
    """
    quoted, depth, comment = _tokens(text)
    column = _since(text, lambda character: character == "\n")
    indent, speaker = np.zeros(len(text)), np.zeros(len(text))
    for line in re.finditer(r"^ +", text, re.MULTILINE):
        end = text.find("\n", line.start())
        indent[line.start() : end if end >= 0 else None] = line.end() - line.start()
    for line in _SPEAKER.finditer(text):
        speaker[line.start() : line.end()] = 1
    found = {
        "inside quotation marks": quoted,
        "inside brackets": depth > 0,
        "inside a comment": comment,
        "in a line that names a speaker": speaker,
        "column of the line": np.minimum(column, COLUMNS),
        "indentation so far": np.minimum(indent, column),
        "letters of the word so far": _since(text, lambda c: not c.isalpha()),
    }
    return {name: np.asarray(found[name], np.float32) for name in found}


def _since(text, begins):
    """The number of characters since the last one that begins something anew."""
    if not text:
        return np.zeros(0)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds, kind = np.unique(codes, return_inverse=True)
    places = np.arange(len(text))
    anew = np.array([begins(chr(code)) for code in kinds])[kind]
    return places - np.maximum.accumulate(np.where(anew, places, -1))


def _tokens(text):
    """Quotation, depth of brackets and comment after each character."""
    quoted, depth, comment = (np.zeros(len(text)) for _ in range(3))
    level, begin = 0, 0
    for token in _TOKEN.finditer(text):
        kind, (start, end) = token.lastgroup, token.span()
        depth[begin:start] = level
        begin = start
        if kind == "quoted":
            quoted[start : end - 1] = 1  # its last mark ends it
        elif kind == "comment":
            comment[start:end] = 1
        elif kind == "blank":
            level = 0  # whatever was left open
        else:
            level = max(0, level + (1 if kind == "open" else -1))
    depth[begin:] = level
    return quoted, depth, comment
