"""The model of a run, as one of its checkpoints has it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import jax
import numpy as np
from char_build import build_model
from char_loss import PassLoss
from flag_types import Whole

import jaxtext as jt
from jaxtext.text import Vocabulary
from jaxtext.training import checkpoint

# What --checkpoint takes.
Which: TypeAlias = Literal["best", "latest"] | Whole


def restore(
    workdir: Path,
    about: dict[str, Any],
    *,
    which: checkpoint.Which = "best",
    warn: Callable[[str], None],
) -> tuple[jt.LanguageModel, checkpoint.Checkpoint]:
    """The model of a run, and its parameters as `checkpoint.restore_params` finds them.

    Args:
      workdir: The run's directory.
      about: What `checkpoint.read_about` read there.
      which: Which checkpoint, likewise.
      warn: Takes a sentence about a checkpoint that is damaged, and passed over.

    Raises:
      InputError: If the run has no checkpoint that is good.
    """
    model = build_model(
        about["identity"], len(Vocabulary.from_json(about["vocabulary"]))
    )
    variables = jax.eval_shape(
        model.init, jax.random.key(0), model.initial_state((1,)), np.zeros((1, 1), int)
    )
    params = variables["params"]
    return model, checkpoint.restore_params(workdir, params, which=which, warn=warn)


def described(found: checkpoint.Checkpoint) -> str:
    """Which step a checkpoint is of, and the loss that it had there.

    The loss is that of validation within the run, of as much as that read, if it was
    validated there; else that of training, the mean since its last pass began.
    """
    step, best = f"step {found.step:,}", found.about["best"]
    if best and best["step"] == found.step:
        loss = best["val_nats_per_char"]
        return f"{step}, validated in the run at {loss:.4f} nats per character"
    mean = PassLoss(*found.about.get("pass_loss", ())).mean
    if mean is None:
        return f"{step}, of which no loss is known"
    return f"{step}, training loss {mean:.4f} nats per character"
