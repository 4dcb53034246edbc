"""Tables and JSON lines, of which each row has a document in one field."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from jaxtext.errors import InputError
from jaxtext.text.reader import How, blocks
from jaxtext.text.vocabulary import END, code_points

_AT_ONCE = 1 << 18  # characters of rows that make a block
_LONGEST_ROW = 1 << 28  # bytes
_NAMED = 12  # fields, at most


def row_documents(
    paths: Sequence[Path],
    mode: Literal["jsonl", "csv"],
    field: str | None,
    advance: Callable[[int], None],
    how: How,
) -> Iterator[np.ndarray]:
    """Reads one field of each row, each followed by the end of a document.

    Args:
      paths: The files. Those without rows are skipped.
      mode: What a row is.
      field: The name of the field or the column.
      advance: As for `reader.blocks`.
      how: As for `reader.blocks`.

    Yields:
      Code points of many rows at once.

    Raises:
      InputError: As `modes.document_blocks`.
    """
    rows = _json_rows if mode == "jsonl" else _csv_rows
    for path in paths:
        texts, size, lines = [], 0, _Lines(_text_lines(path, advance, how))
        found = False
        for text in rows(path, lines, field):
            found = True
            if how.newlines == "lf":  # JSON has them as \r and \n
                text = text.replace("\r\n", "\n").replace("\r", "\n")
            if END in text:
                raise InputError(
                    f"expected text, but a row of {path} has a NUL; leave it out"
                )
            texts.append(text)
            size += len(text) + 1
            if size >= _AT_ONCE:
                yield _joined(path, texts)
                texts, size = [], 0
        if texts:
            yield _joined(path, texts)
        if mode == "jsonl" and lines.read and not found:
            raise InputError(
                f"field: expected one that rows of {path} have, got {field}, which "
                "none has; use another"
            )


class _Lines:
    """Lines, of which it is known whether any has been read."""

    def __init__(self, lines: Iterator[str]):
        self._lines, self.read = lines, False

    def __iter__(self):
        return self

    def __next__(self):
        line = next(self._lines)
        self.read = self.read or not line.isspace()
        return line


def _joined(path, texts):
    whole = END.join(texts) + END
    if whole.isascii():
        return np.frombuffer(whole.encode(), np.uint8)
    try:
        return code_points(whole)
    except UnicodeEncodeError as error:
        raise InputError(
            f"expected text, but a row of {path} has half of a surrogate pair "
            f"(U+{ord(whole[error.start]):04X}); leave it out"
        ) from error


def _text_lines(path, advance, how):
    """The lines of a file as strings, each with its newline."""
    begun = b""
    for block in blocks([path], "chars", None, advance, how):
        *lines, begun = (begun + block.raw).split(b"\n")
        for line in lines:
            yield line.decode() + "\n"
        if len(begun) > _LONGEST_ROW:
            raise InputError(
                f"expected rows of at most {_LONGEST_ROW:,} bytes, but {path} has a "
                "longer one; is it a single JSON document? Write each of its rows on "
                "a line"
            )
    if begun:
        yield begun.decode()


def _json_rows(path, lines, field):
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"expected JSON in each line, but line {number:,} of {path} is not "
                f"({error}); use other documents"
            ) from error
        if isinstance(row, dict):
            row = _json_field(path, number, row, field)
        if row is None:
            continue
        if not isinstance(row, str):
            raise InputError(
                f"expected a string, but line {number:,} of {path} has "
                f"{json.dumps(row)[:40]}; use another field"
            )
        yield row


def _json_field(path, number, row, field):
    if field is None:
        raise InputError(
            f"field: expected one of {_named(row)}, as line {number:,} of {path} has "
            "them, got none; give it"
        )
    return row.get(field)


def _csv_rows(path, lines, field):
    header = next(lines, None)
    if header is None:
        return
    delimiter = max(",;\t", key=header.count)
    csv.field_size_limit(_LONGEST_ROW)
    names = next(csv.reader([header], delimiter=delimiter), [])
    if field not in names:
        raise InputError(
            f"field: expected one of {_named(names)}, as the header of {path} has "
            f"them, got {field}; use one of these"
        )
    column, width = names.index(field), len(names)
    rows = csv.reader(lines, delimiter=delimiter)
    try:
        for row in rows:
            if row and len(row) != width:
                raise InputError(
                    f"expected {width} cells, as the header of {path} has, got "
                    f"{len(row)} in line {rows.line_num + 1:,}; mend that line"
                )
            if row:
                yield row[column]
    except csv.Error as error:
        raise InputError(
            f"expected a table, but line {rows.line_num + 1:,} of {path} is not of one "
            f"({error}); mend that line"
        ) from error


def _named(names):
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(str, names[:_NAMED])) + more
