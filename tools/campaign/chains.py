"""A small run of char_gen.py, its undisturbed result, and moments to disturb it."""

import functools
import itertools
import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from campaign.programs import LONGEST, Training, environment
from campaign.tally import Setting, Tally

STEPS, SAVE_STEPS, EVAL_EVERY, LOG_EVERY = 300, 20, 100, 10
_FLAGS = (
    *("--hidden", "16", "--batch-size", "4", "--seq-len", "8", "--dropout", "0.2"),
    *("--val-fraction", "0.4", "--eval-characters", "4000"),
    *("--steps", str(STEPS), "--save-steps", str(SAVE_STEPS)),
    *("--eval-every", str(EVAL_EVERY)),
)
_WORDS = ("the", "a", "cat", "dog", "sat", "ran", "on", "to", "mat", "house", "and")
# The fields of a result that must be those of an undisturbed run.
_SAME = ("parameters_sha256", "val_nats_per_char", "train_nats_per_char")
_SAME += ("steps", "best_step", "parameters", "corpus_sha256")


class Plan:
    """A run to repeat, and the result of the undisturbed run.

    Args:
      setting: The settings of the campaign.
      name: Name of the plan.
      *flags: Flags of char_gen.py, beside those that all plans have.
      devices: Number of simulated CPU devices.
    """

    def __init__(self, setting: Setting, name: str, *flags: str, devices: int = 1):
        self.scratch = setting.scratch / f"plan-{name}"
        self.scratch.mkdir()
        draw = random.Random(0)
        text = "".join(f"{draw.choice(_WORDS)} " for _ in range(3000))
        self.corpus = self.scratch / "text.txt"
        self.corpus.write_text(text, "utf-8")
        self._flags = (*_FLAGS, *flags)
        self.environment = environment(
            setting.scratch, JAX_NUM_CPU_DEVICES=str(devices)
        )
        self._expected: dict[str, Any] = {}
        self._records: list[dict[str, Any]] = []

    def start(self, workdir: Path, corpus: str = "", **more: Any) -> Training:
        """Starts or resumes the run with the command that a person would give."""
        flags = (*self._flags, "--workdir", str(workdir))
        corpus = corpus or str(self.corpus)
        more.setdefault("environment", self.environment)
        return Training(("--corpus", corpus, *flags), self.scratch, **more)

    def reference(self, *, times: int) -> None:
        """Runs it undisturbed a number of times, which must give equal results.

        Raises:
          RuntimeError: If it fails or differs.
        """
        for number in range(times):
            workdir = self.scratch / f"unhurt-{number}"
            training = self.start(workdir)
            status = training.finish()
            result = training.result()
            if status or not result:
                raise RuntimeError(f"status {status}: {training.said()}")
            if not number:
                self._expected, self._records = result, _records(workdir)
            elif why := self.difference(workdir, training):
                raise RuntimeError(f"two undisturbed runs differ: {why}")

    def difference(self, workdir: Path, training: Training) -> str | None:
        """How a finished run differs from the undisturbed one, if it does."""
        result = training.result()
        for name in _SAME:
            if result.get(name) != self._expected[name]:
                return f"{name} is {result.get(name)}, not {self._expected[name]}"
        if _records(workdir) != self._records:
            return "metrics.jsonl differs"
        return None


@functools.cache
def small_plan(setting: Setting) -> Plan:
    """The plan that most families use, after its undisturbed run."""
    plan = Plan(setting, "lstm")
    plan.reference(times=1 if setting.quick else 2)
    return plan


def in_chains(
    jobs: int,
    trials: int,
    longest: int,
    tally: Tally,
    one_chain: Callable[[int, int], None],
) -> None:
    """Makes chains of trials, several at once, until there are enough trials.

    Args:
      jobs: Number of chains at once.
      trials: Number of trials to make.
      longest: The most trials of a chain.
      tally: The counts.
      one_chain: Makes one chain: takes its number and the number of its trials.
    """
    lock, under_way, numbers = threading.Lock(), [], itertools.count()

    def work(_):
        while True:
            with lock:
                left = trials - tally.tried - sum(under_way)
                if left <= 0:
                    return
                mine, number = min(left, longest), next(numbers)
                under_way.append(mine)
            one_chain(number, mine)
            with lock:
                under_way.remove(mine)

    with ThreadPoolExecutor(jobs) as threads:
        list(threads.map(work, range(jobs)))


def last_step(workdir: Path) -> int:
    """The last step in the log of a run."""
    return max((record["step"] for record in _records(workdir)), default=0)


def saved_steps(workdir: Path) -> list[int]:
    """The steps of the complete checkpoints of a run."""
    names = [p.name for p in (workdir / "checkpoints" / "latest").glob("*")]
    return sorted(int(name) for name in names if name.isdecimal())


def left_behind(workdir: Path) -> list[str]:
    """Files and directories of writes that did not finish."""
    return [
        str(path.relative_to(workdir))
        for path in workdir.rglob("*")
        if path.name.startswith(("saving-", "removing-", ".unfinished-"))
        or path.name.endswith(".orbax-checkpoint-tmp")
    ]


def _records(workdir: Path) -> list[dict[str, Any]]:
    """The log of a run, without the fields that depend on time."""
    path, records = workdir / "metrics.jsonl", []
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            break  # a kill may leave half a line
        record.pop("chars_per_second", None)
        record.pop("seconds", None)
        records.append(record)
    return records


def _says(*words: str) -> Callable[[Training, Path], bool]:
    return lambda training, workdir: any(word in training.said() for word in words)


def _is_saving(training: Training, workdir: Path) -> bool:
    return any((workdir / "checkpoints").glob("*/saving-*"))


def _is_about_to_validate(training: Training, workdir: Path) -> bool:
    return last_step(workdir) % EVAL_EVERY == EVAL_EVERY - LOG_EVERY


PHASES: dict[str, tuple[Callable[[Training, Path], bool], float]] = {
    "importing": (lambda training, workdir: True, 1.8),
    "compiling": (_says("a new run in", "going on from"), 0.6),
    "training": (_says("planned: "), 2.0),
    "validating": (_is_about_to_validate, 0.1),
    "sampling": (_says("----- sample"), 0.2),
    "saving": (_is_saving, 0.3),
    "summing up": (_says(f"step {STEPS}/{STEPS}: validation"), 0.8),
}
"""Whether a phase has begun, and the longest wait in seconds before the fault."""


def reach(
    phase: str, training: Training, workdir: Path, draw: random.Random, span: float = 0
) -> bool:
    """Waits for a random moment of a phase. Returns whether the process still runs."""
    begun, longest = PHASES[phase]
    longest = span or longest
    again = phase == "saving" and draw.random() < 0.7  # any save, not only the first
    skip = draw.uniform(0, 3) if again else 0.0
    deadline = time.monotonic() + LONGEST
    alive = threading.Event()
    while not begun(training, workdir):
        if training.process.poll() is not None or time.monotonic() > deadline:
            return False
        alive.wait(0.004)
    if skip:
        alive.wait(skip)
        while not begun(training, workdir):
            if training.process.poll() is not None or time.monotonic() > deadline:
                return False
            alive.wait(0.004)
    alive.wait(draw.uniform(0, longest))
    return training.process.poll() is None
