"""What ``backend="auto"`` goes by: which backends beat a plain scan, and where.

All of it is in `TABLE`. On CPU and TPU a row holds for the whole platform. On GPU there
is a row for what was published by others. Once a GPU has been measured, each measured
size gets a row of its own, printed by ``benchmarks/fastest.py``.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jaxtext.types import BackendName


class Question(NamedTuple):
    """The case that a backend is chosen for.

    Attributes:
      platform: ``"cpu"``, ``"gpu"`` or ``"tpu"``.
      cell: The kind of cell, as `Backend.cell` has it.
      dtype: The type that the cell computes in.
      resets: Whether there are resets.
      hidden: ``H``.
      batch: ``B``, all batch axes together.
    """

    platform: str
    cell: str
    dtype: str
    resets: bool
    hidden: int
    batch: int


class Row(NamedTuple):
    """One finding.

    Attributes:
      platform: ``"cpu"``, ``"gpu"`` or ``"tpu"``.
      backends: The backends that beat a plain scan, the fastest first; ``"scan"`` in
        their place where none does.
      evidence: What was found, and where to read it.
      cell: The kind of cell. ``None``: any.
      dtype: The type. ``None``: any.
      resets: Whether there were resets. ``None``: with and without.
      sizes: Hidden size and batch. ``None``: any.
    """

    platform: str
    backends: tuple[BackendName, ...]
    evidence: str
    cell: str | None = None
    dtype: str | None = None
    resets: bool | None = None
    sizes: tuple[int, int] | None = None

    def answers(self, question: Question) -> bool:
        """Whether the row is about this case, apart from its sizes."""
        own = self.cell, self.dtype, self.resets
        asked = question.cell, question.dtype, question.resets
        return self.platform == question.platform and all(
            a is None or a == b for a, b in zip(own, asked, strict=True)
        )

    def distance(self, question: Question) -> float:
        """How far the sizes are from those asked for, in doublings; ``inf``: any."""
        if self.sizes is None:
            return math.inf
        asked = question.hidden, max(question.batch, 1)
        pairs = zip(self.sizes, asked, strict=True)
        return sum(abs(math.log2(a / b)) for a, b in pairs)


TABLE: tuple[Row, ...] = (
    Row(
        "cpu",
        ("fused",),
        "measured faster than scan (benchmarks/results/cpu-2-cores.json)",
    ),
    Row(
        "tpu",
        ("mosaic",),
        "fewer cycles a step than scan in the compiler's schedule; not "
        "measured (benchmarks/results/tpu-schedule.json)",
    ),
    Row(
        "gpu",
        ("cudnn",),
        "published as about five times as fast as scan; not measured here "
        "(docs/design.md)",
        cell="lstm",
        dtype="float32",
    ),
)


def ranked(
    question: Question, table: Sequence[Row] = TABLE
) -> Iterator[tuple[BackendName, str]]:
    """The backends to try, best first, each with its evidence.

    Of rows with sizes, only the nearest counts. Rows without come after it.

    Example:
      >>> question = Question("tpu", "gru", "float32", False, 128, 16)
      >>> [backend for backend, _ in ranked(question)]
      ['mosaic']
    """
    rows = [row for row in table if row.answers(question)]
    sized = [row for row in rows if row.sizes is not None]
    sized = sorted(sized, key=lambda row: row.distance(question))[:1]
    for row in sized + [row for row in rows if row.sizes is None]:
        for backend in row.backends:
            yield backend, row.evidence
