"""The training of a run: its steps, and what is due between them."""

import contextlib
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from common.screen import Screen

from charlm.build import planned_for, slowed
from charlm.plan import affordable_steps, plan_is_due, say_new_plan
from charlm.run import DivergedError, GoneError, Run
from charlm.samples import print_samples
from charlm.trackers import Trackers
from jaxtext.errors import InputError
from jaxtext.runs.agreement import agreement, of_first
from jaxtext.runs.interrupt import Stopped
from jaxtext.runs.log import MetricsLog
from jaxtext.training import Metrics, predicting
from jaxtext.training.loop import Progress
from jaxtext.training.loop import run as run_steps
from jaxtext.training.state import Skipped

LOG_EVERY = 10


def train(run: Run, display: Screen) -> None:
    """Trains until the plan or the time is used up; the state is saved then.

    Raises:
      Stopped: On a signal, at the end of the step; the state is saved.
      InputError: If the corpus cannot be read any more; the state is saved.
      DivergedError: If going back did not help. The checkpoints are good.
      GoneError: If the directory is no longer where it was. Nothing is saved then.
      OSError: If the state, or the log, cannot be written at the end.
    """
    if of_first(run.is_gone()):
        raise _gone(run)
    training = _Training(run, display)
    display.start(f"training {run.config.cell}", run.steps, run.step)
    try:
        training.take_steps()
        if training.log is not None:
            training.log.flush()
    except Stopped:
        training.save()
        raise
    except GoneError:
        raise
    except (InputError, OSError):
        # Other processes, if there are any, know nothing of it, and are not saving.
        if jax.process_count() == 1:
            training.save()
        raise
    finally:
        training.finish()
    of_first(0)  # what is read from now on has been written


