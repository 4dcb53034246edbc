"""Train a recurrent network on text, character by character, and let it write.

    python experiments/char_gen.py --minutes 3
    python experiments/char_gen.py --cell gru --corpus my.txt --steps 10000
    python experiments/char_gen.py --preset tutorial --epochs 2

Give the same command again to continue a run that was stopped, or to print the result
of a finished one. ``--workdir DIR`` alone is enough: a run remembers its flags. Ctrl-C
saves and stops. The run's directory holds what the run is (``config.json``), its flags
(``flags.json``), metrics (``metrics.jsonl``), the loss curve (``curve.png``),
checkpoints and, when it is finished, its result (``result.json``). The result is also
printed as a JSON object if standard output is not a terminal.

Exit status:
  0        finished
  2        bad input; no time for a first step (nothing was trained); or what somebody
           has to mend (a full disk, a text that cannot be read any more, a directory
           that is gone): what could be saved is saved. Standard output that cannot be
           written does not count: the result is in the directory
  3        training diverged, and going back did not help
  75       another process of the run was lost, or did not come; the same command on
           every host goes on (docs/distributed.md lists all ways in which a run ends)
  128 + n  stopped by signal n (130 is Ctrl-C) at the end of a step, and saved; a second
           signal ends it at once
"""

import signal
import sys
import time

STARTED = time.monotonic()  # before the imports, which the time budget includes
if __name__ == "__main__":
    # While modules are imported there is nothing to save, nor to say.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    from jaxtext.runs.supervise import supervise, supervised

    # Before anybody takes hold of the standard streams. The parent imports no more.
    if not supervised() and "--distributed" in sys.argv:
        sys.exit(supervise())

import jaxtext.needs_experiments  # noqa: F401 (first)

from collections.abc import Sequence

import jax

from charlm.config import Config
from charlm.dry import report
from charlm.open import open_run
from charlm.parse import parse
from charlm.result import RESULT, Result, commands, ended_by, result_of, summary
from charlm.run import Clock, Run
from charlm.samples import print_samples
from charlm.spelling import whole_command
from charlm.spent import Spent
from charlm.status import in_all_processes
from charlm.training import open_training
from common.programs import keep_programs
from common.quiet import quiet_orbax
from common.screen import Screen, print_result
from common.script import script
from jaxtext.files import as_json
from jaxtext.runs.interrupt import Request
from jaxtext.runs.storage import storage
from jaxtext.runs.watchdog import watching
from jaxtext.training.loop import run as run_steps


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
    quiet_orbax()
    config = parse(argv, about=__doc__)
    if config.print_config:
        print(whole_command(config))
        return 0
    keep_programs(config.compilation_cache)

    def work(display, stop):
        experiment(config, display, stop, clock)

    return in_all_processes(config, work)


def experiment(config: Config, display: Screen, stop: Request, clock: Clock) -> None:
    """Opens the run, trains it to its end or until a signal, and reports the result."""
    # The budget's clock may be another one.
    spent = Spent(since_start)
    with (
        spent.watching(),
        watching(
            config.hang_seconds, lambda: (spent.signs(), stop.checks), spent.phase
        ),
        open_run(config, display, clock, stop, spent) as opened,
    ):
        run, result = opened
        if config.dry_run:
            result = report(run, display)
            if jax.process_index() == 0:
                print_result(result)
            return
        if result is None:
            train(run, display)
            result = finish(run, display)
        else:
            display.say("this run is finished; here is its result again")
        display.stop()
        if jax.process_index() == 0:
            display.tell(summary(result, len(run.validation)))
            display.say(f"what to type next:\n{commands(run, result)}", verbatim=True)
    if jax.process_index() == 0:
        print_result(result, run.workdir / RESULT)


def train(run: Run, display: Screen) -> None:
    """Trains until the plan or the time is used up, and saves the state."""
    with open_training(run, display) as training:
        over = training.before_step()
        while not over:
            now, end = run.progress, run.plan.steps
            steps = run_steps(run.parallel, now.state, run.batch, now.step, end)
            for step in steps:
                training.after_step(step)
                over = training.before_step()
                if over or run.progress.state is not step.state:
                    break  # the run went back, or its schedule was planned anew


def finish(run: Run, display: Screen) -> Result:
    """Prints a last sample, evaluates the best parameters, and writes the result."""
    if run.config.sample_every != 0:
        print_samples(run, display)
    if ended_by(run) == "patience":
        display.say(
            f"stopped at step {run.progress.step}: no validation since step "
            f"{run.progress.best.get('step', 0)} was better (--patience)"
        )
    else:
        run.plan.tell_end(run.progress.step, display)
    result = result_of(run, display)
    if jax.process_index() == 0:
        storage(run.workdir).write(RESULT, as_json(result))
    return result


if __name__ == "__main__":
    sys.exit(main())
