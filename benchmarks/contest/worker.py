"""A process that keeps contestants ready and times one of them when asked.

JAX and torch each have one: two thread pools in one process would be in each other's
way, and torch's process never opens a JAX device.
"""

import contextlib
import gc
import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal
from unittest import mock

from measuring import record, timing

from contest.program import Program
from jaxtext.errors import InputError

FAMILIES = {"jax": "contest.jax_programs", "torch": "contest.torch_cells"}

Ask = Callable[..., Any]


class WorkerError(Exception):
    """What was asked could not be done; the worker goes on.

    Attributes:
      of: What the error is of: a cell that the contestant lacks, whatever its sizes; a
        shape that it refuses; or its computation, after which a GPU may be in no state
        to go on with.
    """

    def __init__(self, said: str, of: Literal["cell", "shape", "computation"]):
        super().__init__(said)
        self.of = of


class WorkerDied(RuntimeError):
    """The worker's process has ended, or took too long and was killed."""


@contextlib.contextmanager
def worker(
    family: str,
    environment: Mapping[str, str] | None = None,
    limit: float | None = None,
) -> Iterator[Ask]:
    """Starts a worker, and ends it.

    Args:
      family: One of `FAMILIES`.
      environment: Environment variables of the process, beside those of this one.
      limit: Kill the process if an answer takes longer than so many seconds.

    Yields:
      A function that asks: ``ask(name, *arguments)`` calls the public function `name`
      of the family's module there, or one of these.

      - ``ask("prepare", library, work)`` makes both programs, and returns compile time
        and memory by direction;
      - ``ask("visit", library, direction, seconds)`` times one of them;
      - ``ask("forget")`` frees all programs;
      - ``ask("environment")`` says on what and with what it runs.

      It raises `WorkerError` where the worker could not, and `WorkerDied` if it ended.
    """
    context = multiprocessing.get_context("spawn")  # a fork would share JAX's threads
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(family, there), daemon=True)
    with mock.patch.dict(os.environ, environment or {}):
        process.start()
    there.close()

    def ask(name, *arguments):
        try:
            here.send((name, arguments))
            if not here.poll(limit):
                process.kill()
                raise WorkerDied(f"no answer from {family} within {limit:g} s")
            error, answer = here.recv()
        except (EOFError, OSError):
            process.join()
            died = f"the worker for {family} died with status {process.exitcode}"
            raise WorkerDied(died) from None
        if error is not None:
            raise WorkerError(*error)
        return answer

    try:
        yield ask
    finally:
        process.terminate()
        process.join(10)
        process.kill()  # what waits for a device may not hear of anything else


def _serve(family, pipe):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    gc.disable()
    ready: dict[tuple[str, str], Program] = {}

    def module():
        return importlib.import_module(FAMILIES[family])

    def prepare(library, work):
        programs = module().programs(library, work)
        ready.update({(library, name): program for name, program in programs.items()})
        return {name: program._replace(run=None) for name, program in programs.items()}

    def visit(library, direction, seconds):
        return timing.visit(ready[library, direction].run, seconds)

    def forget():
        ready.clear()
        gc.collect()

    own = {"prepare": prepare, "visit": visit, "forget": forget}
    own["environment"] = record.environment
    with contextlib.suppress(EOFError):
        while True:
            name, arguments = pipe.recv()
            try:
                answer = (own.get(name) or getattr(module(), name))(*arguments)
                pipe.send((None, answer))
            except Exception as error:  # a contestant's failure is its own
                pipe.send((_in_a_line(error), None))


def _in_a_line(error):
    """What went wrong, and what it is of."""
    if isinstance(error, LookupError | ImportError):
        return str(error.args[0]), "cell"
    if isinstance(error, ArithmeticError):
        return str(error.args[0]), "computation"
    lines = str(error).strip().splitlines() or [""]
    of = "shape" if isinstance(error, InputError) else "computation"
    return f"{type(error).__name__}: {lines[0]}", of
