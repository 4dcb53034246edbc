"""A process that keeps contestants ready, and times one of them when asked.

JAX and torch have separate processes, because two thread pools in one process would
disturb each other. The process of torch opens no JAX device.
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
    """A question failed. The worker still runs.

    Attributes:
      of: The source of the error: the cell, which the contestant does not have; the
        shape, which it refuses; or the computation, after which a GPU may be unusable.
    """

    def __init__(self, said: str, of: Literal["cell", "shape", "computation"]):
        super().__init__(said)
        self.of = of


class WorkerDied(RuntimeError):
    """The process of the worker has ended, or exceeded the limit and was killed."""


@contextlib.contextmanager
def worker(
    family: str,
    environment: Mapping[str, str] | None = None,
    limit: float | None = None,
) -> Iterator[Ask]:
    """Starts a worker, and ends it at the end of the block.

    Args:
      family: One of `FAMILIES`.
      environment: More environment variables for the process.
      limit: Time limit for an answer, in seconds.

    Yields:
      A function to ask with: ``ask(name, *arguments)`` calls the public function `name`
      of the family's module in the worker, or one of these.

      - ``ask("prepare", library, work)`` compiles both programs, and returns their
        compile time and memory by direction;
      - ``ask("visit", library, direction, seconds)`` times one of them;
      - ``ask("forget")`` frees all programs;
      - ``ask("environment")`` returns its versions and hardware.

      It raises `WorkerError` if the question fails, `WorkerDied` if the worker ended.
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
        process.kill()  # a process that waits for a device may ignore SIGTERM


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
            except Exception as error:  # a failure must not end the worker
                pipe.send((_in_a_line(error), None))


def _in_a_line(error):
    """A message of one line, and the source of the error."""
    if isinstance(error, LookupError | ImportError):
        return str(error.args[0]), "cell"
    if isinstance(error, ArithmeticError):
        return str(error.args[0]), "computation"
    lines = str(error).strip().splitlines() or [""]
    of = "shape" if isinstance(error, InputError) else "computation"
    return f"{type(error).__name__}: {lines[0]}", of
