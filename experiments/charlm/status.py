"""How a run ends: what is said of it, and the exit status."""

import traceback
from collections.abc import Callable
from typing import Any

import jax

from charlm.config import Config
from charlm.run import DivergedError, GoneError
from common.flags import with_flags
from common.screen import screen
from jaxtext.errors import InputError
from jaxtext.runs import distributed
from jaxtext.runs.endings import Ending, versions
from jaxtext.runs.interrupt import Stopped, requests_to_stop
from jaxtext.streams import say


def in_all_processes(config: Config, work: Callable[..., Any]) -> int:
    """Does the work in this process, which may be one of several that train together.

    Args:
      config: Says whether it is, and how it finds the others.
      work: ``(display, stop) -> None``.

    Returns:
      The exit status, as in the docstring of ``char_gen.py``.
    """

    def here():
        return exit_status(work)

    if config.distributed:
        distributed.run(
            here,
            config.coordinator,
            config.num_processes,
            config.process_id,
            heartbeat_seconds=config.heartbeat_seconds,
            meet_seconds=config.meet_seconds,
        )
    try:
        return here()
    except Exception:
        say(traceback.format_exc().rstrip())
        return _ended(Ending.BUG, versions=versions())


def exit_status(work: Callable[..., Any]) -> int:
    """Does the work, says what ended it, and returns the exit status."""
    try:
        with requests_to_stop() as stop, screen(jax.process_index() > 0) as display:
            work(display, stop)
    except Stopped as stopped:
        number, *who = stopped.args
        if who:
            return _ended(Ending.STOPPED_THERE, number=number, who=who[0])
        return _ended(Ending.STOPPED, number=number)
    except DivergedError as error:
        return _ended(Ending.DIVERGED, error=error)
    except (InputError, GoneError, OSError, jax.errors.JaxRuntimeError) as error:
        distributed.settle()  # it may come of the loss of another process
        if isinstance(error, InputError):
            return _ended(Ending.INPUT, error=error)
        if isinstance(error, GoneError):
            return _ended(Ending.GONE, error=error)
        if isinstance(error, OSError):  # in a process that does not hold the directory
            return _ended(Ending.DISK, error=error)
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return _ended(Ending.MEMORY, error=str(error).splitlines()[0])
    return _ended(Ending.FINISHED)


def _ended(ending, number=None, **fields):
    """Says how the run ended, and returns the exit status."""
    words = ending.words(number=number, **fields)
    if words:
        say(with_flags(words))
    return ending.status_of(number)
