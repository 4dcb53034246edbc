"""Which checkpoint of a run is read, and how it is described."""

from typing import Literal, TypeAlias

from charlm.progress import PassLoss
from common.values import Whole
from jaxtext.runs.checkpoint import Checkpoint

# What --checkpoint takes.
Which: TypeAlias = Literal["best", "latest"] | Whole


def described(found: Checkpoint) -> str:
    """Describes a checkpoint: its step, and the loss that it had there.

    The loss is that of the validation within the run, if there was one at that step;
    else the mean training loss since the last pass began.
    """
    step, best = f"step {found.step:,}", found.about["best"]
    if best and best["step"] == found.step:
        loss = best["val_nats_per_char"]
        return f"{step}, validated in the run at {loss:.4f} nats per character"
    mean = PassLoss(*found.about.get("pass_loss", ())).mean
    if mean is None:
        return f"{step}, of which no loss is known"
    return f"{step}, training loss {mean:.4f} nats per character"
