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
           read any more); what could be saved is saved. Standard output that cannot be
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

import json
import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
from char_config import Config
from char_flags import BUDGETS, parse
from char_open import open_run
from char_plan import warn_of_few_steps
from char_run import Clock, DivergedError, Run, summary
from char_samples import print_samples
from char_train import train
from flags import without
from names import as_typed, command, no_flag
from watch import Screen, screen

from jaxtext.errors import InputError
from jaxtext.streams import print_last_line, say, script
from jaxtext.training import distributed
from jaxtext.training.interrupt import Request, Stopped, requests_to_stop
from jaxtext.training.workdir import write_json


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
    argv = sys.argv[1:] if argv is None else argv
    # What Orbax logs as errors, and at length, reaches us as exceptions too.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
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


def attempt(config: Config, argv: Sequence[str], clock: Clock) -> int:
    """Runs the experiment, says what ended it, and returns the exit status."""
    try:
        with requests_to_stop() as stop, screen(jax.process_index() > 0) as display:
            experiment(config, display, stop, argv, clock)
    except Stopped as stopped:
        (number,) = stopped.args
        say(f"stopped by signal {number}; the same command goes on from there")
        return 128 + number
    except InputError as error:
        say(f"error: {error}")
        return 2
    except OSError as error:  # in a process that does not hold the directory
        say(f"error: {error}; what was saved is good")
        return 2
    except DivergedError as error:
        say(f"error: {error}")
        return 3
    return 0


def experiment(
    config: Config, display: Screen, stop: Request, argv: Sequence[str], clock: Clock
) -> None:
    """Opens the run, takes it to its end or to a signal, and reports."""
    with open_run(config, display, clock, stop) as run:
        if run.result is None:
            train(run, display)
            if config.sample_every != 0:
                print_samples(run, display)
            warn_of_few_steps(run, display)
            run.result = summary(run, display)
            if jax.process_index() == 0:
                write_json(run.workdir / "result.json", run.result)
        else:
            display.say("this run is finished; here is its result again")
        display.stop()
        if jax.process_index() == 0:
            say_what_next(run, display, argv)
    if jax.process_index() == 0:
        print_last_line(json.dumps(run.result), run.workdir / "result.json")


# What a command for another cell, or text, leaves out of the one that was typed.
OF_LSTM = "cell", "workdir", "dropout_hidden", "zoneout_hidden"
OF_TEXT = "corpus", "val_corpus", "workdir"


def say_what_next(run: Run, display: Screen, argv: Sequence[str]) -> None:
    """Prints where everything is and what can be typed next."""
    folder = Path(__file__).parent

    def run_script(script, *words):
        return command(as_typed(sys.executable), as_typed(folder / script), *words)

    def again(*changes, instead):
        return run_script(Path(__file__).name, *without(argv, *instead), *changes)

    of = "--workdir", as_typed(run.workdir)
    sample = run_script("sample.py", *of)
    texts = map(no_flag, run.config.val_corpus or run.config.corpus)
    protocol = "--protocol", run.config.eval_protocol
    measure = run_script("evaluate.py", *of, *protocol, "--corpus", *texts)
    cell = "gru" if run.config.cell == "lstm" else "lstm"
    minutes, result = run.config.minutes, run.result or {}
    if minutes:
        more = ("--minutes", max(2 * minutes, run.enough_minutes))
    else:
        more = ("--steps", 2 * result["steps"])
    elsewhere = () if run.config.workdir is None else ("--workdir", "runs/another")
    another_cell = again("--cell", cell, *elsewhere, instead=OF_LSTM)
    your_text = again("--corpus", "FILE", *elsewhere, instead=OF_TEXT)
    display.say(
        f"the run is in {run.workdir}\n"
        f"  loss curve   {run.workdir / 'curve.png'}\n"
        f"  checkpoints  {run.workdir / 'checkpoints'}\n"
        "what to type next:\n"
        f"  let it write   {sample}\n"
        f"  measure it     {measure}\n"
        f"  train on       {again(*map(str, more), instead=BUDGETS)}\n"
        f"  swap the cell  {another_cell}\n"
        f"  use your text  {your_text}",
        style="dim",
    )


if __name__ == "__main__":
    sys.exit(main())
