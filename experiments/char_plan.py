"""How long a run will be: in steps, or in minutes by the speed of its steps."""

import math
from typing import Any

import jax
import numpy as np
from char_run import Run
from watch import Screen

from jaxtext.training import TrainState
from jaxtext.training.agreement import of_first

FEW = 100  # steps, in which a model learns little


def plan(
    run: Run, state: TrainState, before: dict[str, Any] | None, display: Screen
) -> None:
    """Compiles the step, and decides how many steps there will be, and until when.

    Args:
      run: Its `steps`, `deadline` and `compile_seconds` are set.
      state: What it begins with, or goes on from.
      before: The plan of an earlier process, if there was one.
      display: Is told about it.
    """
    minutes = run.config.minutes
    asked = run.asked_steps
    planned = before["steps"] if before and before["minutes"] == minutes else None
    known = asked or planned
    display.start("compiling", total=1)
    # A few seconds of steps on a copy of the state tell the speed.
    measuring = 0.0 if known or not minutes else min(3.0, minutes)
    run.compile_seconds, step_seconds = _measure(run, state, measuring)
    if minutes:
        budget = minutes * 60 - run.seconds_before
        once, at_the_end = _validation_seconds(run, state)
        # The rest is for the last checkpoint, the curve and a sample.
        run.deadline = budget - at_the_end - 2.0
        left = run.deadline - run.clock()
        if every := run.config.eval_every:
            step_seconds += once / every
        elif once:
            # Those before the last one have a tenth of the time: with thousands of
            # distinct characters, a validation is as slow as training is.
            in_a_tenth = int(of_first(6 * minutes / once))
            run.validations = min(run.validations, 1 + in_a_tenth)
            left -= (run.validations - 1) * once
        # Speed varies, and a schedule cut short costs more than time left over. What
        # is found on the way mends either (`affordable_steps`).
        more = max(1, int(0.93 * left / step_seconds))
        run.steps = known or int(of_first(run.step + more))
        run.start_seconds = run.clock()
        enough = minutes + (FEW * step_seconds / 0.93 - left) / 60
        run.enough_minutes = math.ceil(100 * enough) / 100
        if run.step + more < min(FEW, known or FEW):
            display.say(f"warning: {_too_short(run)}", style="bold")
    else:
        run.steps = known or 0
    run.steps = max(run.steps, run.step)
    display.stop()
    if before and before["steps"] != run.steps:
        display.say(
            f"the schedule is planned anew: {run.steps} steps, not {before['steps']}"
        )
    epochs = run.steps / run.batches.batches_per_epoch
    display.say(f"planned: {run.steps} steps, {epochs:.1f} epochs")


def warn_of_few_steps(run: Run, display: Screen) -> None:
    """Says at the end if a budget that is not in steps came to few of them."""
    config = run.config
    if run.step >= FEW or run.step == config.steps:
        return
    if config.epochs is not None and run.step == run.asked_steps:
        enough = math.ceil(100 * FEW / run.batches.batches_per_epoch) / 100
        why = (
            f"--epochs {config.epochs:g} is no more of this text; give --epochs "
            f"{enough:g} or more"
        )
    elif config.minutes is not None:
        why = _too_short(run)
    else:
        return
    steps = "1 step was" if run.step == 1 else f"{run.step} steps were"
    display.say(
        f"warning: only {steps} trained, and the model has learnt little: {why}",
        style="bold",
    )


def _too_short(run):
    minutes = run.config.minutes
    shorter = 60 * minutes <= run.start_seconds
    relation = "is shorter than starting took" if shorter else "leaves little time"
    return (
        f"--minutes {minutes:g} ({60 * minutes:.1f} s) {relation}: reading, compiling "
        f"and measuring took {run.start_seconds:.1f} s; give --minutes "
        f"{max(run.enough_minutes, 2 * minutes):g} or more for {FEW} steps"
    )


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


def _measure(run, state, seconds):
    """Compile time, and the time of a step, the median over so many seconds.

    Batches of each length are compiled, and the time is the mean over a cycle of them.
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

    while lengths:
        lengths.discard(take_one()[0])
        jax.block_until_ready(metrics)
        run.stop.check()
    ticks = [run.clock()]

    def take(cycles):
        for _ in range(cycles * cycle):
            _, before = take_one()
            jax.block_until_ready(before)  # as in training, one step is under way
            if (step - 1) % cycle == 0:  # the last of a cycle is done
                ticks.append(run.clock())
            run.stop.check()

    def median():
        # The first tick finds its steps done: it is left out.
        return float(np.median(np.diff(ticks[1:]))) / cycle

    take(1 + -(-4 // cycle))
    take(int(of_first(int(seconds / median() / cycle))))
    return ticks[0] - begin, median()


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
