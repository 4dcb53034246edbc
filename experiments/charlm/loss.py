"""The training loss that a run reports: the mean over its last pass."""

from typing import NamedTuple


class PassLoss(NamedTuple):
    """The loss of a pass over the text, added up as its steps come.

    It is part of what a checkpoint holds, so that a run which was killed and goes on
    reports what it would have reported.

    Attributes:
      number: Which pass, from 0: the one of the last step that was added.
      total: The sum of the losses, nats per character.
      steps: Of how many steps.
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
        """The mean over the steps that were added, ``None`` if there were none."""
        return self.total / self.steps if self.steps else None
