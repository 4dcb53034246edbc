"""Which checkpoint of a run is read, and how it is described."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

from charlm.progress import PassLoss
from common.values import Whole
from jaxtext.errors import InputError
from jaxtext.runs import checkpoint
from jaxtext.runs.checkpoint import Checkpoint

# What --checkpoint takes.
Which: TypeAlias = Literal["best", "latest"] | Whole


def read_about(
    workdir: Path,
    which: Which = "best",
    *,
    warn: Callable[[str], None],
    of_any: bool = False,
) -> dict[str, Any]:
    """Reads what a checkpoint says of its model, symbols and run.

    Args:
      workdir: The run's directory.
      which: Which checkpoint.
      warn: Takes a sentence about a damaged checkpoint that is skipped.
      of_any: Also take what another program than ``char_gen.py`` has saved, which need
        not say anything of a run.

    Raises:
      InputError: If the run has no good checkpoint, or that does not say enough.
    """
    about = checkpoint.read_about(workdir, which=which, warn=warn).about
    if "vocabulary" not in about:
        raise InputError(
            f"the checkpoint in {workdir} does not say what its symbols are; save it "
            "with jaxtext.runs.checkpoint.describe(model, vocabulary)"
        )
    if "identity" not in about and not of_any:
        raise InputError(
            f"expected a run of char_gen.py, which says what it was trained on; got "
            f"{workdir}, which another program has saved: sample.py and talk.py read it"
        )
    return about


def described(found: Checkpoint) -> str:
    """Describes a checkpoint: its step, and the loss that it had there.

    The loss is that of the validation within the run, if there was one at that step;
    else the mean training loss since the last pass began.
    """
    step, best = f"step {found.step:,}", found.about.get("best")
    if best and best["step"] == found.step:
        loss = best["val_nats_per_char"]
        return f"{step}, validated in the run at {loss:.4f} nats per character"
    mean = PassLoss(*found.about.get("pass_loss", ())).mean
    if mean is None:
        return f"{step}, of which no loss is known"
    return f"{step}, training loss {mean:.4f} nats per character"
