"""Train a recurrent network on text, character by character, and let it write.

    python experiments/char_gen.py --minutes 3
    python experiments/char_gen.py --cell gru --corpus my.txt --steps 10000
    python experiments/char_gen.py --preset tutorial --epochs 2

The same command again goes on where the run stopped, or prints the result again if it
is finished. Ctrl-C saves and stops. The run's directory holds the configuration
(``config.json``), metrics (``metrics.jsonl``), loss curve (``curve.png``), checkpoints
and, when it is finished, the line that was printed (``result.json``).

Exit status:
  0        finished
  2        bad input, or what somebody has to mend (a full disk, a text that cannot be
           read any more); what could be saved is saved
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

import json
import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
from char_config import Config
from char_flags import parse
from char_open import open_run
from char_run import Clock, DivergedError, Run, summary
from char_samples import print_samples
from char_train import train
from names import command, no_flag, typed
from watch import Screen, screen

from jaxtext.errors import InputError
from jaxtext.training import distributed
from jaxtext.training.interrupt import Request, Stopped, requests_to_stop
from jaxtext.training.workdir import write_json


def since_start() -> float:
    """Seconds since this process began."""
    return time.monotonic() - STARTED


def main(argv: Sequence[str] | None = None, clock: Clock = since_start) -> int:
    """Runs the experiment and returns the exit status.

    Args:
      argv: The command line. Default: that of this process.
      clock: Tells the seconds since the experiment began. Budgets go by it.
    """
    argv = sys.argv[1:] if argv is None else argv
    # What Orbax logs as errors, and at length, reaches us as exceptions too.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    try:
        config = parse(argv)
        work = partial(attempt, config, argv, clock)
        if not config.distributed:
            return work()
        return distributed.run(
            work,
            config.coordinator,
            config.num_processes,
            config.process_id,
            heartbeat_seconds=config.heartbeat_seconds,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def attempt(config: Config, argv: Sequence[str], clock: Clock) -> int:
    """Runs the experiment, says what ended it, and returns the exit status."""
    try:
        with requests_to_stop() as stop, screen(jax.process_index() > 0) as display:
            experiment(config, display, stop, argv, clock)
    except Stopped as stopped:
        (number,) = stopped.args
        print(
            f"stopped by signal {number}; the same command goes on from there",
            file=sys.stderr,
        )
        return 128 + number
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # in a process that does not hold the directory
        print(f"error: {error}; what was saved is good", file=sys.stderr)
        return 2
    except DivergedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    return 0


def experiment(
    config: Config, display: Screen, stop: Request, argv: Sequence[str], clock: Clock
) -> None:
    """Opens the run, takes it to its end or to a signal, and reports."""
    with open_run(config, display, clock, stop) as run:
        if run.result is None:
            train(run, display)
            print_samples(run, display)
            run.result = summary(run, display)
            if jax.process_index() == 0:
                write_json(run.workdir / "result.json", run.result)
        else:
            display.say("this run is finished; here is its result again")
        display.stop()
        if jax.process_index() == 0:
            say_what_next(run, display, argv)
    if jax.process_index() == 0:
        print(json.dumps(run.result), flush=True)


def say_what_next(run: Run, display: Screen, argv: Sequence[str]) -> None:
    """Prints where everything is and what can be typed next."""
    folder = Path(__file__).parent

    def run_script(script, *words):
        return command(typed(sys.executable), typed(folder / script), *words)

    def again(*changes):
        # Of a flag that is given twice, the last one counts.
        return run_script(Path(__file__).name, *argv, *changes)

    of = "--workdir", typed(run.workdir)
    sample = run_script("sample.py", *of)
    texts = map(no_flag, run.config.val_corpus or run.config.corpus)
    protocol = "--protocol", run.config.eval_protocol
    measure = run_script("evaluate.py", *of, *protocol, "--corpus", *texts)
    cell = "gru" if run.config.cell == "lstm" else "lstm"
    minutes, result = run.config.minutes, run.result or {}
    more = ("--minutes", 2 * minutes) if minutes else ("--steps", 2 * result["steps"])
    elsewhere = () if run.config.workdir is None else ("--workdir", "runs/another")
    display.say(
        f"the run is in {run.workdir}\n"
        f"  loss curve   {run.workdir / 'curve.png'}\n"
        f"  checkpoints  {run.workdir / 'checkpoints'}\n"
        "what to type next:\n"
        f"  let it write   {sample}\n"
        f"  measure it     {measure}\n"
        f"  train on       {again(*map(str, more))}\n"
        f"  swap the cell  {again('--cell', cell, *elsewhere)}\n"
        f"  use your text  {again('--corpus', 'FILE', *elsewhere)}",
        style="dim",
    )


if __name__ == "__main__":
    sys.exit(main())
