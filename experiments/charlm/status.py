"""How a run ends: what is said of it, and the exit status."""

from collections.abc import Callable
from typing import Any

import jax

from charlm.config import Config
from charlm.run import DivergedError, GoneError
from common.flags import with_flags
from common.screen import screen
from jaxtext.errors import InputError
from jaxtext.runs import distributed
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

    if not config.distributed:
        return here()
    return distributed.run(
        here,
        config.coordinator,
        config.num_processes,
        config.process_id,
        heartbeat_seconds=config.heartbeat_seconds,
    )


def exit_status(work: Callable[..., Any]) -> int:
    """Does the work, says what ended it, and returns the exit status."""
    try:
        with requests_to_stop() as stop, screen(jax.process_index() > 0) as display:
            work(display, stop)
    except Stopped as stopped:
        (number,) = stopped.args
        say(f"stopped by signal {number}; the same command goes on from what is saved")
        return 128 + number
    except (InputError, GoneError) as error:
        say(f"error: {with_flags(str(error))}")
        return 2
    except OSError as error:  # in a process that does not hold the directory
        say(f"error: {error}; what was saved is good")
        return 2
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        say(
            f"error: out of memory ({str(error).splitlines()[0]}); give a smaller "
            "--batch-size, or --slices or --remat, which need less; what was saved is "
            "good"
        )
        return 2
    except DivergedError as error:
        say(f"error: {error}")
        return 3
    return 0
