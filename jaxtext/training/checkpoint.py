"""Checkpoints: Orbax, told what a run consists of.

A run keeps two series under ``checkpoints/`` in its directory: ``latest``, the whole
training state, and ``best``, the parameters that did best in validation. Each
checkpoint also holds `about`, plain JSON (configuration, vocabulary and whatever else
the script needs to go on), so that it can be used with nothing else at hand.
"""

import errno
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding

from jaxtext.errors import InputError
from jaxtext.training.state import TrainState
from jaxtext.types import Params


class Checkpoint(NamedTuple):
    """What was restored: the steps taken, `about`, and the arrays asked for."""

    step: int
    about: dict[str, Any]
    arrays: Any


def save_latest(workdir: Path, state: TrainState, about: dict[str, Any]) -> None:
    """Saves the whole training state, and returns when it is on the disk.

    Args:
      workdir: The run's directory.
      state: With its carry as ``[B, …]``, as `DataParallel.collect` returns it.
      about: JSON to keep with it.

    Raises:
      OSError: If it cannot be written. Earlier checkpoints stay as they were.
    """
    # The parameters are an item of their own so that they can be read alone.
    rest = state._replace(params=())
    items = {"params": state.params, "training": rest}
    _save(workdir, "latest", int(state.step), items, about, keep=2)


def save_best(workdir: Path, step: int, params: Params, about: dict[str, Any]) -> None:
    """Saves parameters as the best so far, in place of those before."""
    _save(workdir, "best", step, {"params": params}, about, keep=1)


def restore_latest(workdir: Path, like: TrainState) -> Checkpoint | None:
    """Restores the training state that was saved last.

    Args:
      workdir: The run's directory.
      like: A state of the same structure, or its shapes (``jax.eval_shape``).

    Returns:
      The checkpoint, its arrays a `TrainState`; ``None`` if there is none.
    """
    items = {"params": like.params, "training": like._replace(params=())}
    found = _restore(workdir, "latest", items)
    if found is None:
        return None
    arrays = found.arrays["training"]._replace(params=found.arrays["params"])
    return found._replace(arrays=arrays)


def read_about(workdir: Path) -> Checkpoint:
    """Reads step and `about` of the best checkpoint, or of the latest if none is best.

    Raises:
      InputError: If the run has no checkpoint.
    """
    return _best_or_latest(workdir, {})


def restore_params(workdir: Path, like: Params) -> Checkpoint:
    """Restores the parameters of the checkpoint that `read_about` reads.

    Raises:
      InputError: If the run has no checkpoint.
    """
    found = _best_or_latest(workdir, {"params": like})
    return found._replace(arrays=found.arrays["params"])


def _best_or_latest(workdir, items):
    found = _restore(workdir, "best", items) or _restore(workdir, "latest", items)
    if found is None:
        raise InputError(
            f"{workdir} holds no checkpoint; expected the directory of a run that has "
            "saved one"
        )
    return found


def _save(workdir, series, step, items, about, keep):
    args = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
    with _manager(workdir / "checkpoints" / series, keep) as manager:
        for stale in manager.all_steps():
            # A run that was killed, and went on from an earlier step, comes by again.
            if stale >= step:
                manager.delete(stale)
        args = ocp.args.Composite(**args, about=ocp.args.JsonSave(about))
        try:
            manager.save(step, args=args)
        except ValueError as error:  # what TensorStore makes of a full disk
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def _restore(workdir, series, items):
    directory = workdir / "checkpoints" / series
    if not directory.is_dir():
        return None
    # One device, whatever the number of devices that saved it.
    device = SingleDeviceSharding(jax.local_devices()[0])

    def abstract(x):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device)

    args = {
        name: ocp.args.StandardRestore(jax.tree.map(abstract, tree))
        for name, tree in items.items()
    }
    with _manager(directory) as manager:
        step = manager.latest_step()
        if step is None:
            return None
        found = manager.restore(
            step, args=ocp.args.Composite(**args, about=ocp.args.JsonRestore())
        )
    arrays = {name: found[name] for name in items}
    return Checkpoint(step, found["about"], arrays)


def _manager(directory, keep=None):
    # Saves are finished before training goes on: an asynchronous save reads buffers
    # that the next step reuses, and is lost if the process is killed.
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, enable_async_checkpointing=False
    )
    return ocp.CheckpointManager(directory.absolute(), options=options)
