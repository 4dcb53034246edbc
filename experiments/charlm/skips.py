"""Steps that were skipped, and going back to before them."""

import math

import jax.numpy as jnp

from charlm.build import planned_for, slowed
from charlm.record import Recorder
from charlm.run import DivergedError, Run
from common.screen import Screen
from jaxtext.training import Metrics
from jaxtext.training.state import Skipped

DIVERGED = "diverged_after_rollbacks"  # in the log's last record, how many there were


class Skips:
    """Counts the steps that were skipped in a row, and goes back after too many.

    Attributes:
      in_a_row: How many, up to the last step whose metrics are known.
    """

    def __init__(self, run: Run, display: Screen):
        self._run, self._display = run, display
        self._why = ""
        self.in_a_row: int = 0

    def take_in(self, step: int, metrics: Metrics) -> None:
        """Counts a step, and says why it was skipped if it was."""
        self.in_a_row = int(metrics.skipped.in_a_row)
        if self.in_a_row:
            self._why = _what_is_not_finite(metrics)
            self._display.say(f"step {step} skipped: {self._why}")

    def are_too_many(self) -> bool:
        """Whether the run has to go back."""
        return self.in_a_row >= self._run.config.max_skips

    def go_back(self, recorder: Recorder) -> None:
        """Goes back to before the skipped steps, and on with half the learning rate.

        Raises:
          DivergedError: If there is no checkpoint to go back to, or the run has gone
            back too often.
        """
        run, progress = self._run, self._run.progress
        evidence = (
            f"{self.in_a_row} steps in a row, up to step {progress.step}, were skipped "
            f"({self._why})"
        )
        now, found = run.parallel.collect(progress.state), None
        if len(progress.rollbacks) < run.config.max_rollbacks:
            before = progress.step - self.in_a_row
            run.spent.undone()
            with run.spent.on("restoring"):
                found = run.checkpoints.restore_latest(now, up_to=before)
        if found is None:
            recorder.record(step=progress.step, **{DIVERGED: len(progress.rollbacks)})
            raise DivergedError(
                f"training stopped: {evidence}, after going back "
                f"{len(progress.rollbacks)} times; the checkpoint of step "
                f"{progress.saved_step} is good; try a lower --learning-rate"
            )
        state = found.arrays
        state = state._replace(
            opt_state=planned_for(slowed(state.opt_state), run.plan.steps),
            skipped=Skipped(jnp.zeros((), jnp.int32), now.skipped.in_all),
        )
        went = {"from": progress.step, "to": found.step, "because": self._why}
        progress.rollbacks.append(went)
        progress.return_to(found)
        progress.state = run.parallel.place(state)
        self.in_a_row = 0
        recorder.go_back()
        self._display.say(
            f"{evidence}: going back to step {progress.step}, with half the learning "
            "rate"
        )
        run.checkpoints.forget_after(progress.step)
        run.save()


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
