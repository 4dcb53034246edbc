"""Train a recurrent network on text, character by character, and let it write.

    python experiments/char_gen.py --minutes 3
    python experiments/char_gen.py --cell gru --corpus my.txt --steps 10000
    python experiments/char_gen.py --preset tutorial --epochs 2

The same command again goes on where the run stopped, or prints the result again if it
is finished. So does ``--workdir DIR`` alone: the run remembers the flags that it was
given. Ctrl-C saves and stops. The run's directory holds what the run is
(``config.json``), the flags that it was given (``flags.json``), metrics
(``metrics.jsonl``), loss curve (``curve.png``), checkpoints and, when it is finished,
its result (``result.json``): the JSON object that is printed where standard output is
no terminal.

Exit status:
  0        finished
  2        bad input; no time for a first step (nothing was trained); or what somebody
           has to mend (a full disk, a text that cannot be read any more, a directory
           that is gone): what could be saved is saved. Standard output that cannot be
           written does not count: the result is in the directory
  3        training diverged, and going back did not help
  75       another process of the run was lost; the same command on every host goes on
  128 + n  stopped by signal n (130 is Ctrl-C) at the end of a step, and saved; a second
           signal ends it at once
"""

import signal
import time

STARTED = time.monotonic()  # before the imports, which the time budget includes
if __name__ == "__main__":
    # While modules are imported there is nothing to save, nor to say.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import jaxtext.needs_experiments  # noqa: F401 (first)

import logging
import sys
from collections.abc import Sequence
from functools import partial

import jax
from charlm.config import Config
from charlm.open import open_run
from charlm.parse import parse
from charlm.plan import say_how_it_ended
from charlm.result import commands, result_of, summary
from charlm.run import Clock, DivergedError, GoneError
from charlm.samples import print_samples
from charlm.train import train
from common.screen import Screen, print_result, screen

from jaxtext.errors import InputError
from jaxtext.runs import distributed
from jaxtext.runs.interrupt import Request, Stopped, requests_to_stop
from jaxtext.runs.workdir import write_json
from jaxtext.streams import say, script


def since_start() -> float:
    """Seconds since this process began."""
    return time.monotonic() - STARTED


@script
def main(argv: Sequence[str] | None = None, clock: Clock = since_start) -> int:
    """Runs the experiment and returns the exit status.

    Args:
      argv: The command line. Default: that of this process.
      clock: Tells the seconds since the experiment began. Budgets go by it.
    """
    # What Orbax logs as errors, and at length, reaches us as exceptions too.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    config = parse(argv, about=__doc__)
    work = partial(attempt, config, clock)
    if not config.distributed:
        return work()
    return distributed.run(
        work,
        config.coordinator,
        config.num_processes,
        config.process_id,
        heartbeat_seconds=config.heartbeat_seconds,
    )


def attempt(config: Config, clock: Clock) -> int:
    """Runs the experiment, says what ended it, and returns the exit status."""
    try:
        with requests_to_stop() as stop, screen(jax.process_index() > 0) as display:
            experiment(config, display, stop, clock)
    except Stopped as stopped:
        (number,) = stopped.args
        say(f"stopped by signal {number}; the same command goes on from what is saved")
        return 128 + number
    except (InputError, GoneError) as error:
        say(f"error: {error}")
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


def experiment(config: Config, display: Screen, stop: Request, clock: Clock) -> None:
    """Opens the run, takes it to its end or to a signal, and reports."""
    with open_run(config, display, clock, stop) as run:
        if run.result is None:
            train(run, display)
            if config.sample_every != 0:
                print_samples(run, display)
            say_how_it_ended(run, display)
            run.result = result_of(run, display)
            if jax.process_index() == 0:
                write_json(run.workdir / "result.json", run.result)
        else:
            display.say("this run is finished; here is its result again")
        display.stop()
        if jax.process_index() == 0:
            display.tell(summary(run.result))
            display.say(f"what to type next:\n{commands(run)}", verbatim=True)
    if jax.process_index() == 0:
        print_result(run.result, run.workdir / "result.json")


if __name__ == "__main__":
    sys.exit(main())
