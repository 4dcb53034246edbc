"""Flags that say what a command does besides training, or in its place."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from common.rules import option
from common.values import Bound, Positive


def steps_of(word: str) -> range:
    """The steps that ``START:COUNT`` means.

    Raises:
      ValueError: If the word has another form.
    """
    start, count = map(int, word.split(":"))
    if min(start, count) < 1:
        raise ValueError
    return range(start, start + count)


def _is_window(word):
    try:
        return bool(steps_of(word))
    except ValueError:
        return False


Window: TypeAlias = Annotated[
    str, Bound(_is_window, "START:COUNT, two whole numbers of 1 or more, as in 100:5")
]


@dataclass(frozen=True)
class Operating:
    """what a command does besides training"""

    profile: Window | None = option(None, identity=False, kept=False)
    """START:COUNT traces so many steps, from that one on, for XProf or TensorBoard:
    docs/guides/profiling.md. The trace is in profile/ in the run's directory."""
    hang_seconds: Positive = option(1800, identity=False, kept=False)
    """Without any progress for so long, say in which phase, and where each thread is.
    Nothing is ended, since a program may take as long to compile."""
    print_config: bool = option(False, identity=False, kept=False)
    """Print the command with all flags that it means, and do nothing else."""
    dry_run: bool = option(False, identity=False, kept=False)
    """Check everything, compile, measure the speed, tell shapes, memory and plan, and
    write nothing (but the text and programs in the cache)."""
