"""What surrounds the steps of a run: before each one, after it, and at the end.

`open_training` opens it for the loop in ``char_gen.py``. Each part has an owner:
`Recorder` the losses and the log, `Skips` the steps that were skipped, `Validation` the
best checkpoint, `Plan` the number of steps.
"""

import contextlib
from collections.abc import Iterator

import jax

from charlm.build import planned_for
from charlm.record import Recorder
from charlm.run import GoneError, Run
from charlm.samples import print_samples
from charlm.skips import Skips
from charlm.tracing import Trace
from charlm.validation import Validation
from common.screen import Screen
from jaxtext.errors import InputError
from jaxtext.runs.agreement import agreement, of_first
from jaxtext.runs.interrupt import Stopped
from jaxtext.training import Metrics
from jaxtext.training.loop import Progress as Taken

_PROCESSES = 1 << 20  # more than there are; a signal is below 128


@contextlib.contextmanager
def open_training(run: Run, display: Screen) -> Iterator["Training"]:
    """Opens what surrounds the steps of a run. At the end its state has been saved.

    Args:
      run: The run.
      display: Shows its progress.

    Raises:
      Stopped: On a signal, at the end of a step; the state is saved.
      InputError: If the corpus cannot be read any more; the state is saved.
      DivergedError: If going back did not help. The checkpoints are good.
      GoneError: If the directory is no longer where it was. Nothing is saved then.
      OSError: If the state, or the log, cannot be written at the end.
    """
    if of_first(run.is_gone()):
        raise _gone(run)
    opened = Training(run, display)
    display.start(f"training {run.config.cell}", run.plan.steps, run.progress.step)
    try:
        if run.progress.saved_step is None:
            opened.save()
        with run.spent.on("training"):
            yield opened
        opened.recorder.flush()
    except Stopped:
        opened.save()
        raise
    except (InputError, OSError):
        # Other processes, if there are any, know nothing of it, and are not saving.
        if jax.process_count() == 1:
            opened.save()
        raise
    finally:
        run.spent.turn_to("ending")
        opened.trace.close()
        gone = run.is_gone()
        passing = contextlib.suppress(OSError) if gone else contextlib.nullcontext()
        with passing, run.spent.on("saving"):
            run.checkpoints.finish()
        opened.recorder.finish()
    of_first(0)  # what is read from now on has been written


class Training:
    """What is due before a step and after it. `open_training` makes it."""

    def __init__(self, run: Run, display: Screen):
        self.run, self.display = run, display
        self.recorder = Recorder(run, display)
        self.skips = Skips(run, display)
        self.validation = Validation(run)
        self.trace = Trace(run, display)
        every = run.config.sample_every
        self._sample_every = self.validation.every if every is None else every
        self._agree = agreement()
        self._settle = list  # fetches the metrics that are late; there are none yet
        self._saved_at = self._step_began = run.clock()
        run.speed.began = run.plan.made_at = self._saved_at

    def before_step(self) -> bool:
        """Validates, saves and plans anew, whatever is due.

        It is called before each step and after the last: a signal may have come before
        the first one.

        Returns:
          Whether the run is over: no step is to follow.
        """
        run, step = self.run, self.run.progress.step
        signal, no_time, save, plan, gone = self._agree(self._wishes())
        if gone:
            raise _gone(run)
        over = step >= run.plan.steps or bool(no_time)
        if over:
            self._record()
        if self.validation.is_due(over):
            self.take_in(self._settle())  # which come first in the log
            self.validation.validate(self.recorder, self.display)
        # All processes have the same count, so they need not agree on it.
        if run.is_out_of_patience() and not over:
            over = True
            self._record()
        if signal and not over:
            number, who = _who_stopped(signal)
            raise Stopped(number) if run.stop.signal else Stopped(number, who)
        if over or self._save_is_due(save):
            self.save()
        if plan and not over:
            self._plan_anew()
        if self.trace.is_due() and not over:
            jax.block_until_ready(run.progress.state)  # no step before it is traced
            self.trace.begin()
        self._step_began = run.clock()
        return over

    def after_step(self, taken: Taken) -> None:
        """Counts a step; goes back if too many were skipped; prints a sample if due."""
        run, progress = self.run, self.run.progress
        progress.step, progress.state = taken.step, taken.state
        self._settle = taken.settle
        self.take_in(taken.metrics)
        run.speed.steps += 1
        read = run.batches.characters(run.config.seed, progress.step - 1)
        run.speed.characters += read
        run.speed.seconds += run.clock() - self._step_began
        if self.trace.is_over():
            jax.block_until_ready(progress.state)  # all of its steps are
            self.trace.end()
        if self.skips.are_too_many():
            self.take_in(self._settle())
            self.skips.go_back(self.recorder)
        elif self._sample_is_due():
            print_samples(run, self.display)

    def take_in(self, arrived: list[tuple[int, Metrics]]) -> None:
        """Counts and records the metrics of steps, which arrive one step late."""
        for step, metrics in arrived:
            self.skips.take_in(step, metrics)
            self.recorder.take_in(step, metrics)

    def save(self) -> None:
        """Saves the state as the latest checkpoint, if it is a new one."""
        progress = self.run.progress
        self.take_in(self._settle())
        # Amid steps that are skipped, the state before them is the better one to have:
        # from there the same steps come to the same end.
        if progress.step != progress.saved_step and not self.skips.in_a_row:
            self.run.save()
        self._saved_at = self.run.clock()

    def _record(self):
        """Records the losses of all steps so far."""
        self.take_in(self._settle())
        self.recorder.record_losses()

    def _wishes(self):
        """What depends on a signal or on time; all processes have to agree on it."""
        run, now = self.run, self.run.clock()
        return (
            _as_wish(run.stop.signal),
            now > run.plan.deadline and run.progress.step > 0,
            now - self._saved_at > 60 * run.config.save_minutes,
            run.plan.is_due(now),
            run.is_gone(),
        )

    def _plan_anew(self):
        """Fits the schedule to the time that is left."""
        run, plan, progress = self.run, self.run.plan, self.run.progress
        now = run.clock()
        each = run.speed.seconds_a_step(now)
        steps = int(of_first(plan.affordable(progress.step, now, each)))
        plan.made_at = now
        plan.tell_change(steps, each, self.display)
        if abs(steps - plan.steps) < plan.steps / 100 or steps <= progress.step:
            return
        self.take_in(self._settle())
        plan.steps = steps
        opt_state = planned_for(progress.state.opt_state, steps)
        progress.state = progress.state._replace(opt_state=opt_state)

    def _sample_is_due(self):
        step = self.run.progress.step
        due = self._sample_every and step % self._sample_every == 0
        return due and step < self.run.plan.steps  # the end has a sample of its own

    def _save_is_due(self, by_time):
        progress, save_steps = self.run.progress, self.run.config.save_steps
        if progress.step == progress.saved_step:
            return False
        return by_time or (save_steps and progress.step % save_steps == 0)


def _as_wish(number: int | None) -> int:
    """A signal, and the process that got it, as an integer; the lowest one wins."""
    return number * _PROCESSES + _PROCESSES - 1 - jax.process_index() if number else 0


def _who_stopped(wish: int) -> tuple[int, str]:
    """The signal in a wish, and the process that got it."""
    number, rest = divmod(wish, _PROCESSES)
    return number, f"process {_PROCESSES - 1 - rest}"


def _gone(run):
    why = "is not there any more" if run.claim is None else run.claim.gone
    return GoneError(
        f"{run.workdir} {why}; training stopped at step {run.progress.step}"
    )
