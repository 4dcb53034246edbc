"""One run of a character-level language model: what it is, and what it came to."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import jaxtext as jt
from charlm.config import WINDOWS, Config
from charlm.loss import PassLoss
from jaxtext.runs.checkpoint import Checkpoint, Checkpoints
from jaxtext.runs.interrupt import Request
from jaxtext.runs.workdir import Claim
from jaxtext.training import DataParallel, evaluate
from jaxtext.types import Params

DEFAULT_STEPS = 5000

Clock: TypeAlias = Callable[[], float]  # seconds since the process began


class DivergedError(Exception):
    """Training met what is not finite again and again, and was stopped."""


class GoneError(Exception):
    """The directory of a run is no longer where it was."""


@dataclass
class Run:
    """What a run is made of, and how far it has come."""

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
    claim: Claim | None  # of the directory; process 0 has it
    result: dict[str, Any] | None = None  # once it is finished

    # The state is placed on the devices; what follows belongs to it, and is saved.
    state: Any = None  # a TrainState
    step: int = 0
    steps: int = 0  # the plan
    seconds_before: float = 0.0  # spent by earlier processes
    best: dict[str, Any] = field(default_factory=dict)  # step, val_nats_per_char
    validated_step: int = 0
    recorded: int = 0  # records in the metrics log
    losses: list[float] = field(default_factory=list)  # of the steps since the last
    pass_loss: PassLoss = field(default_factory=PassLoss)
    rollbacks: list[dict[str, Any]] = field(default_factory=list)

    # Of this process alone.
    saved_step: int | None = None
    resumed_from_step: int = 0
    deadline: float = math.inf
    validations: int = 8  # evenly over the run, unless the configuration says how often
    compile_seconds: float = 0.0
    step_seconds: float = 0.0  # as measured at the start; 0 if it was not
    start_seconds: float = 0.0  # until it was planned
    enough_minutes: float = 0.0  # for a hundred steps
    told_steps: int = 0  # the plan as it was last said
    told_few: bool = False  # whether it was said that there will be few
    steps_taken: int = 0
    characters_read: int = 0
    training_seconds: float = 0.0
    records: list[dict[str, Any]] = field(default_factory=list)

    def batch(self, k: int) -> jt.text.Batch:
        """This process's rows of batch `k` of the run."""
        return self.batches.batch(self.config.seed, k, rows=self.parallel.rows)

    def evaluate(self, params: Params, ids: jt.text.Ids) -> float:
        """Nats per character of a text, by the run's protocol; a signal ends it."""
        window = WINDOWS[self.config.eval_protocol]
        check = self.stop.check
        return evaluate(self.model, params, ids, window=window, progress=check)

    def seconds(self) -> float:
        """Wall-clock seconds of this run, those of earlier processes included."""
        return self.seconds_before + self.clock()

    def chars_per_second(self) -> float | None:
        """Training speed of this process: compilation, validation, saving left out.

        A single step tells none: ``None``.
        """
        if self.steps_taken < 2:
            return None
        return self.characters_read / self.training_seconds

    def is_gone(self) -> bool:
        """Whether the directory was removed, moved or replaced; process 0 knows."""
        return self.claim is not None and not self.claim.is_there()

    def about(self) -> dict[str, Any]:
        """What a checkpoint holds beside its arrays."""
        return {
            "identity": self.identity,
            "corpus": {"name": self.corpus.name, "sha256": self.corpus.sha256},
            "vocabulary": self.corpus.vocabulary.to_json(),
            "plan": {"steps": self.steps, "minutes": self.config.minutes},
            "seconds": self.seconds(),
            "best": self.best,
            "validated_step": self.validated_step,
            "recorded": self.recorded,
            "losses": self.losses,
            "pass_loss": self.pass_loss,
            "rollbacks": self.rollbacks,
        }

    def take_over(self, found: Checkpoint) -> None:
        """Takes over what a checkpoint says of the state that it holds."""
        self.step = self.saved_step = found.step
        self.validated_step = found.about["validated_step"]
        self.recorded = found.about["recorded"]
        self.losses = found.about["losses"]
        # Checkpoints of before there was this sum have none.
        self.pass_loss = PassLoss(*found.about.get("pass_loss", ()))

    @property
    def asked_steps(self) -> int | None:
        """How many steps the configuration asks for; ``None``: it gives a time alone.

        Of several budgets the one that is used up first ends the run.
        """
        config = self.config
        asked = [config.steps] if config.steps is not None else []
        if config.epochs is not None:
            asked.append(max(1, round(config.epochs * self.batches.batches_per_epoch)))
        if asked:
            return min(asked)
        return None if config.minutes is not None else DEFAULT_STEPS

    def save(self) -> None:
        """Saves the whole state as the latest checkpoint."""
        self.checkpoints.save_latest(self.parallel.collect(self.state), self.about())
        self.saved_step = self.step
