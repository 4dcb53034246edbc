"""How long a run will be: in steps, or in minutes by the speed of its steps."""

import math
from typing import Any

import jax
import numpy as np
from common.few import FEW
from common.screen import Screen

from charlm.run import Run
from jaxtext.errors import InputError
from jaxtext.runs.agreement import of_first
from jaxtext.training import TrainState


def plan(
    run: Run, state: TrainState, before: dict[str, Any] | None, display: Screen
) -> None:
    """Compiles the step, and decides how many steps there will be, and until when.

    Args:
      run: Its `steps`, `deadline` and what was measured for them are set.
      state: What it begins with, or goes on from.
      before: The plan of an earlier process, if there was one.
      display: Is told about it.

    Raises:
      InputError: If the minutes of a new run are over before a first step.
    """
    minutes = run.config.minutes
    asked = run.asked_steps
    planned = before["steps"] if before and before["minutes"] == minutes else None
    known = asked or planned
    # A few seconds of steps on a copy of the state tell the speed.
    measuring = None if not minutes else 0.0 if known else min(3.0, minutes)
    _measure(run, state, measuring, display)
    over = False
    if minutes:
        affordable = _fit_into(minutes, run, state)
        over = of_first(run.clock() > run.deadline)
        if over and run.step == 0:
            raise InputError(f"nothing was trained: {_too_short(run)}")
        run.steps = known or (run.step if over else affordable)
        run.told_few = affordable < min(FEW, known or FEW)
    else:
        run.steps = known or 0
    by_epochs = run.steps == asked != run.config.steps
    run.told_few = run.told_few or (by_epochs and run.steps < FEW)
    run.steps = max(run.steps, run.step)
    display.stop()
    if run.told_few:
        why = _too_little(run) if by_epochs else _too_short(run)
        many = "no more step" if over else f"fewer than {FEW} steps"
        display.say(f"warning: {many} will be trained: {why}", "bold")
    if before and before["steps"] != run.steps:
        display.say(
            f"the schedule is planned anew: {run.steps} steps, not {before['steps']}"
            f"{_since_when(before, run.config)}"
        )
    epochs = run.steps / run.batches.batches_per_epoch
    display.say(f"planned: {run.steps} steps, {epochs:.1f} epochs")
    run.told_steps = run.steps


def _fit_into(minutes, run, state):
    """How many steps there is time for; sets the deadline, and what it goes by."""
    budget = minutes * 60 - run.seconds_before
    once, at_the_end = _validation_seconds(run, state)
    # The rest is for the last checkpoint, the curve and a sample.
    run.deadline = budget - at_the_end - 2.0
    left, each = run.deadline - run.clock(), run.step_seconds
    if every := run.config.eval_every:
        each += once / every
    elif once:
        # Those before the last one have a tenth of the time: with thousands of
        # distinct characters, a validation is as slow as training is.
        in_a_tenth = int(of_first(6 * minutes / once))
        run.validations = min(run.validations, 1 + in_a_tenth)
        left -= (run.validations - 1) * once
    run.start_seconds = run.clock()
    enough = minutes + (FEW * each / 0.93 - left) / 60
    run.enough_minutes = math.ceil(100 * enough) / 100
    # Speed varies, and a schedule cut short costs more than time left over. What is
    # found on the way mends either (`affordable_steps`).
    return run.step + int(of_first(max(1, int(0.93 * left / each))))


def say_new_plan(run: Run, steps: int, began: float, display: Screen) -> None:
    """Says that there is time for other steps than was said, if they differ much.

    Args:
      run: The run.
      steps: How many there is time for.
      began: When training began.
      display: Is told about it.
    """
    if abs(steps - run.told_steps) <= run.told_steps / 10:
        return
    each = 1e3 * (run.clock() - began) / max(1, run.steps_taken)
    measured = 1e3 * run.step_seconds
    display.say(
        f"the plan is {steps} steps now, not {run.told_steps}: so far a step took "
        f"{each:.3g} ms, validation, samples and saving included; {measured:.3g} ms "
        "were measured at the start"
    )
    run.told_steps = steps


def say_how_it_ended(run: Run, display: Screen) -> None:
    """Says at the end what nobody knew before: that there came to be few steps."""
    minutes = run.config.minutes
    if minutes is None or run.step == run.asked_steps:
        return
    if run.step < 0.9 * run.told_steps:
        display.say(
            f"--minutes {minutes:g} was used up at step {run.step}; "
            f"{run.told_steps} had been planned"
        )
    if run.step < FEW and not run.told_few:
        steps = "1 step was" if run.step == 1 else f"{run.step} steps were"
        display.say(
            f"warning: only {steps} trained, and the model has learnt little: "
            f"{_too_short(run)}",
            style="bold",
        )


