"""Tables of the results of `quality.py`, as in RESULTS.md."""

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Line = dict[str, Any]


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


def table(lines: list[Line]) -> str:
    """A row for each variant, with mean ± standard deviation over its seeds."""
    by_variant = defaultdict(list)
    for line in lines:
        by_variant[line["trained"]["corpus"], line["variant"]].append(line)
    rows = [_HEADS, ["---"] * len(_HEADS)]
    rows += [[*name, *map(str, _row(group))] for name, group in by_variant.items()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


_HEADS = [
    *("text", "variant", "seeds", "parameters", "passes"),
    *("best, cold-256", "best, carried", "last, cold-256", "last, carried"),
    *("dynamic, carried", "train", "wall, s", "chars/s"),
]


def _row(lines: list[Line]) -> Iterable[str | int]:
    def nats(checkpoint: str, protocol: str, of: str = "nats_per_char"):
        return _spread(lines, lambda x: x["evaluated"][f"{checkpoint} {protocol}"][of])

    yield len(lines)
    yield f"{lines[0]['trained']['parameters']:,}"
    yield _spread(lines, lambda x: x["trained"]["epochs"], 1)
    yield nats("best", "cold-256")
    yield nats("best", "carried")
    yield nats("last", "cold-256")
    yield nats("last", "carried")
    dynamic = "dynamic_nats_per_char" in lines[0]["evaluated"]["best carried"]
    yield nats("best", "carried", "dynamic_nats_per_char") if dynamic else "–"
    yield _spread(lines, lambda x: x["trained"]["train_nats_per_char"], 3)
    # A run with a budget in steps may have shared the machine: its time says nothing.
    timed = [line for line in lines if line["trained"]["minutes"]]
    yield _spread(timed, lambda x: x["wall_seconds"], 0)
    yield _spread(timed, lambda x: x["trained"]["chars_per_second"], 0)


def _spread(
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
