"""Tables within a Markdown page, between two comments that a reader does not see.

::

    <!-- table: NAME -->
    | … |
    <!-- end of table -->
"""

import re
from collections.abc import Callable, Mapping

from jaxtext.errors import InputError

_END = "<!-- end of table -->\n"
_BEGIN = re.compile(r"^<!-- table: (.+) -->\n", re.M)


def names(page: str) -> list[str]:
    """The names of the tables that a page has, in order."""
    return _BEGIN.findall(page)


def fill(page: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """The page with each of its tables made anew.

    Args:
      page: The page, as Markdown.
      tables: Makes the table of each name.

    Raises:
      InputError: If there is no table of a name, or if no second comment ends it.
    """
    before, *parts = _BEGIN.split(page)
    done = before
    for name, part in zip(parts[::2], parts[1::2], strict=True):
        if name not in tables:
            raise InputError(f"table {name!r}: expected one of {', '.join(tables)}")
        _, end, after = part.partition(_END)
        if not end:
            raise InputError(f"table {name!r}: expected {_END.strip()!r} after it")
        done += f"<!-- table: {name} -->\n{tables[name]()}{_END}{after}"
    return done
