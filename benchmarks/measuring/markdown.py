"""A table in Markdown."""

from collections.abc import Iterable


def markdown(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table with these heads and rows, each row as long as the heads."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
