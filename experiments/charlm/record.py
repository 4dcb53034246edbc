"""What a run records while it trains: its losses, in its log and elsewhere."""

import contextlib

import jax

from charlm.progress import Mean
from charlm.run import Run
from charlm.trackers import Trackers
from common.screen import Screen
from jaxtext.runs.log import MetricsLog
from jaxtext.runs.storage import storage
from jaxtext.training import Metrics

LOG_EVERY = 10  # steps, in the beginning
EVENLY = 100_000  # steps, up to which it stays the same


def interval(step: int, every: int | None) -> int:
    """Steps between two records, around a step.

    It depends on the step alone, so that a run which was stopped records the same steps
    as one that was not. It is 10 up to step 100,000, and doubles when the steps have:
    20 up to step 200,000, 40 up to 400,000. So every doubling of a run adds five
    thousand records, some 0.7 MB.

    Args:
      step: The step.
      every: What was asked for, if anything was.

    Example:
      >>> [interval(step, None) for step in (10, 100_000, 100_001, 300_000)]
      [10, 10, 20, 40]
    """
    return every or LOG_EVERY << ((step - 1) // EVENLY).bit_length()


class Recorder:
    """Adds up the losses of a run, and writes records. Process 0 keeps the log.

    Args:
      run: The run. Its log is opened as long as its progress says.
      display: Shows the loss, and what cannot be written.
    """

    def __init__(self, run: Run, display: Screen):
        self._run, self._display = run, display
        self._log, trackers = None, []
        if jax.process_index() == 0:
            self._log = MetricsLog(run.workdir)
            self._rewind(self._log)
            trackers = [x for x in ("tensorboard", "wandb") if getattr(run.config, x)]
        saved_step = run.progress.saved_step
        self._opened = contextlib.ExitStack()
        folder = run.workdir
        if trackers:
            folder = self._opened.enter_context(storage(run.workdir).folder(""))
        self._trackers = Trackers(
            run.workdir, folder, trackers, saved_step, display.say
        )
        self._last: tuple[int, Metrics] | None = None  # step of this process
        self._log_fails = False

    def take_in(self, step: int, metrics: Metrics) -> None:
        """Counts the metrics of a step; now and then, their means are recorded."""
        run, progress = self._run, self._run.progress
        if not metrics.skipped.in_a_row:
            loss = float(metrics.loss)
            progress.losses = progress.losses.add(loss)
            norm = float(metrics.gradient_norm)
            progress.gradient_norms = progress.gradient_norms.add(norm)
            number = (step - 1) // run.batches.batches_per_epoch
            progress.pass_loss = progress.pass_loss.add(loss, number)
        self._last = step, metrics
        if (mean := progress.losses.value) is not None:
            speed = run.speed.chars_per_second()
            note = f"loss {mean:.3f}"
            note += "" if speed is None else f"  {speed:,.0f} chars/s"
            self._display.advance(step, run.plan.steps, note)
        if step % interval(step, run.config.log_every) == 0:
            self.record_losses()

    def record_losses(self) -> None:
        """Records the means over the steps since the last record, if there are any."""
        run, progress = self._run, self._run.progress
        if not progress.losses.terms or self._last is None:
            return
        step, metrics = self._last
        loss, norm = progress.losses.value, progress.gradient_norms.value
        progress.losses = progress.gradient_norms = Mean()
        self.record(
            step=step,
            loss=loss,
            gradient_norm=norm,
            skipped_steps=metrics.skipped.in_all,
            chars_per_second=run.speed.chars_per_second(),
            seconds=round(run.seconds(), 2),
        )

    def record(self, **values) -> None:
        """Writes a record; one that cannot be written is tried again with the next."""
        if self._log is None:  # another process keeps it
            return
        try:
            self._log.append(values)
            self._log_fails = False
        except OSError as error:
            # Said once, and not for each record until it is mended.
            if not (self._log_fails or self._run.is_gone()):
                self._display.say(
                    f"step {values['step']} could not be written to {self._log.path} "
                    f"({error.strerror}); training goes on, and it is tried again"
                )
            self._log_fails = True
        self._run.progress.log_size = self._log.size
        self._trackers.write(values)

    def go_back(self) -> None:
        """Drops the records after the step that the run has gone back to."""
        progress = self._run.progress
        if self._log is not None:
            self._rewind(self._log)
        self._trackers.go_back(progress.step)
        self.record(step=progress.step, rolled_back_from=progress.rollbacks[-1]["from"])

    def flush(self) -> None:
        """Writes what could not be written before, or raises `OSError`."""
        if self._log is not None:
            self._log.flush()

    def finish(self) -> None:
        """Closes the trackers, and draws the loss curve."""
        self._trackers.close()
        with contextlib.suppress(OSError):  # the log has what they have
            self._opened.close()
        if self._log is not None and not self._run.is_gone():
            from charlm.curve import draw_curve  # Matplotlib takes a second to import

            workdir = self._run.workdir
            name = workdir.resolve().name  # also of "."
            curve = draw_curve(self._log.records(), name)
            storage(workdir).write("curve.png", curve)

    def _rewind(self, log):
        """Drops what the log has from after the step that the run has come to."""
        progress = self._run.progress
        if progress.log_records is not None:
            progress.log_size = log.size_of(progress.log_records)
            progress.log_records = None
        log.rewind(progress.log_size)
