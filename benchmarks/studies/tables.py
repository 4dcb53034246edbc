"""Tables of the results of `quality.py`."""

import itertools
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from measuring.markdown import markdown

Line = dict[str, Any]
# What a column shows of the lines of a variant; the second are those of the first one.
Column: TypeAlias = Callable[[list[Line], list[Line]], str]


def tables(results: Path, studies: Iterable[str]) -> str:
    """The results of studies in a directory, as Markdown."""
    found = {study: read(results / f"{study}.jsonl") for study in studies}
    return "\n".join(
        f"### {x}\n\n{table(lines)}" for x, lines in found.items() if lines
    )


def read(path: Path) -> list[Line]:
    """The lines of a study. A file that does not exist has none."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def table(lines: list[Line], columns: Iterable[str] = ()) -> str:
    """A row for each text and variant, with mean ± standard deviation over its seeds.

    The text is named where there are several.

    Args:
      lines: The lines of a study.
      columns: The names of `COLUMNS` to show. Default: all.
    """
    columns = list(columns) or list(COLUMNS)
    by_variant = defaultdict(list)
    for line in lines:
        by_variant[line["trained"]["corpus"], line["variant"]].append(line)
    first = next(iter(by_variant.values()))
    names = slice(0 if len({text for text, _ in by_variant}) > 1 else 1, None)
    rows = (
        [*name[names], *(COLUMNS[column](group, first) for column in columns)]
        for name, group in by_variant.items()
    )
    return markdown([*("text", "variant")[names], *columns], rows)


def _nats(checkpoint: str, protocol: str) -> Column:
    return lambda lines, _: spread(lines, _of(checkpoint, protocol))


def _of(checkpoint, protocol):
    name = f"{checkpoint} {protocol}"
    return lambda x: x["evaluated"].get(name, {}).get("nats_per_char")


def _symbol(checkpoint: str) -> Column:
    """Of documents: the mean loss of their characters and their ends."""

    def of(line):
        return line["evaluated"][f"{checkpoint} carried"].get("nats_per_symbol")

    return lambda lines, _: spread(lines, of)


def _dynamic(lines, _):
    return spread(
        lines, lambda x: x["evaluated"]["best carried"].get("dynamic_nats_per_char")
    )


def _difference(lines, first):
    loss = _of("last", "cold-256")
    losses = [[loss(line) for line in group] for group in (lines, first)]
    if None in itertools.chain(*losses):
        return "–"
    own, base = map(statistics.mean, losses)
    return f"{own - base:+.3f}"


def _trained(name: str, digits: int) -> Column:
    return lambda lines, _: spread(lines, lambda x: x["trained"][name], digits)


def _timed(of: Callable[[Line], float | None]) -> Column:
    """Of a run with a budget in minutes: one in steps may have shared the machine."""
    return lambda lines, _: spread(
        [line for line in lines if line["trained"]["minutes"]], of, 0
    )


COLUMNS: dict[str, Column] = {
    "seeds": lambda lines, _: str(len(lines)),
    "parameters": lambda lines, _: f"{lines[0]['trained']['parameters']:,}",
    "passes": _trained("epochs", 1),
    "best, cold-256": _nats("best", "cold-256"),
    "best, carried": _nats("best", "carried"),
    "last, cold-256": _nats("last", "cold-256"),
    "best, a symbol": _symbol("best"),
    "last, a symbol": _symbol("last"),
    "difference": _difference,
    "last, carried": _nats("last", "carried"),
    "dynamic, carried": _dynamic,
    "train": _trained("train_nats_per_char", 3),
    "wall, s": _timed(lambda x: x["wall_seconds"]),
    "chars/s": _timed(lambda x: x["trained"]["chars_per_second"]),
}


def spread(
    lines: list[Line], of: Callable[[Line], float | None], digits: int = 4
) -> str:
    """Mean ± sample standard deviation of the known values; a single value as it is."""
    values = [value for line in lines if (value := of(line)) is not None]
    if not values:
        return "–"
    mean = f"{statistics.mean(values):,.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):,.{digits}f}"
