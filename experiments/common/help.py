"""What ``--help`` says: examples, then flags in groups, the common ones first.

The first paragraph of a script's docstring is on top, the commands that are indented in
it are the examples, and what follows them comes last.
"""

import argparse
import ast
import dataclasses
import inspect
import itertools
import re
import shutil
import textwrap
from collections.abc import Callable
from functools import cache
from typing import Any

WIDTH = 100  # columns at most, however wide the terminal is
_COMMAND = "    python "  # begins the paragraph with the examples
_OFF = (
    "--no-FLAG turns off a flag without a value, and an optional one that a preset or "
    "an earlier command has set."
)


def add_help(
    parser: argparse.ArgumentParser,
    kind: type[Any],
    about: str | None,
    add: Callable[[Any, str, str], None],
) -> None:
    """Gives a parser its flags, in groups, and what ``--help`` says around them.

    Args:
      parser: A parser without flags.
      kind: The configuration. A group is a class that it inherits from, whose docstring
        is the group's title. Fields of its own come first.
      about: The script's docstring.
      add: ``(group, field's name, help) -> None`` adds a flag.
    """
    parser.formatter_class = _Formatter
    parser.usage = "%(prog)s [--FLAG VALUE ...]"
    summary, examples, rest = _parts(about or kind.__doc__ or "")
    parser.description = "\n\n".join(x for x in (summary, examples) if x)
    parser.epilog = "\n\n".join(x for x in (_OFF, rest) if x)
    texts = documentation(kind)
    for base, fields in _groups(kind):
        title = "flags" if base is kind else inspect.getdoc(base)
        group = parser.add_argument_group(title)
        for field in fields:
            text = texts[field.name] + _default(field)
            add(group, field.name, text.replace("%", "%%"))  # which begins a field


@cache
def documentation(kind: type[Any]) -> dict[str, str]:
    """The string below each field of a dataclass, those that it inherits included."""
    texts = {}
    for base in reversed(kind.__mro__[:-1]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        body = getattr(definition, "body", [])
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                name = ast.unparse(field.target)
                texts[name] = " ".join(str(ast.literal_eval(text.value)).split())
    return texts


def _groups(kind):
    """Classes with the fields that stand in them: its own first, then in order."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for base in (kind, *reversed(kind.__mro__[1:-1])):
        if names := inspect.get_annotations(base):
            yield base, [fields[name] for name in names]


def _default(field):
    value = field.default
    if isinstance(value, tuple):
        value = " ".join(map(str, value))
    unsaid = None, False, dataclasses.MISSING
    if any(value is x for x in unsaid) or value == "":
        return ""
    return f" (default: {value})"


def _parts(about):
    """A docstring's first paragraph, its indented lines, and what follows them."""
    paragraphs = about.strip().split("\n\n")
    indented = [x for x in paragraphs if x.startswith("    ")]
    if not indented:
        return about.strip(), "", ""
    at = paragraphs.index(indented[0])
    rest = "\n\n".join(paragraphs[at + 1 :])
    return "\n\n".join(paragraphs[:at]), indented[0], rest


def _fill(paragraph, width):
    """A paragraph in lines of a width; in a table, each row.

    What is indented is a row, and what is indented more goes on with it.
    """
    rows: list[list[str]] = []
    for line in paragraph.splitlines():
        margin = _margin(rows[-1][0]) if rows else -1
        if rows and (_margin(line) > margin > 0 or _margin(line) == margin == 0):
            rows[-1].append(line)
        else:
            rows.append([line])
    return "\n".join(
        textwrap.fill(
            " ".join([row[0], *map(str.strip, row[1:])]),
            width,
            subsequent_indent=" " * _column(row[0]),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for row in rows
    )


def _margin(line):
    return len(line) - len(line.lstrip())


def _column(row):
    """Where the last column of a row begins; at the margin, if it is no row."""
    column = re.match(r" +\S.*?  +(?=\S)", row)
    return column.end() if column else _margin(row)


class _Formatter(argparse.HelpFormatter):
    """Paragraphs and columns that fit into the terminal; commands as they are."""

    def __init__(self, prog: str):
        width = min(shutil.get_terminal_size().columns - 2, WIDTH)
        super().__init__(prog, max_help_position=24, width=width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(
            x if x.startswith(_COMMAND) else _fill(x, width) for x in text.split("\n\n")
        )

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        # Ours has the dots already, where there may be several.
        return str(action.metavar or default_metavar)
