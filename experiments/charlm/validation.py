"""Validation within a run: when it is due, what it finds, and the best checkpoint.

It also finds out that a run overfits: it becomes better at the text that it is trained
on and worse at any other.
"""

import math

from charlm.config import FOR_LITTLE_TEXT
from charlm.record import Recorder
from charlm.run import Run
from common.screen import Screen
from jaxtext.runs.agreement import of_first
from jaxtext.training import predicting

RISING = 3  # validations since the best one, after which a run is said to overfit
RISEN = 0.005  # nats per character above the best one, at least


class Validation:
    """Validates a run now and then, and keeps the parameters that did best.

    Attributes:
      every: After each so many steps.
    """

    def __init__(self, run: Run):
        self._run = run
        evenly = -(-run.plan.steps // run.plan.validations)
        self.every: int = run.config.eval_every or evenly

    def is_due(self, over: bool) -> bool:
        """Whether the state is to be validated now; at the end it is in any case."""
        run, step = self._run, self._run.progress.step
        due = over or step % self.every == 0
        return bool(len(run.validation)) and due and step > run.progress.validated_step

    def validate(self, recorder: Recorder, display: Screen) -> None:
        """Evaluates the parameters, records the loss, and saves them if it is best."""
        run, progress = self._run, self._run.progress
        part = run.validation[: run.config.eval_characters]
        with run.spent.on("validating"):
            val = run.evaluate(run.parallel.params(progress.state), part)
        progress.validated_step = progress.step
        progress.waited += 1
        if of_first(not math.isfinite(val)):
            display.say(f"step {progress.step}: validation is {val}")
            return
        recorder.record(step=progress.step, val_nats_per_char=val)
        whole = len(part) == len(run.validation)
        read = "" if whole else f" (first {len(part):,} {run.symbol}s)"
        display.say(
            f"step {progress.step}/{run.plan.steps}: validation {val:.4f} nats per "
            f"{run.symbol}{read}, {run.seconds():.0f} s"
        )
        if of_first(val < progress.best.get("val_nats_per_char", math.inf)):
            progress.best = {"step": progress.step, "val_nats_per_char": val}
            progress.waited = 0
            with run.spent.on("saving"):
                params = predicting(run.parallel.collect(progress.state))
                run.checkpoints.save_best(progress.step, params, run.about())
        elif of_first(val > progress.best["val_nats_per_char"] + RISEN):
            self._tell_overfitting(val, display)

    def _tell_overfitting(self, val, display):
        """Says once that validation rises for good, and what to try."""
        run, progress = self._run, self._run.progress
        if progress.told_overfitting or progress.waited < RISING:
            return
        progress.told_overfitting = True
        best = progress.best
        preset = "" if run.config.preset in FOR_LITTLE_TEXT else ", or --preset small"
        stop = "; --patience 3 stops such a run" if run.config.patience is None else ""
        display.say(
            f"note: the run overfits: validation was best at step {best['step']}, with "
            f"{best['val_nats_per_char']:.4f} nats per character, now {val:.4f}. "
            "The parameters of that step are kept, and sample.py uses them. Try more "
            f"text, more --dropout or --weight-drop, a smaller --hidden{preset}{stop}"
        )