def minutes_for_more(run: Run) -> float:
    """A budget for the run to go on with, which starts once more."""
    again = run.enough_minutes + run.start_seconds / 60
    return math.ceil(100 * again) / 100


def _too_short(run):
    minutes = run.config.minutes
    enough = minutes_for_more(run) if run.step else run.enough_minutes
    shorter = 60 * minutes <= run.start_seconds
    relation = "is shorter than starting took" if shorter else "leaves little time"
    return (
        f"--minutes {minutes:g} ({60 * minutes:.1f} s) {relation}: reading, compiling "
        f"and measuring took {run.start_seconds:.1f} s; give --minutes "
        f"{max(enough, 2 * minutes):g} or more for {FEW} steps"
    )


def _too_little(run):
    enough = math.ceil(100 * FEW / run.batches.batches_per_epoch) / 100
    return (
        f"--epochs {run.config.epochs:g} is no more of this text; give --epochs "
        f"{enough:g} or more"
    )


def _since_when(before, config):
    """The reason for another plan than an earlier process had."""
    if config.minutes == before["minutes"]:
        return ", as is asked for now"
    if config.minutes is None:
        return ", for no --minutes are given now"
    if before["minutes"] is None:
        return f", for --minutes {config.minutes:g} are given now"
    return f", for --minutes are {config.minutes:g} now, not {before['minutes']:g}"


def plan_is_due(run: Run, since: float) -> bool:
    """Whether a plan that was made at `since` should be looked at again.

    Only time can run out differently than it was planned.
    """
    if run.asked_steps is not None:
        return False
    return run.clock() - since > 60 * (run.config.minutes or 0) / 16


def affordable_steps(run: Run, began: float) -> int:
    """How many steps there is time for, by the speed since training `began`.

    That is of the steps of this process, and whatever came between them counts as
    theirs.
    """
    now = run.clock()
    each = (now - began) / max(1, run.steps_taken)
    return run.step + max(0, int(0.98 * (run.deadline - now) / each))


def _measure(run, state, seconds, display):
    """Sets the time of compiling, and that of a step, the median over so many seconds.

    Batches of each length are compiled, and the time is the mean over a cycle of them.
    Of no seconds (``None``), steps are compiled alone.
    """
    placed, metrics, step = run.parallel.place(state), None, run.step
    lengths, cycle = set(run.batches.lengths), len(run.batches.lengths)
    begin = run.clock()

    def take_one():
        """Begins a step; returns its length, and the metrics of the one before."""
        nonlocal placed, metrics, step
        batch, before = run.batch(step), metrics
        placed, metrics = run.parallel.step(placed, run.parallel.shard(batch))
        step += 1
        return batch.inputs.shape[1], before

    display.start("compiling the training step", cycle, slow=True)
    while lengths:
        lengths.discard(take_one()[0])
        jax.block_until_ready(metrics)
        run.stop.check()
    ticks = [run.clock()]
    run.compile_seconds = ticks[0] - begin
    if seconds is None:
        return

    display.start("measuring the speed of steps", cycle, slow=True)

    def take(cycles):
        for k in range(cycles * cycle):
            _, before = take_one()
            jax.block_until_ready(before)  # as in training, one step is under way
            if (step - 1) % cycle == 0:  # the last of a cycle is done
                ticks.append(run.clock())
            run.stop.check()
            display.advance(k + 1, cycles * cycle)

    def median():
        # The first tick finds its steps done: it is left out.
        return float(np.median(np.diff(ticks[1:]))) / cycle

    take(1 + -(-4 // cycle))
    take(int(of_first(int(seconds / median() / cycle))))
    run.step_seconds = median()


def _validation_seconds(run, state):
    """What validating takes once while training, and when that has ended."""
    if not len(run.validation):
        return 0.0, 0.0
    part = run.validation[: run.config.eval_characters]
    run.evaluate(state.params, part[:10_000])  # compiles
    begin = run.clock()
    run.evaluate(state.params, part)
    once = run.clock() - begin
    if len(part) == len(run.validation):
        return once, once  # the last one has read it all
    return once, once + once * len(run.validation) / len(part)
