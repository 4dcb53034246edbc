"""Timing that falls on all alike: short visits to everybody, round after round."""

import random
import time
from collections.abc import Callable, Hashable, Mapping

import numpy as np

LEAST_ROUNDS = 5
MOST_REPETITIONS = 100


def visit(run: Callable[[], object], seconds: float) -> list[float]:
    """Runs something for about `seconds`, at least once, and times each repetition.

    Where it can be repeated, the first repetition is not counted: it finds the caches
    full of what ran before it, and another library's threads still spinning.

    Args:
      run: Computes and returns when all is computed.
      seconds: How long the visit should take.

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
    visits: Mapping[Hashable, Callable[[], list[float]]],
    *,
    rounds: int,
    seconds: float,
    seed: int = 0,
    progress: Callable[[int, float], None] = lambda done, seconds: None,
) -> dict[Hashable, list[float]]:
    """Visits everybody once a round, each round in a new order.

    What slows the machine down for a while then slows no single contestant, and none
    always follows the same other one.

    Args:
      visits: For each name a function that returns times.
      rounds: How many rounds at most.
      seconds: After so long no further round begins, but `LEAST_ROUNDS` are made.
      seed: Of the orders.
      progress: Told after each visit: rounds finished, seconds gone.

    Returns:
      All times by name.
    """
    shuffle = random.Random(seed).shuffle
    times = {name: [] for name in visits}
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
    """Median and the tenth and ninetieth percentile."""
    p10, median, p90 = np.percentile(times, [10, 50, 90])
    return {"median_ms": float(median), "p10_ms": float(p10), "p90_ms": float(p90)}
