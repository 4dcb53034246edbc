"""How far a run has come: what each of its checkpoints keeps."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jaxtext.runs.checkpoint import Checkpoint


class Mean(NamedTuple):
    """The mean of numbers that come one by one.

    Attributes:
      total: Their sum.
      terms: How many there are.
    """

    total: float = 0.0
    terms: int = 0

    def add(self, number: float) -> "Mean":
        """The mean of one number more."""
        return Mean(self.total + number, self.terms + 1)

    @property
    def value(self) -> float | None:
        """The mean, ``None`` if there are no numbers."""
        return self.total / self.terms if self.terms else None


class PassLoss(NamedTuple):
    """The training loss that a run reports: the mean over its last pass.

    A checkpoint keeps it, so that a run which was killed reports what it would have
    reported otherwise.

    Attributes:
      number: The pass of the last step that was added, from 0.
      total: The sum of the losses of that pass, nats per character.
      steps: How many losses were added.
    """

    number: int = 0
    total: float = 0.0
    steps: int = 0

    def add(self, loss: float, number: int) -> "PassLoss":
        """Adds the loss of a step of pass `number`; a new pass begins at zero."""
        of = self if number == self.number else PassLoss(number)
        return of._replace(total=of.total + loss, steps=of.steps + 1)

    @property
    def mean(self) -> float | None:
        """The mean of the losses, ``None`` if there are none."""
        return self.total / self.steps if self.steps else None


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
      state: A `TrainState` after `step` steps, placed on the devices.
      step: Steps taken.
      saved_step: That of the latest checkpoint, ``None`` before the first.
      resumed_from_step: Where this process began.
      seconds_before: Wall-clock seconds that earlier processes took.
      best: ``step`` and ``val_nats_per_char`` of the best validation, if any.
      validated_step: That of the last validation.
      waited: Validations since the best one.
      told_overfitting: Whether it was said that the run overfits.
      log_size: Bytes of the metrics log.
      log_records: Its records, if that is known instead, of an older checkpoint.
      losses: Those of the steps since the last record.
      gradient_norms: The same of those.
      pass_loss: That of the current pass.
      rollbacks: ``from``, ``to`` and ``because`` of each time the run went back.
    """

    state: Any = None
    step: int = 0
    saved_step: int | None = None
    resumed_from_step: int = 0
    seconds_before: float = 0.0
    best: dict[str, Any] = field(default_factory=dict)
    validated_step: int = 0
    waited: int = 0
    told_overfitting: bool = False
    log_size: int = 0
    log_records: int | None = None
    losses: Mean = field(default_factory=Mean)
    gradient_norms: Mean = field(default_factory=Mean)
    pass_loss: PassLoss = field(default_factory=PassLoss)
    rollbacks: list[dict[str, Any]] = field(default_factory=list)

    def about(self) -> dict[str, Any]:
        """What a checkpoint holds of it beside the state."""
        names = "best validated_step waited told_overfitting"
        names += " log_size pass_loss rollbacks"
        return {
            **{name: getattr(self, name) for name in names.split()},
            "since_record": [self.losses, self.gradient_norms],
        }

    def go_on_from(self, found: Checkpoint) -> None:
        """Takes over all that a checkpoint of an earlier process holds."""
        self.return_to(found)
        self.resumed_from_step = found.step
        self.seconds_before = found.about["seconds"]
        self.best, self.rollbacks = found.about["best"], found.about["rollbacks"]
        self.told_overfitting = found.about.get("told_overfitting", False)

    def return_to(self, found: Checkpoint) -> None:
        """Takes over the step of a checkpoint, and what was counted up to it."""
        self.step = self.saved_step = found.step
        self.validated_step = found.about["validated_step"]
        self.waited = found.about.get("waited", 0)  # older checkpoints have none
        self._return_to_log(found.about)
        # Older checkpoints do not have this sum.
        self.pass_loss = PassLoss(*found.about.get("pass_loss", ()))

    def _return_to_log(self, about):
        """Takes over where the log was, and what it did not have yet."""
        if "log_size" in about:
            self.log_size, self.log_records = about["log_size"], None
            self.losses, self.gradient_norms = (Mean(*x) for x in about["since_record"])
        else:  # an older checkpoint counts records, and has each loss since the last
            self.log_size, self.log_records = 0, about["recorded"]
            losses = about["losses"]
            self.losses, self.gradient_norms = Mean(sum(losses), len(losses)), Mean()
