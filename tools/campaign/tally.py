"""Counts of the trials, and the evidence of those that failed."""

import dataclasses
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SHOWN = 300  # characters of a reason; the evidence has the whole


@dataclass(frozen=True)
class Setting:
    """The settings of all families.

    Attributes:
      scratch: A temporary directory to work in.
      kept: Directory for evidence.
      jobs: Number of processes at once.
      seed: Seed of the random moments and places.
      quick: Whether to make only a few trials of each kind.
    """

    scratch: Path
    kept: Path
    jobs: int
    seed: int
    quick: bool


@dataclass
class Tally:
    """The counts of one family, safe to use from several threads.

    Attributes:
      family: Its name.
      kept: The directory that evidence of failures is copied to.
      progress: Called after each trial.
      tried: Trials that were made.
      survived: Trials after which everything was as in an undisturbed run, except for
        steps that had to be taken again.
      refused: Trials after which the process printed a documented message, and the
        saved states were good.
      skipped: Trials that were too late for the moment they were meant for.
      silently_wrong: Trials after which something was wrong without a message.
      failed: Trials after which anything else was wrong.
      steps_lost: The most steps that had to be taken again.
      reasons: The reason of each failure, and where its evidence is.
      also: Other counts.
    """

    family: str
    kept: Path
    progress: Callable[["Tally"], None] = lambda tally: None
    tried: int = 0
    survived: int = 0
    refused: int = 0
    skipped: int = 0
    silently_wrong: int = 0
    failed: int = 0
    steps_lost: int = 0
    reasons: list[str] = field(default_factory=list)
    also: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def survive(self, lost: int = 0, **also: int) -> None:
        """Counts a trial that did no harm, except for steps lost."""
        with self._lock:
            self.tried += 1
            self.survived += 1
            self.steps_lost = max(self.steps_lost, lost)
            self.also.update(also)
        self.progress(self)

    def refuse(self, **also: int) -> None:
        """Counts a trial that ended with a clear message."""
        with self._lock:
            self.tried += 1
            self.refused += 1
            self.also.update(also)
        self.progress(self)

    def fail(
        self, why: str, *evidence: Path, silently: bool = False, lost: int = 0
    ) -> None:
        """Counts a trial that ended badly, and keeps copies of the evidence."""
        with self._lock:
            self.tried += 1
            self.failed += not silently
            self.silently_wrong += silently
            self.steps_lost = max(self.steps_lost, lost)
            directory = self.kept / f"{self.family}-{len(self.reasons) + 1}"
            directory.mkdir(parents=True)
            (directory / "why.txt").write_text(why + "\n", "utf-8")
            for path in evidence:
                copy = directory / path.name
                if path.is_dir():
                    shutil.copytree(path, copy, symlinks=True, ignore=_pipes)
                elif path.exists():
                    shutil.copy2(path, copy)
            shown = why if len(why) < _SHOWN else f"{why[:_SHOWN]}…"
            self.reasons.append(f"{shown} ({directory})")
        self.progress(self)

    def to_json(self) -> dict[str, Any]:
        """The counts by name."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        left_out = ("family", "kept", "progress", "_lock")
        found = {k: v for k, v in fields.items() if k not in left_out}
        return found | {"also": dict(sorted(self.also.items()))}


def _pipes(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(directory, name).is_fifo()]