class _Training:
    def __init__(self, run, display):
        self.run, self.display = run, display
        config = run.config
        self.log, trackers = None, []
        if jax.process_index() == 0:
            self.log = MetricsLog(run.workdir, run.recorded)
            run.records = self.log.records
            trackers = [x for x in ("tensorboard", "wandb") if getattr(config, x)]
        self.trackers = Trackers(run.workdir, trackers, run.saved_step, display.say)
        self.agree = agreement()
        self.eval_every = config.eval_every or -(-run.steps // run.validations)
        self.sample_every = (
            self.eval_every if config.sample_every is None else config.sample_every
        )
        self.saved_at = run.clock()
        self.began = self.planned_at = self.saved_at
        self.in_a_row = 0  # steps skipped, up to the last whose metrics are known
        self.why = ""
        self.last: tuple[int, Metrics] | None = None  # step of this process
        self.log_fails = False
        self.settle = list  # what is under way: nothing yet

    def take_steps(self):
        run = self.run
        if run.saved_step is None:
            self.save()
        steps = self.steps_from_here()
        while True:
            signal, no_time, save, plan, gone = self.agree(self.wishes())
            if gone:
                raise _gone(run)
            over = run.step >= run.steps or no_time
            if over:
                self.take_in(self.settle())
                self.record_losses()
            # At the start, too: a signal may have come before it, or amid it.
            if self.validation_is_due(over):
                self.validate()
            if over:
                self.save()
                return
            if signal:
                raise Stopped(signal)
            if self.save_is_due(save):
                self.save()
            if plan:
                steps = self.plan_anew(steps)
            begin = run.clock()
            progress = next(steps)
            run.step, run.state = progress.step, progress.state
            self.settle = progress.settle
            self.take_in(progress.metrics)
            run.steps_taken += 1
            run.characters_read += run.batches.characters(run.config.seed, run.step - 1)
            run.training_seconds += run.clock() - begin
            if self.in_a_row >= run.config.max_skips:
                self.go_back()
                steps = self.steps_from_here()
            elif self.sample_is_due():
                print_samples(run, self.display)

    def wishes(self):
        """What depends on a signal or on time; all processes have to agree on it."""
        run, now = self.run, self.run.clock()
        return (
            run.stop.signal or 0,
            now > run.deadline and run.step > 0,
            now - self.saved_at > 60 * run.config.save_minutes,
            plan_is_due(run, self.planned_at),
            run.is_gone(),
        )

    def steps_from_here(self):
        run = self.run
        return run_steps(run.parallel, run.state, run.batch, run.step, run.steps)

    def plan_anew(self, steps: Iterator[Progress]) -> Iterator[Progress]:
        """Fits the schedule to the time that is left; returns the steps from here."""
        run = self.run
        affordable = int(of_first(affordable_steps(run, self.began)))
        self.planned_at = run.clock()
        say_new_plan(run, affordable, self.began, self.display)
        if abs(affordable - run.steps) < run.steps / 100 or affordable <= run.step:
            return steps
        self.take_in(self.settle())
        self.settle = list
        run.steps = affordable
        opt_state = planned_for(run.state.opt_state, affordable)
        run.state = run.state._replace(opt_state=opt_state)
        return self.steps_from_here()

    def take_in(self, arrived: list[tuple[int, Metrics]]):
        """Counts and records the metrics of steps."""
        run = self.run
        for step, metrics in arrived:
            self.in_a_row = metrics.skipped.in_a_row
            if self.in_a_row:
                self.why = _what_is_not_finite(metrics)
                self.display.say(f"step {step} skipped: {self.why}")
            else:
                run.losses.append(metrics.loss)
                number = (step - 1) // run.batches.batches_per_epoch
                run.pass_loss = run.pass_loss.add(metrics.loss, number)
            self.last = step, metrics
            if run.losses:
                mean = sum(run.losses) / len(run.losses)
                speed = run.chars_per_second()
                note = f"loss {mean:.3f}"
                note += "" if speed is None else f"  {speed:,.0f} chars/s"
                self.display.advance(step, run.steps, note)
            if step % LOG_EVERY == 0:
                self.record_losses()

    def record_losses(self):
        """Records the losses since the last record, if there are any."""
        run = self.run
        if not run.losses or self.last is None:
            return
        step, metrics = self.last
        loss, run.losses = sum(run.losses) / len(run.losses), []
        self.record(
            step=step,
            loss=loss,
            gradient_norm=None if self.in_a_row else metrics.gradient_norm,
            skipped_steps=metrics.skipped.in_all,
            chars_per_second=run.chars_per_second(),
        )

    def record(self, **values):
        if self.log is None:  # another process keeps it
            return
        try:
            self.log.append(values)
            self.log_fails = False
        except OSError as error:
            # Said once, and not for each record until it is mended.
            if not (self.log_fails or self.run.is_gone()):
                self.display.say(
                    f"step {values['step']} could not be written to {self.log.path} "
                    f"({error.strerror}); training goes on, and it is tried again"
                )
            self.log_fails = True
        self.run.recorded = len(self.log.records)
        self.trackers.write(values)

    def sample_is_due(self):
        run = self.run
        due = self.sample_every and run.step % self.sample_every == 0
        return due and run.step < run.steps  # the end has a sample of its own

    def validation_is_due(self, over):
        run = self.run
        due = over or run.step % self.eval_every == 0
        return len(run.validation) and due and run.step > run.validated_step

    def validate(self):
        run = self.run
        part = run.validation[: run.config.eval_characters]
        params = run.parallel.params(run.state)
        val = run.evaluate(params, part)
        run.validated_step = run.step
        if of_first(not math.isfinite(val)):
            self.display.say(f"step {run.step}: validation is {val}")
            return
        self.take_in(self.settle())  # which come first in the log
        self.record(step=run.step, val_nats_per_char=val)
        self.display.say(
            f"step {run.step}/{run.steps}: validation {val:.4f} nats per character, "
            f"{run.seconds():.0f} s"
        )
        if of_first(val < run.best.get("val_nats_per_char", math.inf)):
            run.best = {"step": run.step, "val_nats_per_char": val}
            params = predicting(run.parallel.collect(run.state))
            run.checkpoints.save_best(run.step, params, run.about())

    def finish(self):
        """Ends what goes on beside training, and draws the loss curve."""
        run = self.run
        gone = run.is_gone()
        with contextlib.suppress(OSError) if gone else contextlib.nullcontext():
            run.checkpoints.finish()
        self.trackers.close()
        if jax.process_index() == 0 and not gone:
            from charlm.curve import draw_curve  # Matplotlib takes a second to import

            name = run.workdir.resolve().name  # also of "."
            draw_curve(run.records, run.workdir / "curve.png", name)

    def save_is_due(self, by_time):
        run, save_steps = self.run, self.run.config.save_steps
        if run.step == run.saved_step:
            return False
        return by_time or (save_steps and run.step % save_steps == 0)

    def save(self):
        self.take_in(self.settle())
        # Amid steps that are skipped, the state before them is the better one to have:
        # from there the same steps come to the same end.
        if self.run.step != self.run.saved_step and not self.in_a_row:
            self.run.save()
        self.saved_at = self.run.clock()

    def go_back(self):
        """Goes back to before the skipped steps, and on with a lower learning rate."""
        run = self.run
        self.take_in(self.settle())
        before = run.step - self.in_a_row
        evidence = (
            f"{self.in_a_row} steps in a row, up to step {run.step}, were skipped "
            f"({self.why})"
        )
        now, found = run.parallel.collect(run.state), None
        if len(run.rollbacks) < run.config.max_rollbacks:
            found = run.checkpoints.restore_latest(now, up_to=before)
        if found is None:
            raise DivergedError(
                f"training stopped: {evidence}, after going back "
                f"{len(run.rollbacks)} times; the checkpoint of step {run.saved_step} "
                "is good; try a lower --learning-rate"
            )
        state = found.arrays
        state = state._replace(
            opt_state=planned_for(slowed(state.opt_state), run.steps),
            skipped=Skipped(jnp.zeros((), jnp.int32), now.skipped.in_all),
        )
        run.rollbacks.append({"from": run.step, "to": found.step, "because": self.why})
        run.take_over(found)
        run.state = run.parallel.place(state)
        self.in_a_row, self.settle = 0, list
        if self.log is not None:
            self.log.rewind(run.recorded)
        self.trackers.go_back(run.step)
        self.record(step=run.step, rolled_back_from=run.rollbacks[-1]["from"])
        self.display.say(
            f"{evidence}: going back to step {run.step}, with half the learning rate"
        )
        run.checkpoints.forget_after(run.step)
        run.save()


def _gone(run):
    return GoneError(
        f"{run.workdir} is not there any more: it was removed, moved or replaced; "
        f"training stopped at step {run.step}. What was moved goes on by the same "
        "command, with --workdir and its new place"
    )


def _what_is_not_finite(metrics):
    """Why a step was skipped."""
    if not math.isfinite(metrics.loss):
        return f"its loss is {metrics.loss}"
    if not math.isfinite(metrics.gradient_norm):
        return f"the norm of its gradient is {metrics.gradient_norm}"
    return (
        "it would make parameters that are not finite; its loss is "
        f"{metrics.loss:.4g}, the norm of its gradient {metrics.gradient_norm:.4g}"
    )
