"""What a contestant becomes once it is ready to be timed."""

from collections.abc import Callable
from typing import NamedTuple


class Program(NamedTuple):
    """One direction of one contestant, compiled, checked and warmed up.

    Attributes:
      run: Computes everything once and returns when it is there.
      compile_ms: Tracing and compiling; ``None`` where nothing is compiled.
      peak_mb: Memory beside arguments and results; ``None`` if not known.
    """

    run: Callable[[], object]
    compile_ms: float | None = None
    peak_mb: float | None = None
