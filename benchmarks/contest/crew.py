"""The processes of the contestants: one for JAX and one for torch, or one for each."""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from measuring.graphs import GRAPHS, with_graphs
from measuring.workload import TORCH, Workload

from contest.program import Program
from contest.worker import Ask, WorkerDied, WorkerError, worker
from jaxtext.errors import InputError

Prepared = dict[tuple[str, str], Program]  # (library, direction), without its run


class Crew(contextlib.AbstractContextManager):
    """All contestants in their processes.

    Attributes:
      left_out: By name, the contestants without a part in this workload, with reasons.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        graphs: Sequence[str] = (),
        alone: bool = False,
        limit: float | None = None,
    ):
        """Starts no process yet.

        Args:
          names: The contestants.
          graphs: The names to measure a second time with CUDA graphs.
          alone: Give each its own process. One that crashes or hangs is left out, and
            has a new process for the next workload.
          limit: Time limit for an answer of a process, in seconds.

        Raises:
          InputError: If one of `graphs` is not among the names or does not use JAX.
        """
        for name in graphs:
            if name not in names or name in TORCH:
                known = ", ".join(name for name in names if name not in TORCH)
                raise InputError(f"--graphs: expected of {known}; got {name!r}")
        self.left_out: dict[str, str] = {}
        self._names = [*names, *(name + GRAPHS for name in graphs)]
        self._alone, self._limit = alone, limit
        self._work: Workload | None = None
        self._asks: dict[str, Ask] = {}
        self._processes: dict[str, contextlib.ExitStack] = {}

    def __exit__(self, *_):
        for home in list(self._processes):
            self._end(home)

    def environment(self) -> dict[str, Any]:
        """The environment of the JAX process, and the flags that ``+graphs`` means."""
        about = self._ask("jax", "environment")
        if any(name.endswith(GRAPHS) for name in self._names):
            about["graphs_flags"] = with_graphs()
        return about

    def matmul_flops_per_second(self, dtype: str) -> float:
        """The rate of one large matrix product."""
        return self._ask("jax", "matmul_flops_per_second", dtype)

    def prepare(self, work: Workload, show: Callable[[str], None]) -> Prepared:
        """Compiles all contestants for a workload. Failures are in `left_out`."""
        self.left_out, self._work = {}, work
        if not self._alone:
            each = []
            for name in self._names:
                show(f"compiling {name}")
                each.append(self._prepare(name, work))
        else:
            show("compiling")
            for name in self._names:  # one by one: starting changes the environment
                self._start(self._home(name))
            with ThreadPoolExecutor(len(self._names)) as threads:
                each = list(threads.map(lambda n: self._prepare(n, work), self._names))
            self.left_out = dict(  # in the order of the names, not of the failures
                sorted(self.left_out.items(), key=lambda kv: self._names.index(kv[0]))
            )
        return {
            (name, direction): program
            for name, programs in zip(self._names, each, strict=True)
            for direction, program in programs.items()
        }

    def visit(self, library: str, direction: str, seconds: float) -> list[float]:
        """Times one program like `timing.visit`. One that is left out has no times."""
        if library in self.left_out:
            return []
        assert self._work is not None
        arguments = library.removesuffix(GRAPHS), direction, seconds
        try:
            return self._ask(self._home(library), "visit", *arguments)
        except (WorkerError, WorkerDied) as error:
            self._leave_out(library, self._work, error)
            return []

    def forget(self) -> None:
        """Frees all programs, and ends the processes that failed."""
        for home, ask in list(self._asks.items()):
            try:
                ask("forget")
            except (WorkerError, WorkerDied):
                self._end(home)

    def _prepare(self, name, work):
        if name.endswith(GRAPHS) and with_graphs() is None:
            why = "XLA may not know the flags for it in this version"
            self.left_out[name] = f"({work.called()}): {why}"
            return {}
        library = name.removesuffix(GRAPHS)
        try:
            return self._ask(self._home(name), "prepare", library, work)
        except (WorkerError, WorkerDied) as error:
            self._leave_out(name, work, error)
            return {}

    def _leave_out(self, name, work, error):
        died = isinstance(error, WorkerDied)
        if died and not self._alone:
            raise error
        of_cell = not died and error.of == "cell"
        self.left_out[name] = f"({work.called() if of_cell else work.name()}): {error}"
        if self._alone and (died or error.of == "computation"):
            self._end(self._home(name))

    def _home(self, name):
        if self._alone:
            return name
        if name.endswith(GRAPHS):
            return "jax" + GRAPHS
        return "torch" if name in TORCH else "jax"

    def _ask(self, home, *question):
        return self._start(home)(*question)

    def _start(self, home):
        if home not in self._asks:
            family = "torch" if home in TORCH else "jax"
            flags = with_graphs() if home.endswith(GRAPHS) else None
            environment = {} if flags is None else {"XLA_FLAGS": flags}
            stack = self._processes[home] = contextlib.ExitStack()
            asked = worker(family, environment, self._limit)
            self._asks[home] = stack.enter_context(asked)
        return self._asks[home]

    def _end(self, home):
        self._asks.pop(home, None)
        if stack := self._processes.pop(home, None):
            stack.close()
