"""Kills runs at random moments, over and over, and resumes them each time."""

import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from campaign.chains import (
    SAVE_STEPS,
    Plan,
    in_chains,
    last_step,
    left_behind,
    reach,
    saved_steps,
    small_plan,
)
from campaign.programs import kill
from campaign.tally import Setting, Tally

_A_CHAIN = 12  # kills before a run is left to finish
_PHASES = ["saving"] * 10 + ["training"] * 3 + ["importing", "compiling"] * 2
_PHASES += ["validating", "sampling", "summing up"]


def kill_often(setting: Setting, tally: Tally, kills: int) -> None:
    """Kills char_gen.py many times, in runs that must end like an undisturbed one.

    After a kill the same command resumes the run from its newest checkpoint. That is at
    most one save interval before the last step in the log, or two if a save was being
    written.
    """
    plans = [small_plan(setting)]
    if not setting.quick:
        plans += [
            Plan(setting, "gru", "--cell", "gru", "--data-parallel", "sharded"),
            Plan(setting, "rnn", "--cell", "rnn", devices=2),
        ]
    with ThreadPoolExecutor(setting.jobs) as threads:
        list(threads.map(lambda plan: plan.reference(times=2), plans[1:]))

    def one_chain(number: int, kills: int) -> None:
        draw = random.Random(f"{setting.seed} {number}")
        plan = plans[number % len(plans)]
        _chain(plan, plan.scratch / f"killed-{number}", draw, kills, tally)

    in_chains(setting.jobs, kills, _A_CHAIN, tally, one_chain)


def _chain(
    plan: Plan, workdir: Path, draw: random.Random, kills: int, tally: Tally
) -> None:
    """Kills one run a number of times, and lets it finish."""
    known, newest, saving = 0, 0, False
    killed = 0
    while True:
        training = plan.start(workdir)
        phase = draw.choice(_PHASES)
        strike = killed < kills and reach(phase, training, workdir, draw)
        if strike:
            kill(training.process)
        else:
            training.finish()
        status = training.process.returncode
        evidence = (workdir, training.err, training.out)
        start = training.start_step()
        lost = known - start if start is not None else 0
        # A save may take longer than such a short interval.
        allowed = (2 if saving else 1) * SAVE_STEPS
        if start is not None and start < newest:
            tally.fail(f"started from {start} with {newest} saved", *evidence)
            return
        if lost > allowed:
            tally.fail(f"lost {lost} steps, saving: {saving}", *evidence, lost=lost)
            return
        if any(workdir.glob("checkpoints/damaged/*")):
            tally.fail("a kill left a checkpoint that is damaged", *evidence)
            return
        if not strike:
            break
        killed += 1
        newest = max(saved_steps(workdir), default=0)
        under_way = any(workdir.glob("checkpoints/*/saving-*"))
        # A process that was killed early may have removed leftovers without a step.
        saving = under_way or (saving and known == last_step(workdir))
        known = last_step(workdir)
        tally.survive(lost=max(lost, 0), **{f"while {phase}": 1})
        tally.also["with a save under way"] += under_way
        training.forget()
    if status != 0:
        tally.fail(f"status {status} after {killed} kills", *evidence)
    elif why := plan.difference(workdir, training):
        tally.fail(f"{why} after {killed} kills", *evidence, silently=True)
    elif left := left_behind(workdir):
        tally.fail(f"left behind: {left}", workdir)
    else:
        tally.also["runs that ended as if unhurt"] += 1
        training.forget()
        shutil.rmtree(workdir)
