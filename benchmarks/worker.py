"""A process that keeps contestants ready and times one of them when asked.

JAX and torch each have one: two thread pools in one process would be in each other's
way, and torch's process never opens a JAX device.
"""

import contextlib
import gc
import importlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from typing import Any

import record
import timing
from program import Program

FAMILIES = {"jax": "compile_jax", "torch": "contestants_torch"}  # the modules

Ask = Callable[..., Any]


class WorkerError(Exception):
    """What was asked could not be done; the worker goes on."""


@contextlib.contextmanager
def worker(family: str) -> Iterator[Ask]:
    """Starts a worker, and ends it.

    Args:
      family: One of `FAMILIES`.

    Yields:
      A function that asks: ``ask(name, *arguments)`` calls the public function `name`
      of the family's module there, or one of these.

      - ``ask("prepare", library, work)`` makes both programs, and returns compile time
        and memory by direction;
      - ``ask("visit", library, direction, seconds)`` times one of them;
      - ``ask("forget")`` frees all programs;
      - ``ask("environment")`` says on what and with what it runs.

      It raises `WorkerError` where the worker could not.
    """
    context = multiprocessing.get_context("spawn")  # a fork would share JAX's threads
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(family, there), daemon=True)
    process.start()
    there.close()

    def ask(name, *arguments):
        try:
            here.send((name, arguments))
            error, answer = here.recv()
        except (EOFError, OSError):
            process.join()
            died = f"the worker for {family} died with status {process.exitcode}"
            raise RuntimeError(died) from None
        if error is not None:
            raise WorkerError(error)
        return answer

    try:
        yield ask
    finally:
        process.terminate()
        process.join()


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
    if isinstance(error, LookupError | ImportError | ArithmeticError):
        return str(error.args[0])
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
