"""Reading the checkpoints of a run from another program, which changes nothing."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from jaxtext.buckets import explained
from jaxtext.errors import InputError
from jaxtext.runs.checkpoint import arrays
from jaxtext.runs.checkpoint.contents import Checkpoint
from jaxtext.runs.storage import SeriesName, storage
from jaxtext.runs.storage.manifest import DamageError
from jaxtext.types import Params

Which: TypeAlias = SeriesName | int


def read_about(
    workdir: Path | str,
    *,
    which: Which = "best",
    warn: Callable[[str], None] = warnings.warn,
) -> Checkpoint:
    """Reads the step and the JSON of a checkpoint, without its arrays.

    Args:
      workdir: A run's directory. The run may still be training.
      which: ``"best"`` is the best checkpoint, or the latest if none is best.
        ``"latest"`` is the latest. A number is the checkpoint of that step.
      warn: Called with a sentence about each damaged checkpoint that is passed over.

    Returns:
      The checkpoint. Its arrays are empty.

    Raises:
      InputError: If the run has no undamaged checkpoint of that kind. The message lists
        the steps that there are.
    """
    return _read(workdir, {}, which, warn)


def restore_params(
    workdir: Path | str,
    like: Params,
    *,
    which: Which = "best",
    warn: Callable[[str], None] = warnings.warn,
) -> Checkpoint:
    """Restores the parameters of a checkpoint.

    Args:
      workdir: A run's directory. The run may still be training.
      like: Parameters of the same structure, or their shapes (``jax.eval_shape``).
      which: Which checkpoint; see `read_about`.
      warn: Called with a sentence about each damaged checkpoint that is passed over.

    Returns:
      The checkpoint. Its arrays are the parameters; if the run keeps an average of
      them, the average.

    Raises:
      InputError: If the run has no undamaged checkpoint of that kind, or if its
        parameters have other names or shapes.
    """
    found = _read(workdir, {"params": like}, which, warn)
    return found._replace(arrays=found.arrays["params"])


def _read(workdir, items, which, warn):
    seen, kept, run = [], set[int](), storage(workdir)
    for name in ("latest",) if which == "latest" else ("best", "latest"):
        series = run.series(name)
        with explained(workdir):
            steps = series.steps()
        for step in reversed(steps):
            kept.add(step)
            if isinstance(which, int) and step != which:
                continue
            try:
                with series.opened(step) as path:
                    return arrays.restore(path, items)
            except TimeoutError as error:  # which says nothing about the checkpoint
                raise InputError(
                    f"cannot read {series.where(step)} ({error.strerror}); try again "
                    "later"
                ) from error
            except (DamageError, OSError, ValueError) as damage:
                with explained(workdir):
                    there = step in series.steps()
                if there and isinstance(damage, ValueError):
                    raise  # its files are as they were saved; it is of another model
                seen.append(there)
                if there:
                    where = series.where(step)
                    warn(f"the checkpoint {where} is damaged: {damage}; trying another")
    if not all(seen):
        # The run replaced them with newer ones while they were read.
        return _read(workdir, items, which, warn)
    if isinstance(which, int) and kept and not seen:
        listed = ", ".join(map(str, sorted(kept)))
        raise InputError(
            f"{workdir} holds no checkpoint of step {which}; it holds those of step "
            f"{listed}"
        )
    raise InputError(
        f"{workdir} holds no {'undamaged ' if seen else ''}checkpoint; expected the "
        "directory of a run that has saved one"
    )
