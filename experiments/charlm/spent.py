"""Where the time of a run goes, and so how much of it is training: its goodput.

At each moment a process does one thing of `KINDS`, and its clock adds the time to that.
So the kinds add up to the time of the process, and those of a run to the time of all
its processes. Nothing waits for the device: a kind has the time in which the host was
busy with it, and the device may train meanwhile, as while a checkpoint is written.

Goodput is the share of ``training``. It is measured within the processes of a run. The
word as in ml-goodput-measurement, which MaxText uses, is about a whole job: it also
counts as lost how long a job waits for its machines, and the steps that were lost
because a process was killed before it had saved them. A run knows neither.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax

KINDS = {
    "starting": "imports, reading the text, building the model",
    "compiling": "tracing and compiling, or reading compiled programs",
    "measuring": "how long a step takes, for the plan",
    "restoring": "reading a checkpoint; steps that were undone because training "
    "went back",
    "training": "taking steps",
    "waiting": "for the next batch, while the device had nothing to do",
    "validating": "within the run, and at its end",
    "sampling": "text, to show it",
    "saving": "as long as a checkpoint keeps training waiting",
    "profiling": "writing a trace",
    "ending": "the loss curve, and the result",
    "unknown": "processes of before this was measured",
}
_COMPILING = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)
_HIT = "/jax/compilation_cache/cache_hits"


class Spent:
    """The seconds of a process and of its run, by kind.

    Args:
      clock: Tells the seconds since the process began.

    Attributes:
      batches: How many batches were made.
      programs: How many programs were compiled, or read.
      found: How many of them were read from the cache of compiled programs.
    """

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._kind, self._since = "starting", 0.0
        self._here = dict.fromkeys(KINDS, 0.0)
        self._before: dict[str, float] = {}
        self._compiled: list[tuple[float, float]] = []
        self._kept = 0.0  # seconds of training at the last checkpoint
        self.batches = self.programs = self.found = 0

    def turn_to(self, kind: str) -> str:
        """From now on the process does this; returns what it did until now."""
        before, now = self._kind, self._clock()
        self._here[before] += now - self._since
        self._kind, self._since = kind, now
        return before

    def signs(self) -> tuple[Any, ...]:
        """What differs whenever there was progress: see `jaxtext.runs.watchdog`."""
        return self._kind, self.batches, self.programs

    def phase(self) -> str:
        """What the process does, in words."""
        return f"{self._kind} ({KINDS[self._kind]}), after {self.batches:,} batches"

    @contextmanager
    def on(self, kind: str) -> Iterator[None]:
        """A block of the process that does this. A trace shows it by its name."""
        before = self.turn_to(kind)
        try:
            with jax.profiler.TraceAnnotation(kind):
                yield
        finally:
            self.turn_to(before)

    def move(self, seconds: float, kind: str, of: str | None = None) -> None:
        """Counts seconds as another kind than `of`: than what is done now."""
        self._here[of or self._kind] -= seconds
        self._here[kind] += seconds

    @contextmanager
    def fetching(self, idle: Callable[[], bool]) -> Iterator[None]:
        """A block that makes a batch: waiting, if the device is idle at its end.

        It may have become so within the block, so this is an upper bound.
        """
        begin = self._clock()
        yield
        self.batches += 1
        if self._kind == "training" and idle():
            self.move(self._clock() - begin, "waiting")

    def kept(self) -> None:
        """The training so far is in a checkpoint."""
        self.turn_to(self._kind)
        self._kept = self._here["training"]

    def undone(self) -> None:
        """The training since the last checkpoint was in vain."""
        self.turn_to(self._kind)
        self.move(self._here["training"] - self._kept, "restoring", of="training")

    def go_on_from(self, before: Mapping[str, float] | None, seconds: float) -> None:
        """Adds what earlier processes of the run have spent.

        Args:
          before: What `of_run` told in the last of them, if it did.
          seconds: How long they took.
        """
        self._before = dict(before or {"unknown": seconds})

    def of_process(self) -> dict[str, float]:
        """The seconds of this process by kind, as far as there are any."""
        self.turn_to(self._kind)
        return {kind: x for kind, x in self._here.items() if x > 0}

    def of_run(self) -> dict[str, float]:
        """The seconds of all processes of the run by kind."""
        here, kinds = self.of_process(), [*KINDS]
        both = {k: here.get(k, 0.0) + self._before.get(k, 0.0) for k in kinds}
        return {kind: x for kind, x in both.items() if x > 0}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A block in which compiling is told from what it happens in."""
        thread = threading.get_ident()

        def took(event: str, duration_secs: float, **kwargs: str | int) -> None:
            if event in _COMPILING and threading.get_ident() == thread:
                self.programs += event == _COMPILING[-1]
                self._compiling(duration_secs)

        def happened(event: str, **kwargs: str | int) -> None:
            self.found += event == _HIT

        jax.monitoring.register_event_duration_secs_listener(took)
        jax.monitoring.register_event_listener(happened)
        try:
            yield
        finally:
            jax.monitoring.unregister_event_duration_listener(took)
            jax.monitoring.unregister_event_listener(happened)

    def _compiling(self, seconds):
        """Counts compiling that ends now. What is traced may be within a trace."""
        end = self._clock()
        begin = max(end - seconds, self._since)
        inner = 0.0
        while self._compiled and self._compiled[-1][0] >= begin:
            inner += self._compiled.pop()[1]
        self._compiled.append((begin, end - begin))
        self.move(end - begin - inner, "compiling")


def goodput(seconds: Mapping[str, float]) -> float:
    """The share of training in seconds by kind."""
    return seconds.get("training", 0.0) / max(sum(seconds.values()), 1e-9)


def told(seconds: Mapping[str, float]) -> str:
    """A line about seconds by kind: the share of training, and what took the rest."""
    whole = sum(seconds.values())
    rest = ", ".join(
        f"{kind} {x:.1f}"
        for kind, x in sorted(seconds.items(), key=lambda of: -of[1])
        if kind != "training" and x >= 0.05
    )
    line = f"{goodput(seconds):.1%} of {whole:.1f} s was training"
    return f"{line}; {rest} s" if rest else line
