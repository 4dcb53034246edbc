"""What the documents of a text seem to be, by its beginning."""

import csv
import json

from jaxtext.text.modes import Mode

CHARACTERS = 1 << 16  # of the beginning, that are looked at

_SHORT = 40  # characters of a line
_LINES, _ROWS = 40, 5  # as few are not enough to tell


def seems(beginning: str) -> tuple[Mode, str] | None:
    r"""Guesses what a document is in a text that is read as one.

    Args:
      beginning: Some characters from the beginning of the text. If it was cut off, its
        last line is not complete, and is passed over.

    Returns:
      The mode, and why, in words; for a table or JSON lines, with the names of the
      columns or fields. ``None`` if the text does not look like documents.

    Example:
      >>> seems("name,message\n" + "anna,good morning\n" * 5)
      ('csv', 'a table with the columns name, message')
      >>> seems("All happy families are alike; every unhappy family is unhappy in ...")
    """
    lines = beginning.splitlines()
    if len(beginning) >= CHARACTERS:
        lines = lines[:-1]
    full = [line for line in lines if line.strip()]
    return _json(full) or _table(full) or _list(lines)


def _json(lines):
    if len(lines) < _ROWS:
        return None
    try:
        rows = [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        return None
    if all(isinstance(row, dict) for row in rows):
        return "jsonl", f"JSON lines with the fields {', '.join(rows[0])}"
    strings = all(isinstance(row, str) for row in rows)
    return ("jsonl", "JSON lines, each a string") if strings else None


def _table(lines):
    if len(lines) <= _ROWS or ", " in lines[0]:  # as in a sentence
        return None
    delimiter = max(",;\t", key=lines[0].count)
    header, *rows = csv.reader(lines, delimiter=delimiter)
    names = [name.strip() for name in header]
    if len(names) < 2 or len({*names}) < len(names):
        return None
    if not all(name and len(name) <= _SHORT and not _number(name) for name in names):
        return None
    # A quoted cell may go on in the next line, and then the first row is a guess.
    alike = sum(len(row) == len(names) for row in rows)
    if alike < 0.9 * len(rows):
        return None
    return "csv", f"a table with the columns {', '.join(names)}"


def _list(lines):
    distinct = {*lines}
    if len(lines) < _LINES or "" in distinct or len(distinct) < 0.99 * len(lines):
        return None
    if max(map(len, lines)) > _SHORT:
        return None
    return "lines", "a list: its lines are short, and no two are equal"


def _number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True
