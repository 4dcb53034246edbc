"""How the plan of a run is made: its step is compiled, and its speed is measured."""

import math
import sys
from typing import Any

import numpy as np

from charlm.run import Run
from common.few import FEW
from common.screen import Screen
from jaxtext.errors import InputError
from jaxtext.runs.agreement import of_first
from jaxtext.training import TrainState
from jaxtext.training.loop import run as run_steps

# Characters whose validation is timed. That many are read in whole batches of windows.
TIMED = 4 * 8192 + 1


def make_plan(
    run: Run, state: TrainState, before: dict[str, Any] | None, display: Screen
) -> None:
    """Compiles the step, and plans how many steps there will be, and until when.

    Args:
      run: Its plan is completed.
      state: What the run begins with, or goes on from.
      before: The plan of an earlier process, if there was one.
      display: Shows the plan.

    Raises:
      InputError: If the minutes of a new run are over before its first step.
    """
    plan, step = run.plan, run.progress.step
    minutes, asked = plan.minutes, plan.asked
    planned = before["steps"] if before and before["minutes"] == minutes else None
    known = asked or planned
    # A second of steps on a copy of the state tells the speed well enough: the plan is
    # corrected on the way.
    measuring = None if not minutes else 0.0 if known else min(1.0, minutes)
    measure(run, state, measuring, display)
    over = False
    if minutes:
        affordable = _fit_into(minutes, run, state)
        over = of_first(run.clock() > plan.deadline)
        if over and step == 0:
            raise InputError(f"nothing was trained: {plan.too_short(step)}")
        plan.steps = known or (step if over else affordable)
        plan.told_few = affordable < min(FEW, known or FEW)
    else:
        plan.steps = known or 0
    by_epochs = plan.steps == asked != run.config.steps
    plan.told_few = plan.told_few or (by_epochs and plan.steps < FEW)
    plan.steps = max(plan.steps, step)
    display.stop()
    if plan.told_few:
        why = _too_few_epochs(run) if by_epochs else plan.too_short(step)
        many = "no more step" if over else f"fewer than {FEW} steps"
        display.say(f"warning: {many} will be trained: {why}", "bold")
    if before and before["steps"] != plan.steps:
        display.say(
            f"the schedule is planned anew: {plan.steps} steps, not {before['steps']}"
            f"{plan.reason_to_differ(before)}"
        )
    epochs = plan.steps / run.batches.batches_per_epoch
    display.say(f"planned: {plan.steps} steps, {epochs:.1f} epochs")
    plan.told_steps = plan.steps


def _fit_into(minutes, run, state):
    """How many steps there is time for; sets the deadline and what it depends on."""
    plan = run.plan
    budget = minutes * 60 - run.progress.seconds_before
    once, at_the_end = validation_seconds(run, state)
    # The rest is for the last checkpoint, the curve and a sample.
    plan.deadline = budget - at_the_end - 2.0
    left, each = plan.deadline - run.clock(), plan.step_seconds
    if every := run.config.eval_every:
        each += once / every
    elif once:
        # Those before the last one have a tenth of the time: with thousands of
        # distinct characters, a validation is as slow as training is.
        in_a_tenth = int(of_first(6 * minutes / once))
        plan.validations = min(plan.validations, 1 + in_a_tenth)
        left -= (plan.validations - 1) * once
    plan.start_seconds = run.clock()
    enough = minutes + (FEW * each / 0.93 - left) / 60
    plan.enough_minutes = math.ceil(100 * enough) / 100
    # Speed varies, and a schedule cut short costs more than time left over. Planning
    # again on the way corrects either.
    return run.progress.step + int(of_first(max(1, int(0.93 * left / each))))


def _too_few_epochs(run):
    enough = math.ceil(100 * FEW / run.batches.batches_per_epoch) / 100
    return (
        f"--epochs {run.config.epochs:g} is no more of this text; give --epochs "
        f"{enough:g} or more"
    )


def measure(
    run: Run, state: TrainState, seconds: float | None, display: Screen
) -> None:
    """Measures how long compiling takes, and a step: the median over some seconds.

    Batches of each length are compiled, and the time of a step is the mean over a cycle
    of lengths.

    Args:
      run: ``speed.compile_seconds`` and ``plan.step_seconds`` of it are set.
      state: A copy of it takes the steps.
      seconds: For how long. ``None``: steps are compiled, and not measured.
      display: Shows a bar.
    """
    lengths, cycle = set(run.batches.lengths), len(run.batches.lengths)

    def batch(k):
        """A batch, whose length will be compiled then."""
        read = run.batch(k)
        lengths.discard(read.inputs.shape[1])
        return read

    begin, first = run.clock(), run.progress.step
    steps = run_steps(
        run.parallel, run.parallel.place(state), batch, first, sys.maxsize
    )
    display.start("compiling the training step", cycle, slow=True)
    while lengths:
        next(steps).settle()
        run.stop.check()
    ticks = [run.clock()]
    run.speed.compile_seconds = ticks[0] - begin
    if seconds is None:
        return

    display.start("measuring the speed of steps", cycle, slow=True)

    def take(cycles):
        for k in range(cycles * cycle):
            step = next(steps).step  # the step before it is done, as in training
            if (step - 1) % cycle == 0:  # and was the last of a cycle
                ticks.append(run.clock())
            run.stop.check()
            display.advance(k + 1, cycles * cycle)

    def median():
        # The first tick finds its steps done: it is left out.
        return float(np.median(np.diff(ticks[1:]))) / cycle

    take(1 + -(-4 // cycle))
    take(int(of_first(int(seconds / median() / cycle))))
    run.plan.step_seconds = median()


def validation_seconds(run: Run, state: TrainState) -> tuple[float, float]:
    """How long a validation within the run takes, and all that is done at the end."""
    if not len(run.validation):
        return 0.0, 0.0
    part = run.validation[: run.config.eval_characters]
    timed = part[:TIMED]
    run.evaluate(state.params, timed[:10_000])  # compiles
    begin = run.clock()
    run.evaluate(state.params, timed)
    once = (run.clock() - begin) * len(part) / len(timed)
    if len(part) == len(run.validation):
        return once, once  # the last one has read it all
    return once, once + once * len(run.validation) / len(part)
