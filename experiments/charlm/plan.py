"""The plan of a run: how many steps it takes, and until when."""

import math
from dataclasses import dataclass
from typing import Any

from charlm.config import Config
from common.few import FEW
from common.screen import Screen

DEFAULT_STEPS = 5000


def asked_steps(config: Config, batches_per_epoch: int) -> int | None:
    """How many steps a configuration asks for; ``None`` if it gives a time alone.

    Of several budgets the one that is used up first ends the run.
    """
    asked = [config.steps] if config.steps is not None else []
    if config.epochs is not None:
        asked.append(max(1, round(config.epochs * batches_per_epoch)))
    if asked:
        return min(asked)
    return None if config.minutes is not None else DEFAULT_STEPS


@dataclass
class Plan:
    """How long a run will be. Times are seconds, and moments are those of its clock.

    Attributes:
      asked: The steps that the configuration asks for, ``None`` if it gives a time.
      minutes: The time that it gives, ``None`` if it asks for steps alone.
      steps: How many steps the run will have taken at its end.
      deadline: The moment at which training ends, whatever the step.
      validations: How many, evenly over the run, unless a flag says how often.
      start_seconds: The moment at which the plan was made.
      enough_minutes: A budget that would do for a hundred steps.
      step_seconds: How long a step takes, as measured at the start.
      made_at: The moment at which the steps were last computed.
      told_steps: The steps that were last told.
      told_few: Whether a warning said that there will be few.
    """

    asked: int | None = None
    minutes: float | None = None
    steps: int = 0
    deadline: float = math.inf
    validations: int = 8
    start_seconds: float = 0.0
    enough_minutes: float = 0.0
    step_seconds: float = 0.0
    made_at: float = 0.0
    told_steps: int = 0
    told_few: bool = False

    def is_due(self, now: float) -> bool:
        """Whether to compute the steps again: time alone can run out unexpectedly."""
        if self.asked is not None:
            return False
        return now - self.made_at > 60 * (self.minutes or 0) / 16

    def affordable(self, step: int, now: float, each: float) -> int:
        """How many steps there is time for, after `step` of them and at `each` s."""
        return step + max(0, int(0.98 * (self.deadline - now) / each))

    def tell_change(self, steps: int, each: float, display: Screen) -> None:
        """Says that there is time for other steps than were told, if they differ much.

        Args:
          steps: How many there is time for.
          each: Seconds that a step has taken so far, whatever came between included.
          display: Shows it.
        """
        if abs(steps - self.told_steps) <= self.told_steps / 10:
            return
        display.say(
            f"the plan is {steps} steps now, not {self.told_steps}: so far a step took "
            f"{1e3 * each:.3g} ms, validation, samples and saving included; "
            f"{1e3 * self.step_seconds:.3g} ms were measured at the start"
        )
        self.told_steps = steps

    def tell_end(self, step: int, display: Screen) -> None:
        """Says at the end that the time was used up early, or for few steps."""
        if self.minutes is None or step == self.asked:
            return
        if step < 0.9 * self.told_steps:
            display.say(
                f"--minutes {self.minutes:g} was used up at step {step}; "
                f"{self.told_steps} had been planned"
            )
        if step < FEW and not self.told_few:
            steps = "1 step was" if step == 1 else f"{step} steps were"
            display.say(
                f"warning: only {steps} trained, and the model has learnt little: "
                f"{self.too_short(step)}",
                style="bold",
            )

    def minutes_for_more(self) -> float:
        """A budget with which to continue the run, which starts once more then."""
        again = self.enough_minutes + self.start_seconds / 60
        return math.ceil(100 * again) / 100

    def too_short(self, step: int) -> str:
        """What to say of too short a time, in a run that has come to `step`."""
        assert self.minutes is not None
        enough = self.minutes_for_more() if step else self.enough_minutes
        shorter = 60 * self.minutes <= self.start_seconds
        relation = "is shorter than starting took" if shorter else "leaves little time"
        return (
            f"--minutes {self.minutes:g} ({60 * self.minutes:.1f} s) {relation}: "
            f"reading, compiling and measuring took {self.start_seconds:.1f} s; give "
            f"--minutes {max(enough, 2 * self.minutes):g} or more for {FEW} steps"
        )

    def reason_to_differ(self, before: dict[str, Any]) -> str:
        """Why the steps are not those that an earlier process had planned."""
        if self.minutes == before["minutes"]:
            return ", as is asked for now"
        if self.minutes is None:
            return ", because --minutes is not given now"
        if before["minutes"] is None:
            return f", because --minutes {self.minutes:g} is given now"
        return f", because --minutes is {self.minutes:g} now, not {before['minutes']:g}"
