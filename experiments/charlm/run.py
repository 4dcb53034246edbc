"""A run that is open: its parts, its progress, its plan, its speed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import jaxtext as jt
from charlm.config import READING, WINDOWS, Config
from charlm.plan import Plan
from charlm.progress import Progress
from charlm.spent import Spent
from jaxtext.runs.checkpoint import Checkpoints, describe
from jaxtext.runs.interrupt import Request
from jaxtext.runs.storage import Claim
from jaxtext.training import DataParallel, evaluate
from jaxtext.types import Params

Clock: TypeAlias = Callable[[], float]  # seconds since the process began


class DivergedError(Exception):
    """Training met what is not finite again and again, and was stopped."""


class GoneError(Exception):
    """The directory of a run is no longer where it was."""


@dataclass
class Speed:
    """What this process has measured of its steps.

    Attributes:
      compile_seconds: How long the training step took to compile.
      began: The moment at which training began.
      steps: Steps taken.
      characters: Characters read in them.
      seconds: Time that they took: validation, samples and saving left out.
    """

    compile_seconds: float = 0.0
    began: float = 0.0
    steps: int = 0
    characters: int = 0
    seconds: float = 0.0

    def seconds_a_step(self, now: float) -> float:
        """Mean time of a step, with all that came between them."""
        return (now - self.began) / max(1, self.steps)

    def chars_per_second(self) -> float | None:
        """Training speed, ``None`` before a second step: one has nothing to compare."""
        return self.characters / self.seconds if self.steps > 1 else None


@dataclass
class Run:
    """What a run is made of. The last three parts change while it trains."""

    config: Config
    identity: dict[str, Any]
    corpus: jt.text.Corpus
    batches: jt.text.Streams | jt.text.Windows
    validation: jt.text.Ids
    workdir: Path
    model: jt.LanguageModel
    parallel: DataParallel
    devices: int  # that the batch is divided between
    checkpoints: Checkpoints
    clock: Clock
    stop: Request
    claim: Claim | None  # on the directory; process 0 has it
    spent: Spent
    plan: Plan
    progress: Progress = field(default_factory=Progress)
    speed: Speed = field(default_factory=Speed)

    def batch(self, k: int) -> jt.text.Batch:
        """This process's rows of batch `k` of the run."""
        with self.spent.fetching(self._is_idle):
            return self.batches.batch(self.config.seed, k, rows=self.parallel.rows)

    def _is_idle(self):
        """Whether the devices have done all that they were given."""
        return self.progress.state.step.is_ready()

    def evaluate(self, params: Params, ids: jt.text.Ids) -> float:
        """Nats per character of a text, by the run's protocol; a signal ends it."""
        window = WINDOWS[self.config.eval_protocol]
        check = self.stop.check
        return evaluate(self.model, params, ids, window=window, progress=check)

    @property
    def symbol(self) -> str:
        """What the loss is per: ends of documents are predicted too."""
        return "character" if self.corpus.mode == "none" else "symbol"

    def seconds(self) -> float:
        """Wall-clock seconds of this run, those of earlier processes included."""
        return self.progress.seconds_before + self.clock()

    def is_out_of_patience(self) -> bool:
        """Whether as many validations as may were not better than the best."""
        patience = self.config.patience
        return patience is not None and self.progress.waited >= patience

    def is_gone(self) -> bool:
        """Whether the directory was removed, moved or replaced; process 0 knows."""
        return self.claim is not None and not self.claim.is_there()

    def about(self) -> dict[str, Any]:
        """What a checkpoint holds beside its arrays."""
        return {
            "identity": self.identity,
            "corpus": {
                "name": self.corpus.name,
                "sha256": self.corpus.sha256,
                **{name: getattr(self.config, name) for name in READING},
            },
            **describe(self.model, self.corpus.vocabulary),
            "plan": {"steps": self.plan.steps, "minutes": self.config.minutes},
            "seconds": self.seconds(),
            "spent": self.spent.of_run(),
            **self.progress.about(),
        }

    def save(self) -> None:
        """Saves the whole state as the latest checkpoint."""
        self.spent.kept()
        with self.spent.on("saving"):
            state = self.parallel.collect(self.progress.state)
            self.checkpoints.save_latest(state, self.about())
        self.progress.saved_step = self.progress.step
