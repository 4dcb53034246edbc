"""A contestant that is ready to be timed."""

from collections.abc import Callable
from typing import NamedTuple


class Program(NamedTuple):
    """One direction of one contestant, compiled, checked and warmed up.

    Attributes:
      run: Computes everything once, and returns when it is done.
      compile_ms: Time for tracing and compiling; ``None`` if nothing is compiled.
      peak_mb: Memory beside arguments and results; ``None`` if unknown.
    """

    run: Callable[[], object]
    compile_ms: float | None = None
    peak_mb: float | None = None
