"""What can be seen of a run from outside, while it trains or afterwards."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charlm.curve import TRAINING, VALIDATION, curves
from charlm.remembered import of_identity, remembered
from charlm.result import RESULT, read_result
from charlm.series import Point
from charlm.skips import DIVERGED
from jaxtext.errors import InputError
from jaxtext.runs.log import METRICS, Record, iterate_metrics
from jaxtext.runs.storage import storage
from jaxtext.runs.workdir import read_identity

POINTS = 1000  # of a curve, of which there may be many


@dataclass
class Seen:
    """A run as it was found.

    Attributes:
      place: Where it is.
      state: ``running``, ``finished``, ``stopped``, ``diverged``, or ``damaged`` if
        nothing can be told of it.
      step: That of the last record.
      best: The lowest validation loss in its log, nats per character.
      best_step: The step of that.
      loss: The last training loss in its log, nats per character.
      speed: Characters per second, at that step.
      seconds: How long it has trained, all of its processes together.
      settings: The fields of its configuration.
      curves: Its losses against the step, thinned to `POINTS`.
      damage: What cannot be read, and why.
    """

    place: Path
    state: str = "damaged"
    step: int = 0
    best: float | None = None
    best_step: int | None = None
    loss: float | None = None
    speed: float | None = None
    seconds: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, list[Point]] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)


def look_at(place: Path) -> Seen:
    """Reads what a run has written. It is not locked, and nothing is changed."""
    seen = Seen(place)
    seen.settings = _settings(seen)
    last = Record()
    try:
        seen.curves = curves(_noting(seen, last), POINTS)
    except OSError as error:
        seen.damage.append(f"{METRICS} cannot be read ({error.strerror or error})")
    result = _result(seen)
    in_use = False
    with contextlib.suppress(OSError):
        in_use = storage(place).in_use()
    if in_use:
        seen.state = "running"
    elif result and result["steps"] >= seen.step:
        seen.state = "finished"
        seen.step, seen.seconds = result["steps"], result.get("seconds")
    elif DIVERGED in last:
        seen.state = "diverged"
    elif seen.settings or last:
        seen.state = "stopped"
    return seen


def _noting(seen, last):
    """The records of a run's log, noting the last values while they are read."""
    for record in iterate_metrics(seen.place / METRICS):
        last.clear()
        last.update(record)
        seen.step = record["step"]
        loss, val = record.get(TRAINING), record.get(VALIDATION)
        if loss is not None:
            seen.loss = loss
            seen.speed = record.get("chars_per_second", seen.speed)
            seen.seconds = record.get("seconds", seen.seconds)
        if val is not None and (seen.best is None or val < seen.best):
            seen.best, seen.best_step = val, record["step"]
        yield record


def _settings(seen):
    """The flags that a run was given last, and what is known if they are lost."""
    try:
        read_identity(seen.place)
    except InputError as error:
        seen.damage.append(str(error).partition("; ")[0])
    return of_identity(seen.place) | remembered(seen.place)


def _result(seen):
    try:
        return read_result(seen.place)
    except OSError as error:
        seen.damage.append(f"{RESULT} cannot be read ({error.strerror or error})")
        return None
