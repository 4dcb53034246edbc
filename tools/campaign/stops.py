"""Sends signals at random moments: the run must save, exit and resume."""

import random
import shutil
import signal
import time
from pathlib import Path

from campaign.chains import PHASES, Plan, in_chains, reach, small_plan
from campaign.programs import kill
from campaign.tally import Setting, Tally

_A_CHAIN = 6  # signals before a run is left to finish
_PHASES = [*PHASES, "reading", "compiling anew", "twice"]


def stop_often(setting: Setting, tally: Tally, signals: int) -> None:
    """Sends char_gen.py many signals, in runs that must end like an undisturbed one.

    The exit status must be 128 + n. While Python imports its modules it may be that of
    the signal itself, and after the end of the run it may be 0.
    """
    plan = small_plan(setting)

    def one_chain(number: int, signals: int) -> None:
        draw = random.Random(f"{setting.seed} {number}")
        _chain(plan, plan.scratch / f"stopped-{number}", draw, signals, tally)

    in_chains(setting.jobs, signals, _A_CHAIN, tally, one_chain)


def _chain(
    plan: Plan, workdir: Path, draw: random.Random, signals: int, tally: Tally
) -> None:
    """Stops one run a number of times, and lets it finish."""
    stopped_at: int | None = None
    offset = draw.randrange(len(_PHASES))
    for count in range(signals):
        phase = _PHASES[(offset + count) % len(_PHASES)]
        number = draw.choice([signal.SIGINT, signal.SIGTERM])
        training, seconds = _stop(plan, workdir, phase, number, draw)
        evidence = (workdir, training.err, training.out)
        what = f"{signal.Signals(number).name} while {phase}"
        status, said = training.process.returncode, training.said()
        twice = phase == "twice"  # the second signal ends it at once
        start = training.start_step()
        if start is not None and stopped_at is not None and start < stopped_at:
            tally.fail(f"{what}: started from {start}, not {stopped_at}", *evidence)
            return
        stopped_at = start if stopped_at is None or start is not None else stopped_at
        if seconds is None:
            tally.skipped += 1
            break
        elif status == 128 + number and (f"signal {number}" in said or twice):
            tally.survive(**{f"while {phase}": 1})
        elif status == -number and not said:
            tally.survive(**{"before Python's handlers": 1})
        elif status in (0, -number) and training.result():
            tally.survive(**{"after all was done": 1})
            break
        else:
            tally.fail(f"{what}: status {status}", *evidence)
            return
        if seconds is not None:
            slowest = tally.also["slowest stop in ms"]
            tally.also["slowest stop in ms"] = max(slowest, int(1000 * seconds))
        training.forget()
    training = plan.start(workdir)
    status = training.finish()
    if status != 0:
        tally.fail(f"status {status} in the end", workdir, training.err, training.out)
    elif why := plan.difference(workdir, training):
        tally.fail(f"{why} in the end", workdir, training.err, silently=True)
    else:
        tally.also["runs that ended as if unhurt"] += 1
        training.forget()
        shutil.rmtree(workdir)


def _stop(plan, workdir, phase, number, draw):
    """Starts the run and sends it a signal. Returns the seconds until it ended."""
    text = plan.corpus.read_text("utf-8")
    if phase == "reading":
        training = plan.start(workdir, corpus="-", piped=True)
        training.feed(text[:100])
        time.sleep(draw.uniform(2, 4))
        reached = training.process.poll() is None
    elif phase in ("compiling anew", "twice"):
        cache = plan.scratch / f"cold-{time.monotonic_ns()}"
        training = plan.start(
            workdir,
            environment=plan.environment | {"JAX_COMPILATION_CACHE_DIR": str(cache)},
        )
        reached = reach("compiling", training, workdir, draw, span=4)
    else:
        training = plan.start(workdir)
        reached = reach(phase, training, workdir, draw)
    process = training.process
    began = time.monotonic()
    if reached:
        process.send_signal(number)
    if phase == "reading":
        time.sleep(0.2)
        training.feed(text[100:], last=True)
    if phase == "twice" and reached:
        time.sleep(0.5)
        process.send_signal(number)
    if training.finish() is None:
        kill(process)
    return training, time.monotonic() - began if reached else None
