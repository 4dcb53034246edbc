"""Timing in turns, so that a slow moment of the machine affects all programs alike."""

import random
import time
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import TypeVar

import numpy as np

LEAST_ROUNDS = 5
MOST_REPETITIONS = 100

Name = TypeVar("Name", bound=Hashable)


def in_turns(
    programs: Mapping[Name, Callable[[], object]],
    *,
    visit_seconds: float,
    seconds: float,
    rounds: int = 1000,
) -> dict[Name, dict[str, float]]:
    """Times programs side by side.

    Each program runs once before the clock starts, so that it is compiled by then.

    Args:
      programs: Functions that return when everything is computed.
      visit_seconds: As `seconds` of `visit`.
      seconds: As for `interleave`.
      rounds: As for `interleave`.

    Returns:
      `spread` of the times of each program.
    """
    for run in programs.values():
        run()
    visits = {
        name: partial(visit, run, visit_seconds) for name, run in programs.items()
    }
    times = interleave(visits, rounds=rounds, seconds=seconds)
    return {name: spread(milliseconds) for name, milliseconds in times.items()}


def visit(run: Callable[[], object], seconds: float) -> list[float]:
    """Runs a program for about `seconds`, at least once, and times each repetition.

    If there is time for more than one repetition, the first is not counted: it runs
    with caches that another program has filled, while that program's threads may still
    be spinning.

    Args:
      run: Returns when everything is computed.
      seconds: How long the visit takes.

    Returns:
      The time of each counted repetition, in milliseconds.
    """

    def milliseconds():
        begin = time.perf_counter()
        run()
        return 1e3 * (time.perf_counter() - begin)

    first = milliseconds()
    repetitions = min(int(1e3 * seconds / first), MOST_REPETITIONS)
    return [milliseconds() for _ in range(repetitions)] or [first]


def interleave(
    visits: Mapping[Name, Callable[[], list[float]]],
    *,
    rounds: int,
    seconds: float,
    seed: int = 0,
    progress: Callable[[int, float], None] = lambda done, seconds: None,
) -> dict[Name, list[float]]:
    """Makes every visit once a round, in an order that is shuffled each time.

    What slows the machine down for a while then slows no single program, and no program
    always follows the same other one.

    Args:
      visits: Functions that return times.
      rounds: How many rounds to make at most.
      seconds: Begin no further round after this time. At least `LEAST_ROUNDS` rounds
        are made, if `rounds` allows that many.
      seed: Seed of the orders.
      progress: Called after each visit with the finished rounds and the seconds so far.

    Returns:
      All times by name.
    """
    shuffle = random.Random(seed).shuffle
    times: dict[Name, list[float]] = {name: [] for name in visits}
    begin = time.monotonic()
    for done in range(rounds):
        if done >= LEAST_ROUNDS and time.monotonic() - begin > seconds:
            break
        order = list(visits)
        shuffle(order)
        for name in order:
            times[name] += visits[name]()
            progress(done, time.monotonic() - begin)
    return times


def spread(times: list[float]) -> dict[str, float]:
    """The median and the 10th and 90th percentile, in milliseconds."""
    p10, median, p90 = np.percentile(times, [10, 50, 90])
    return {"median_ms": float(median), "p10_ms": float(p10), "p90_ms": float(p90)}
